"""The product profile's hybrid merge: boxes of all sources that are one object become one box.

CoSDH keeps the best box of each object (non-maximum suppression) and throws the others away; published, late
boxes only fill places where nothing else stands. We differ in that the others still say where the object is:
the box that is kept moves to the mean of all that overlap it (weighted boxes fusion, Solovyev et al., 2021),
weighted by the odds p / (1 - p) of their scores to the power 0.3: calibrated scores crowd below 1, where p
itself tells little, and 0.3 was best of seven weights on scenes of trained families. Scores are lowered by
age and uncertain poses, so what is doubtful hardly counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosense.cooperation.late import merge
from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.detections import Detections

# Boxes of one object that overlap less say different things about it: an average would be neither.
_SAME_OBJECT_IOU = 0.3
_SAME_HEADING_RAD = 0.3
_ODDS_POWER = 0.3
# No box is so sure, or so doubtful, that it counts alone or not at all.
_LOWEST, _HIGHEST = 1e-3, 0.999


def merge_averaged(detections: Detections, nms_iou: float) -> Detections:
    """Return one box an object, best first, with the score, class and source of its best box.

    Args:
        detections: of all sources, in one frame, with calibrated scores.
        nms_iou: of two boxes of one kind that overlap more the better is kept.
    """
    kept = merge(detections, nms_iou)
    overlap = bev_iou(kept.boxes, detections.boxes)
    turn = wrap_angle(detections.boxes[:, 6] - kept.boxes[:, 6, None])
    # The axis counts, not which end is the front: there the best box is believed.
    turn = wrap_angle(np.where(np.abs(turn) > np.pi / 2, turn + np.pi, turn))
    same = (
        (overlap > _SAME_OBJECT_IOU)
        & (np.abs(turn) < _SAME_HEADING_RAD)
        & (kept.labels[:, None] == detections.labels)
    )
    sure = detections.scores.astype(np.float64).clip(_LOWEST, _HIGHEST)
    weights = same * (sure / (1 - sure)) ** _ODDS_POWER
    averaged = kept.boxes.copy()
    # Who stands alone stays, to the last digit, as it was.
    several = np.count_nonzero(weights, axis=1) > 1
    shares = weights[several] / weights[several].sum(axis=1, keepdims=True)
    averaged[several, :6] = shares @ detections.boxes[:, :6]
    averaged[several, 6] = wrap_angle(kept.boxes[several, 6] + (shares * turn[several]).sum(axis=1))
    return replace(kept, boxes=averaged)
