"""Claims of others beside what the ego sees: which are of its own objects, and what rays say of the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.merge import are_of_one_kind
from cosense.geometry.boxes import Boxes
from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.detections import Detections
from cosense.sensing.places import EXACTLY, chance
from cosense.sensing.sight_lines import SightLines

# So many rays make evidence, and so many pass for each that ends where there is nothing.
_FEWEST_RAYS, _PASSED_PER_ENDED = 4, 4
# With so many returns the ego's detector finds what there is.
_ENOUGH_RETURNS = 20
# A box that overlaps the ego's by this much is of the same object, and says something else of it if it is
# turned or sized by more than that.
_MEETS_IOU, _TURNED_RAD, _SIZE_RATIO = 0.15, 0.6, 1.4
# Two detections of one object differ by this much along its heading and across it though all poses are true.
DETECTED_M = np.array([0.25, 0.16])
# The ego's own box says where an object is unless the place of another one is so likely exact.
_CERTAIN = 0.9


class Compared(NamedTuple):
    """M claims beside the ego's own boxes.

    Attributes:
        nearest: (M,) number of the ego's box of the same object, 0 where it has none.
        scores: (M,) score of that box, 0 where there is none.
        agrees: (M,) which are turned and sized like it.
        off_m: (M,2) how far these are off.
    """

    nearest: NDArray[np.int64]
    scores: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    off_m: NDArray[np.float64]


def compare(claims: Detections, own: Detections) -> Compared:
    """Compare claims with the ego's own boxes."""
    count = len(claims)
    if not count or not len(own):
        return Compared(
            np.zeros(count, np.int64), np.zeros(count), np.zeros(count, dtype=bool), np.zeros((count, 2))
        )
    overlap = bev_iou(claims.boxes, own.boxes) * are_of_one_kind(claims, own)
    nearest = overlap.argmax(axis=1)
    best = own[nearest]
    meets = overlap.max(axis=1) > _MEETS_IOU
    off_m = claims.boxes[:, :2] - best.boxes[:, :2]
    return Compared(
        nearest, np.where(meets, best.scores, 0.0), meets & are_alike(claims.boxes, best.boxes), off_m
    )


def settled(
    claims: Detections, spreads_m: NDArray[np.float64], own: Detections, compared: Compared
) -> tuple[Detections, NDArray[np.float64]]:
    """Return claims and spreads (M,2); where the ego has the object and knows better where: as it says."""
    moved = compared.agrees & (chance(claims.boxes, spreads_m, EXACTLY) < _CERTAIN)
    if not moved.any():
        return claims, spreads_m
    boxes = np.where(moved[:, None], own.boxes[compared.nearest], claims.boxes)
    # The ego's score says how exact its box is, the other one that there is something.
    scores = np.where(moved, np.sqrt(claims.scores * compared.scores), claims.scores)
    moved_claims = replace(claims, boxes=boxes, scores=scores.astype(np.float32))
    return moved_claims, np.where(moved[:, None], 0.0, spreads_m)


def strain(boxes: Boxes, off_m: NDArray[np.float64], spreads_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (M,2): squares of what boxes (M,7) are off by, along and across, in what was to be expected."""
    cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    x, y = off_m.T
    off = np.column_stack([x * cos + y * sin, y * cos - x * sin])
    return np.asarray(off**2 / (spreads_m**2 + DETECTED_M**2))


def look(
    boxes: Boxes, chosen: NDArray[np.bool_], lines: SightLines | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which of the chosen boxes (M,7) are in free space, and in which there are many returns."""
    refuted, is_full = np.zeros((2, len(boxes)), dtype=bool)
    if lines is not None:
        rays = lines.through(boxes[chosen])
        refuted[chosen] = (rays.passed >= _FEWEST_RAYS) & (rays.passed >= _PASSED_PER_ENDED * rays.ended)
        is_full[chosen] = rays.ended >= _ENOUGH_RETURNS
    return refuted, is_full


def meet(a: Detections, b: Detections) -> NDArray[np.bool_]:
    """Return (M,K): which of M and K detections are of one object."""
    return np.asarray((bev_iou(a.boxes, b.boxes) > _MEETS_IOU) & are_of_one_kind(a, b))


def are_alike(a: Boxes, b: Boxes) -> NDArray[np.bool_]:
    """Return which boxes (...,7) of one object are turned and sized alike, but for where the front is."""
    turn = np.abs(wrap_angle(a[..., 6] - b[..., 6]))
    ratio = np.abs(np.log(a[..., 3:5] / b[..., 3:5])).max(axis=-1)
    return np.asarray((np.minimum(turn, np.pi - turn) < _TURNED_RAD) & (ratio < np.log(_SIZE_RATIO)))
