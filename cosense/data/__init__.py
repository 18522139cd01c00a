"""Data sets: one module for each format; `open_dataset` recognises which one a folder or file is."""

from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
from cosense.data.recognise import open_dataset

__all__ = ["CooperativeFrame", "Dataset", "DatasetInfo", "open_dataset"]
