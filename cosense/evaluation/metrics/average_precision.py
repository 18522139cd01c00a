"""Average precision: the area below the precision-recall curve, in the two readings that are published.

Pascal VOC 2010, "all points" (Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010, and
the development kit of that year), with sentinels at recall 0 and 1: precision is made non-increasing from the
right and summed over every change of recall. Sorting the detections of all frames together, or leaving them
frame after frame, moves the number by 10 to 20 points on real data, so the caller says which one it is.

The toolkit of DAIR-V2X (Yu et al., "DAIR-V2X", CVPR 2022) has no sentinel at recall 0: its sum begins at the
first detection, whose own share of the recall is lost. That share is at most one part in the number of ground
truths, invisible over a whole split and large on a single frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.errors import counted


def average_precision(
    scores: ArrayLike, is_true_positive: ArrayLike, num_ground_truth: int, *, global_sort: bool = True
) -> float:
    """Return the VOC-2010 average precision in [0, 1].

    Args:
        scores: (M,) scores of the detections of all frames.
        is_true_positive: (M,) bool, whether each of them found an object.
        num_ground_truth: number of objects to find in all frames.
        global_sort: whether to rank by descending score, ties in the order given; else the order given is the
            rank.

    Returns:
        the area, NaN where there was nothing to find: no number is right then, and a mean must leave it out.

    Raises:
        ValueError: the lengths differ, a score is NaN or there are more true positives than ground truths.
    """
    curve = _precision_recall(scores, is_true_positive, num_ground_truth, global_sort)
    if curve is None:
        return float("nan")
    precision, recall = curve
    return float(np.sum(np.diff(recall, prepend=0.0) * _envelope(precision)))


def dair_average_precision(scores: ArrayLike, is_true_positive: ArrayLike, num_ground_truth: int) -> float:
    """Return the average precision as the toolkit of DAIR-V2X integrates it; see `average_precision`."""
    curve = _precision_recall(scores, is_true_positive, num_ground_truth, True)
    if curve is None:
        return float("nan")
    precision, recall = curve
    return float(np.sum(np.diff(recall) * _envelope(precision)[1:]))


def _precision_recall(
    scores: ArrayLike, is_true_positive: ArrayLike, num_ground_truth: int, global_sort: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return precision and recall (M,) after each detection, None without ground truth."""
    scores = np.asarray(scores, dtype=np.float64).reshape(-1)
    hits = np.asarray(is_true_positive, dtype=bool).reshape(-1)
    if len(scores) != len(hits):
        raise ValueError(f"{counted(len(scores), 'score')}, but {len(hits)} marks of true positives")
    if np.isnan(scores).any():
        raise ValueError(f"score {int(np.argmax(np.isnan(scores)))} is NaN")
    if hits.sum() > num_ground_truth:
        raise ValueError(f"{hits.sum()} true positives, but only {num_ground_truth} ground truths")
    if num_ground_truth == 0:
        return None
    if global_sort:
        hits = hits[np.argsort(-scores, kind="stable")]
    found = np.cumsum(hits)
    return found / np.arange(1, len(hits) + 1), found / num_ground_truth


def _envelope(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (M,) the best precision that is reached at each recall or a higher one."""
    return np.maximum.accumulate(precision[::-1])[::-1]
