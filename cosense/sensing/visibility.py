"""The area that a LiDAR can see, found by shadow casting on the returns of one scan.

A place counts as visible if a car at it would have been hit. The way from the sensor to every return
is free, so the beam of a return at horizontal distance `d` and height `z` passed every nearer distance `r` at
the height `z r / d`. If such a beam passes `r` below the top of a car on the ground, `r` is visible:

          o sensor                         everything is measured from the sensor, z up
           `-._ `-._ over the wall
               `-._ `-. |wall|
    ____ seen ____`-._ `|    |  hidden `-._  seen again
    =======================================`====== ground

For each azimuth and distance it suffices to know the lowest slope `z / d` among the returns at that distance
or beyond: a cumulative minimum from far to near. Nothing is visible where no return came back (outside the
field of view, beyond the farthest return, behind a wall), and a low obstacle hides only the ground in its
shadow, which is much smaller for a mast of six metres than for the roof of a car.

The ground need not be flat: its height is that of `cosense.sensing.ground`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.sensing.ground import GroundSurface

TARGET_HEIGHT_M = 1.5  # the roof of a car
AZIMUTH_BINS = 480  # 0.75 degrees: several beams of any rotating LiDAR, two metres wide at 150 m
RANGE_BIN_M = 0.5
MIN_RANGE_M = 0.1  # a return at the sensor itself has no direction


def visible_places(points: NDArray, ground: GroundSurface, xy: NDArray) -> NDArray[np.bool_]:
    """Return whether the sensor of a cloud can see each of K places.

    Args:
        points: (N,>=3) x, y, z in metres in a levelled frame, the sensor at the origin.
        ground: ground in that frame.
        xy: (K,2) places in that frame, metres.
    """
    points = np.asarray(points[:, :3], dtype=np.float64)
    distance = np.hypot(points[:, 0], points[:, 1])
    points, distance = points[distance >= MIN_RANGE_M], distance[distance >= MIN_RANGE_M]
    if len(points) == 0 or len(xy) == 0:
        return np.zeros(len(xy), dtype=bool)

    place_distance = np.hypot(xy[:, 0], xy[:, 1])
    range_bins = int(place_distance.max() / RANGE_BIN_M) + 1
    slope = _lowest_slope(points, distance, range_bins)

    target_top = ground.at(xy[:, 0], xy[:, 1]) + TARGET_HEIGHT_M
    place = _azimuth_bin(xy), (place_distance / RANGE_BIN_M).astype(np.int64)
    return np.asarray(slope[place] * place_distance <= target_top)


def _lowest_slope(points: NDArray, distance: NDArray, range_bins: int) -> NDArray[np.float64]:
    """Return the lowest z / d of the returns in each bin or behind it, (AZIMUTH_BINS, range_bins)."""
    slope = np.full((AZIMUTH_BINS, range_bins), np.inf)
    range_bin = np.minimum(distance / RANGE_BIN_M, range_bins - 1).astype(np.int64)
    np.minimum.at(slope, (_azimuth_bin(points), range_bin), points[:, 2] / distance)
    return np.minimum.accumulate(slope[:, ::-1], axis=1)[:, ::-1]


def _azimuth_bin(xy: NDArray) -> NDArray[np.int64]:
    turn = np.arctan2(xy[:, 1], xy[:, 0]) / (2 * np.pi)
    return np.floor(turn * AZIMUTH_BINS).astype(np.int64) % AZIMUTH_BINS
