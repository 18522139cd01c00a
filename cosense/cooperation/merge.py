"""The joint merge: candidate boxes of all sources that are one object become one box.

Rotated non-maximum suppression keeps the best box of each object. It runs for each kind of object separately,
so that a pedestrian beside a car survives while a vehicle that one agent calls a van and the other a truck is
still one object.

Averaging is our own addition: CoSDH throws the suppressed boxes away, yet they still say where the object is.
The box that is kept moves to the mean of all that overlap it (weighted boxes fusion, Solovyev et al., 2021),
weighted by the odds p / (1 - p) of their scores to the power 0.3: calibrated scores crowd below 1, where p
itself tells little, and 0.3 was best of seven weights on scenes of trained families. Scores are lowered by
age and uncertain poses, so what is doubtful hardly counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, footprints_contain
from cosense.geometry.iou import bev_iou
from cosense.geometry.nms import rotated_nms
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.detections import Detections
from cosense.sensing.objects import RIDERS, VEHICLES, ObjectClass

_KINDS = (
    VEHICLES,
    (ObjectClass.PEDESTRIAN,),
    RIDERS,
    (ObjectClass.BARROW,),
    (ObjectClass.TRAFFIC_CONE,),
)
_KIND_OF = np.array(
    [next(index for index, kind in enumerate(_KINDS) if label in kind) for label in ObjectClass]
)
# Boxes of one object that overlap less say different things about it: an average would be neither.
_SAME_OBJECT_IOU = 0.3
_SAME_HEADING_RAD = 0.3
_ODDS_POWER = 0.3
# A box whose place is less certain than this says that there is something, not where; it is not farther off
# than so many standard deviations.
IN_DOUBT_M, _REACH_SIGMAS = 0.4, 2.0
# No box is so sure, or so doubtful, that it counts alone or not at all.
_LOWEST, _HIGHEST = 1e-3, 0.999


@dataclass(frozen=True)
class MergeSettings:
    """How boxes are merged.

    Attributes:
        iou: overlap (bird's-eye IoU) beyond which only the better of two boxes of one kind stays. Low,
            because two agents' boxes of one car overlap little when poses are off, and cars do not overlap.
        roof_below_sensor_m: a box around the ego whose top is at most this far below the ego's sensor is the
            ego's own body. A sensor high above the roof it is mounted on needs more; a car that passes under
            the mast of a roadside unit ends metres below.
    """

    iou: float = 0.15
    roof_below_sensor_m: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.iou <= 1:
            raise ValueError(f"iou is {self.iou}, expected a number in (0, 1]")
        if not self.roof_below_sensor_m >= 0:
            raise ValueError(f"roof_below_sensor_m is {self.roof_below_sensor_m}, expected at least 0")


def on_own_objects(received: Detections, own: Detections, errors_m: NDArray[np.float64]) -> Detections:
    """Put boxes whose place is in doubt onto the ego's own boxes of the same objects.

    Two boxes of one object that lie apart because the sender's pose is wrong would be two objects, or drag
    each other off. Each received box takes the place of the own box of its kind that is nearest to it, where
    that is within its uncertainty and no other received box is nearer to that one; all else stays.

    Args:
        received: boxes of one sender in the ego frame.
        own: the ego's own boxes.
        errors_m: (M,) standard deviation per axis of each received box.
    """
    if not len(own) or not (errors_m > IN_DOUBT_M).any():
        return received
    apart = np.linalg.norm(received.boxes[:, None, :2] - own.boxes[None, :, :2], axis=2)
    alike = are_of_one_kind(received, own)
    in_reach = (errors_m > IN_DOUBT_M)[:, None] & (apart <= _REACH_SIGMAS * errors_m[:, None])
    apart[~(alike & in_reach)] = np.inf
    nearest = apart.argmin(axis=1)
    rows = np.arange(len(received))
    found = np.isfinite(apart[rows, nearest]) & (apart.argmin(axis=0)[nearest] == rows)
    boxes = received.boxes.copy()
    boxes[found] = own.boxes[nearest[found]]
    return replace(received, boxes=boxes)


def are_of_one_kind(a: Detections, b: Detections) -> NDArray[np.bool_]:
    """Return (M,K): which of M and K detections are of kinds that compete."""
    return np.asarray(_KIND_OF[a.labels][:, None] == _KIND_OF[b.labels])


def suppress(detections: Detections, iou: float) -> Detections:
    """Keep the best box of each object, best first; equal scores in the order given."""
    kept = [np.zeros(0, dtype=np.int64)]
    for kind in _KINDS:
        members = np.flatnonzero(np.isin(detections.labels, kind))
        kept.append(members[rotated_nms(detections.boxes[members], detections.scores[members], iou)])
    return Detections.concatenate([detections[np.sort(np.concatenate(kept))]])


def suppress_and_average(detections: Detections, iou: float) -> Detections:
    """Return one box an object, best first, with the score, class and source of its best box.

    Args:
        detections: boxes of all sources, in one frame, with calibrated scores.
        iou: overlap beyond which the better of two boxes of one kind is kept.
    """
    kept = suppress(detections, iou)
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
    # A box without company stays as it was, to the last digit.
    several = np.count_nonzero(weights, axis=1) > 1
    shares = weights[several] / weights[several].sum(axis=1, keepdims=True)
    averaged[several, :6] = shares @ detections.boxes[:, :6]
    averaged[several, 6] = wrap_angle(kept.boxes[several, 6] + (shares * turn[several]).sum(axis=1))
    return replace(kept, boxes=averaged)


def merge(candidates: Detections, settings: MergeSettings, *, averages_boxes: bool) -> Detections:
    """Return the boxes of one frame, one an object, best first and without the ego's own body.

    Others see the ego and its LiDAR sees its roof; it is no obstacle.
    """
    others = candidates[~is_ego_body(candidates.boxes, settings.roof_below_sensor_m)]
    return (suppress_and_average if averages_boxes else suppress)(others, settings.iou)


def is_ego_body(boxes: Boxes, roof_below_sensor_m: float) -> NDArray[np.bool_]:
    """Return (M,): which of the boxes (M,7) in the ego frame are the ego's own body.

    The origin of the ego frame is its sensor: the footprint of such a box contains the origin, and its top is
    at most `roof_below_sensor_m` below.
    """
    around = footprints_contain(boxes, [[0.0, 0.0]])[:, 0]
    return np.asarray(around & (boxes[:, 2] + boxes[:, 5] / 2 >= -roof_below_sensor_m))
