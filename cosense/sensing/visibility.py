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

The ground need not be flat. It is the lowest return of each coarse cell, unless the slope to a neighbour is
impossible (slope-based filter of Vosselman, 2000), as far as such cells are connected; all other cells take
the height of the nearest ground.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TARGET_HEIGHT_M = 1.5  # the roof of a car
AZIMUTH_BINS = 480  # 0.75 degrees: several beams of any rotating LiDAR, two metres wide at 150 m
RANGE_BIN_M = 0.5
MIN_RANGE_M = 0.1  # a return at the sensor itself has no direction

GROUND_CELL_M = 5.0
GROUND_SLOPE = 0.1
GROUND_REACH_CELLS = 10
GROUND_TOLERANCE_M = 0.2
# Mirrored returns appear below the road: the very lowest returns, and cells far below others, are left out.
GROUND_QUANTILE = 0.05
GHOST_DEPTH_M = 1.5


def visible_places(points: NDArray, xy: NDArray) -> NDArray[np.bool_]:
    """Return whether the sensor of a cloud can see each of K places.

    Args:
        points: (N,>=3) x, y, z in metres, z up, the sensor at the origin.
        xy: (K,2) places in the same frame, metres.
    """
    points = np.asarray(points[:, :3], dtype=np.float64)
    distance = np.hypot(points[:, 0], points[:, 1])
    points, distance = points[distance >= MIN_RANGE_M], distance[distance >= MIN_RANGE_M]
    if len(points) == 0 or len(xy) == 0:
        return np.zeros(len(xy), dtype=bool)

    place_distance = np.hypot(xy[:, 0], xy[:, 1])
    range_bins = int(place_distance.max() / RANGE_BIN_M) + 1
    slope = _lowest_slope(points, distance, range_bins)

    ground = _Ground(points, max(place_distance.max(), distance.min()))
    target_top = ground.height(xy) + TARGET_HEIGHT_M
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


class _Ground:
    """Height of the ground around the sensor as a map of coarse cells; takes at least one return in reach."""

    def __init__(self, points: NDArray, reach_m: float) -> None:
        self.cells = 2 * int(np.ceil(reach_m / GROUND_CELL_M)) + 1
        lowest = self._lowest_returns(points)
        third = ndimage.rank_filter(lowest, rank=2, size=3, mode="constant", cval=np.inf)
        lowest[np.isfinite(third) & (lowest < third - GHOST_DEPTH_M)] = np.inf
        steps = np.arange(-GROUND_REACH_CELLS, GROUND_REACH_CELLS + 1) * GROUND_CELL_M
        cone = GROUND_SLOPE * np.hypot(steps[:, None], steps)
        reachable = ndimage.grey_erosion(lowest, structure=-cone, mode="constant", cval=np.inf)
        is_ground = np.isfinite(lowest) & (lowest <= reachable + GROUND_TOLERANCE_M)
        # Isolated cells, such as tree tops above a wall, may have any height: they are no ground.
        part, _ = ndimage.label(ndimage.binary_dilation(is_ground, np.ones((3, 3))), np.ones((3, 3)))
        is_ground &= part == np.argmax(np.bincount(part[is_ground]))
        nearest = ndimage.distance_transform_edt(~is_ground, return_distances=False, return_indices=True)
        self.height_m = lowest[tuple(nearest)]

    def height(self, xy: NDArray) -> NDArray[np.float64]:
        """Return the height (K,) at places (K,2) within reach."""
        return self.height_m[tuple(self._cell(xy).T)]

    def _cell(self, xy: NDArray) -> NDArray[np.int64]:
        return np.floor(xy[:, :2] / GROUND_CELL_M + self.cells / 2).astype(np.int64)

    def _lowest_returns(self, points: NDArray) -> NDArray[np.float64]:
        """Return a low quantile of z for each cell, (cells, cells), infinite where there is no return."""
        cell = self._cell(points)
        inside = np.all((cell >= 0) & (cell < self.cells), axis=1)
        flat = cell[inside, 0] * self.cells + cell[inside, 1]
        z = points[inside, 2]
        order = np.lexsort((z, flat))
        occupied, first, count = np.unique(flat[order], return_index=True, return_counts=True)
        lowest = np.full(self.cells**2, np.inf)
        lowest[occupied] = z[order][first + (count * GROUND_QUANTILE).astype(np.int64)]
        return lowest.reshape(self.cells, self.cells)
