"""Average precision and bytes under named, frozen protocols: metrics, runs and sweeps."""

from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import match_frame

__all__ = ["average_precision", "match_frame"]
