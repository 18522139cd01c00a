"""What the rays of one scan say of a volume: that something is in it, that nothing is, or nothing at all.

The way from the sensor to every return is free. Of the rays that cross the core of a box,

    o sensor ────────────┌───────┐──────────▶ x    passed: the return is behind it, the core is empty
    o sensor ────────────┤   x   │                 ended: the return is in the box
    o sensor ───── x     └───────┘                 hidden: the return is before it, says nothing

A real object lets few rays pass, however little of it can be seen: behind a hedge or a fence, or half hidden
by a car, what nothing stops on its way is stopped by the object. What no ray reaches stays unknown, and so
does what sends nothing back. Only the core counts, so that a place that is off by some decimetres, windows,
the gap between the wheels and the ground are no evidence against anything.

Rays are sorted by direction once a scan; a box is then asked of a bounded number of rays, so that the time
goes with the number of boxes and no farther.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, box_corners

# Directions: half a degree of azimuth by a slope (z by horizontal distance) of 0.02. Together they are
# numbered with 16 bits, which numpy sorts by counting.
_AZIMUTHS, _SLOPES = 720, 80
_LOWEST_SLOPE, _SLOPE_STEP = -1.1, 0.02
# Rays asked for each box: so many directions, and so many rays of each.
_COLUMNS, _PER_COLUMN = 12, 24
_NEAREST_M = 0.5
# Nearer than this there are so many returns that one of so many does.
_DENSE_M, _OF_DENSE = 20.0, 3
# The core: this share of length and width, and between these shares of the height.
_CORE = 0.6
_CORE_Z = (0.3, 0.7)
# A return this far behind the core has passed it, and one that is this near to the ground is the ground's.
_BEHIND_M = 0.5
_AROUND_M = 0.2
_GROUND_M = 0.25


@dataclass(frozen=True)
class Rays:
    """What became of the rays that cross the cores of M boxes.

    Attributes:
        passed: (M,) number of those that went through.
        ended: (M,) number of all that ended in the box, above its ground.
    """

    passed: NDArray[np.int64]
    ended: NDArray[np.int64]


class SightLines:
    """The rays of one scan in its levelled frame, the sensor at the origin."""

    def __init__(self, points: NDArray[np.float32]) -> None:
        """Sort the rays.

        Args:
            points: (N,>=3) returns, x, y, z in metres.
        """
        xyz = points[:, :3]
        distance = np.hypot(xyz[:, 0], xyz[:, 1])
        used = distance > _DENSE_M
        used[::_OF_DENSE] |= distance[::_OF_DENSE] > _NEAREST_M
        xyz, distance = xyz[used], distance[used]
        key = _azimuth(xyz[:, 0], xyz[:, 1]) * _SLOPES + _slope(xyz[:, 2] / distance)
        key = key.astype(np.uint16)
        self._xyz = xyz[np.argsort(key, kind="stable")]
        self._start = np.zeros(_AZIMUTHS * _SLOPES + 1, dtype=np.int64)
        np.cumsum(np.bincount(key, minlength=_AZIMUTHS * _SLOPES), out=self._start[1:])

    def through(self, boxes: Boxes) -> Rays:
        """Return what became of the rays that cross the cores of boxes (M,7) in the levelled frame."""
        passed, ended = (np.zeros(len(boxes), dtype=np.int64) for _ in range(2))
        box, ray = self._rays_towards(boxes)
        if len(ray) == 0:
            return Rays(passed, ended)
        x, y, z, length, width, height, yaw = boxes[box].astype(np.float32).T
        cos, sin = np.cos(yaw), np.sin(yaw)
        end = self._xyz[ray]
        # The sensor and the return as the box sees them, z from its foot.
        start = np.stack([-x * cos - y * sin, x * sin - y * cos, height / 2 - z])
        end = np.stack(
            [
                (end[:, 0] - x) * cos + (end[:, 1] - y) * sin,
                (end[:, 1] - y) * cos - (end[:, 0] - x) * sin,
                end[:, 2] - z + height / 2,
            ]
        )
        half = np.stack([length, width]) / 2
        low = np.stack([*(-_CORE * half), _CORE_Z[0] * height])
        high = np.stack([*(_CORE * half), _CORE_Z[1] * height])
        along = end - start
        along[np.abs(along) < 1e-6] = 1e-6
        near, far = (low - start) / along, (high - start) / along
        enters = np.minimum(near, far).max(axis=0)
        leaves = np.maximum(near, far).min(axis=0)
        crosses = (enters < leaves) & (enters > 0)
        behind_m = (1 - leaves) * np.linalg.norm(along, axis=0)
        within = (
            (np.abs(end[:2]) <= half + _AROUND_M).all(axis=0)
            & (end[2] > _GROUND_M)
            & (end[2] < height + _AROUND_M)
        )
        passes = crosses & ~within & (behind_m > _BEHIND_M)
        return Rays(
            np.bincount(box[passes], minlength=len(boxes)), np.bincount(box[within], minlength=len(boxes))
        )

    def _rays_towards(self, boxes: Boxes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rays in the directions of the boxes: indices (K,) of boxes and of rays."""
        corners = box_corners(boxes)
        distance = np.hypot(corners[..., 0], corners[..., 1])
        middle = np.arctan2(boxes[:, 1], boxes[:, 0])
        turn = np.arctan2(corners[..., 1], corners[..., 0]) - middle[:, None]
        turn = (turn + np.pi) % (2 * np.pi) - np.pi
        left, right = turn.max(axis=1), turn.min(axis=1)
        slopes = corners[..., 2] / np.maximum(distance, _NEAREST_M)
        # From within a box there is no telling what it hides.
        usable = (left - right < np.pi) & (distance.min(axis=1) > _NEAREST_M)
        step = 2 * np.pi / _AZIMUTHS
        first = np.floor((middle + right) / step).astype(np.int64)
        columns = np.where(usable, np.floor((middle + left) / step).astype(np.int64) - first + 1, 0)
        box, column = _spread(columns, _COLUMNS)
        azimuth = (first[box] + column) % _AZIMUTHS
        start = self._start[azimuth * _SLOPES + _slope(slopes.min(axis=1))[box]]
        end = self._start[azimuth * _SLOPES + _slope(slopes.max(axis=1))[box] + 1]
        row, ray = _spread(end - start, _PER_COLUMN)
        return box[row], start[row] + ray


def _spread(counts: NDArray[np.int64], limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return at most `limit` of each of some ranges, evenly spread: number of the range, and place in it."""
    taken = np.minimum(counts, limit)
    of = np.repeat(np.arange(len(counts)), taken)
    number = np.arange(len(of)) - np.repeat(np.cumsum(taken) - taken, taken)
    return of, number * counts[of] // np.maximum(taken[of], 1)


def _azimuth(x: NDArray, y: NDArray) -> NDArray[np.int64]:
    turn = np.arctan2(y, x) * (_AZIMUTHS / (2 * np.pi))
    return np.floor(turn).astype(np.int64) % _AZIMUTHS


def _slope(slope: NDArray) -> NDArray[np.int64]:
    step = ((slope - _LOWEST_SLOPE) / _SLOPE_STEP).astype(np.int64)
    return np.clip(step, 0, _SLOPES - 1)
