"""Which detection found which object, within one frame.

Two rules are published. Most evaluators go by detection: in the order of descending scores, each detection
takes the best object that is left. The toolkit of DAIR-V2X goes by ground truth: each object, in the order of
the label file, takes the best detection that is left, and the score plays no role. With both rules a
duplicate is a false positive.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.errors import counted
from cosense.geometry.iou import bev_iou, iou_3d

IouKind = Literal["bev", "3d"]
NOT_MATCHED = -1


def iou_matrix(a: ArrayLike, b: ArrayLike, kind: IouKind) -> NDArray[np.float64]:
    """Return (M,K) the overlap of boxes (M,7) and (K,7), as footprints or as volumes."""
    return bev_iou(a, b) if kind == "bev" else iou_3d(a, b)


def match_frame(
    det_boxes: ArrayLike, det_scores: ArrayLike, gt_boxes: ArrayLike, iou_threshold: float
) -> NDArray[np.bool_]:
    """Return (M,) bool: which detections are true positives, in the order in which they were given.

    Args:
        det_boxes: (M,7) detections, in the same frame as the ground truth.
        det_scores: (M,) scores, higher is better; equal scores rank in the order given.
        gt_boxes: (K,7) ground truth; each box can be found once.
        iou_threshold: least overlap of the footprints.
    """
    overlap = bev_iou(det_boxes, gt_boxes)
    return match_by_detection(overlap, np.asarray(det_scores), iou_threshold) != NOT_MATCHED


def match_by_detection(
    overlap: NDArray[np.float64], scores: NDArray, iou_threshold: float
) -> NDArray[np.int64]:
    """Return (M,) the index of the ground truth that each detection found, or `NOT_MATCHED`.

    In the order of descending scores, ties in the order given, each detection takes the remaining ground
    truth with the highest overlap, the first of several equal ones, if that reaches the threshold.

    Args:
        overlap: (M,K) IoU of detections and ground truths.
        scores: (M,) scores of the detections.
        iou_threshold: least overlap.

    Raises:
        ValueError: the numbers of detections and scores differ.
    """
    if len(scores) != len(overlap):
        raise ValueError(f"{counted(len(overlap), 'detection')}, but {counted(len(scores), 'score')}")
    found = np.full(len(overlap), NOT_MATCHED, dtype=np.int64)
    if overlap.size == 0:
        return found
    left = overlap.copy()
    for detection in np.argsort(-np.asarray(scores), kind="stable"):
        best = int(np.argmax(left[detection]))
        if left[detection, best] >= iou_threshold:
            found[detection] = best
            left[:, best] = -np.inf
    return found


def match_by_ground_truth(
    overlap: NDArray[np.float64], scores: NDArray, iou_threshold: float
) -> NDArray[np.int64]:
    """Return (M,) the index of the ground truth that each detection found, or `NOT_MATCHED`.

    As in the toolkit of DAIR-V2X: in the order given, each ground truth takes the remaining detection with
    the highest overlap if that reaches the threshold. Of several detections with equal overlap the one with
    the lowest score wins, as the toolkit goes through them best first and keeps the last. Arguments and
    errors as for `match_by_detection`.
    """
    if len(scores) != len(overlap):
        raise ValueError(f"{counted(len(overlap), 'detection')}, but {counted(len(scores), 'score')}")
    found = np.full(len(overlap), NOT_MATCHED, dtype=np.int64)
    if overlap.size == 0:
        return found
    worst_first = np.argsort(-np.asarray(scores), kind="stable")[::-1]
    left = overlap[worst_first]
    for ground_truth in range(left.shape[1]):
        row = int(np.argmax(left[:, ground_truth]))
        if left[row, ground_truth] >= iou_threshold:
            found[worst_first[row]] = ground_truth
            left[row] = -np.inf
    return found
