"""What detections are worth: matching, average precision, bytes, under named protocols."""

from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import match_frame

__all__ = ["average_precision", "match_frame"]
