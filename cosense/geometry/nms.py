"""Non-maximum suppression of rotated boxes: drops boxes that overlap a better one in bird's-eye view."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.errors import counted
from cosense.geometry.iou import bev_iou, checked_boxes

# The best boxes are compared, a block at a time, with all that are left. What a block suppresses is never
# compared again, so that clusters of a thousand boxes are cheap.
_BLOCK = 64


def rotated_nms(
    boxes: ArrayLike, scores: ArrayLike, iou_threshold: float, max_keep: int | None = None
) -> NDArray[np.int64]:
    """Return the indices (K,) of the boxes to keep, best first; boxes of equal score in their order.

    A box is dropped if its BEV IoU with a better box that is kept exceeds the threshold.

    Args:
        boxes: (M,7), all in one frame.
        scores: (M,), higher is better.
        iou_threshold: largest overlap of two boxes that are both kept, in [0, 1].
        max_keep: largest number of boxes to keep.

    Raises:
        ValueError: lengths differ, a score is NaN, a box is not finite, or the threshold is no fraction.
    """
    boxes = checked_boxes(boxes)
    scores = np.asarray(scores, dtype=np.float64).reshape(-1)
    if len(scores) != len(boxes):
        raise ValueError(f"{counted(len(boxes), 'box')}, but {counted(len(scores), 'score')}")
    if np.isnan(scores).any():
        raise ValueError(f"score {int(np.argmax(np.isnan(scores)))} is NaN")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold is {iou_threshold}, expected a fraction in [0, 1]")
    limit = len(boxes) if max_keep is None else max_keep
    left = np.argsort(-scores, kind="stable").astype(np.int64)
    kept: list[int] = []
    while len(left) and len(kept) < limit:
        overlaps = bev_iou(boxes[left[:_BLOCK]], boxes[left]) > iou_threshold
        alive = np.ones(len(left), dtype=bool)
        for position in range(len(overlaps)):
            if alive[position]:
                kept.append(int(left[position]))
                alive &= ~overlaps[position]
        left = left[_BLOCK:][alive[_BLOCK:]]
    return np.array(kept[:limit], dtype=np.int64)
