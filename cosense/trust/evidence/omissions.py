"""Objects in a sender's view of which the ego is sure and which the sender does not name.

In view is what is near the sender and has, in about the same direction, something that it names before and
something that it names behind: blind spots below a mast are nobody's fault. Something may hide it all the
same, and who sees what others do not see is no liar; so a sender is doubted for it and never refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import wrap_angle
from cosense.trust.evidence.base import Before, Seen

REFUSES = False
# What is farther from a sender, or is the sender itself, says nothing.
_NEAR_M, _ITSELF_M = 40.0, 3.0
_SAME_DIRECTION_RAD = np.deg2rad(45)
# Boxes that overlap by this much are of one object, in the wrong place or not.
_NAMED_IOU = 0.05
# So much of what is in view of an honest sender and of a liar is not named.
_HONEST, _LIAR = 0.3, 0.9
_AGAINST, _FOR = np.log(_LIAR / _HONEST), np.log((1 - _LIAR) / (1 - _HONEST))


def evidence(seen: Seen, before: Before) -> NDArray[np.float64]:
    counted = seen.number < len(seen.senders)
    number, boxes = seen.number[counted], seen.boxes[counted]
    range_m, azimuth = _polar(seen.sure[None, :, :2] - seen.places[:, None])
    range_of_box_m, azimuth_of_box = _polar(boxes[:, :2] - seen.places[number])
    beside = np.abs(wrap_angle(azimuth[number] - azimuth_of_box[:, None])) < _SAME_DIRECTION_RAD
    is_before = range_of_box_m[:, None] < range_m[number] - _ITSELF_M
    is_behind = range_of_box_m[:, None] > range_m[number] + _ITSELF_M
    named, in_view, in_reach = np.zeros((3, *range_m.shape), dtype=bool)
    for which, of_boxes in (
        (named, bev_iou(boxes, seen.sure) > _NAMED_IOU),
        (in_view, beside & is_before),
        (in_reach, beside & is_behind),
    ):
        np.logical_or.at(which, number, of_boxes)
    near = (range_m < _NEAR_M) & (range_m > _ITSELF_M)
    return np.asarray(
        _AGAINST * (near & in_view & in_reach & ~named).sum(axis=1) + _FOR * (near & named).sum(axis=1)
    )


def _polar(xy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.hypot(xy[..., 0], xy[..., 1]), np.arctan2(xy[..., 1], xy[..., 0])
