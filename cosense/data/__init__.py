"""Data sets: one file per format behind one protocol; `open_dataset` recognises which."""

from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
from cosense.data.recognise import open_dataset

__all__ = ["CooperativeFrame", "Dataset", "DatasetInfo", "open_dataset"]
