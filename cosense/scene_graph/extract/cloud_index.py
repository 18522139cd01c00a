"""A LiDAR cloud prepared for the search of static objects.

- `UprightCells`: what rises above the ground, as cells seen from above.
- `Azimuths`: the returns by direction, to tell what is hidden from the sensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, points_in_boxes

REACH_M = 70.0
CELL_M = 0.25
LOWEST_M, HIGHEST_M = 0.6, 3.0
# A detected box is a little smaller than its object.
_BOX_MARGIN_M = 0.2
_DIRECTIONS = 1440


@dataclass(frozen=True)
class UprightCells:
    """Returns between 0.6 and 3 m above the ground, gathered into occupied cells of 0.25 m seen from above.

    At these heights a pole is a point, a wall a line, and crowns have not begun: vehicle and mast see the
    same there, while kerbs and grass below and the reach of the beams above differ between them.

    Attributes:
        xy: (C,2) mean position of a cell's returns.
        low_m, high_m: (C,) lowest and highest return of a cell above the ground.
        z: (C,) mean height in the frame of the cloud.
        first, count: (C,) row of a cell's first return, and the number of its returns.
        points: (N,3) the returns.
        above_m: (N,) heights of the returns above the ground.
    """

    xy: NDArray[np.float64]
    low_m: NDArray[np.float64]
    high_m: NDArray[np.float64]
    z: NDArray[np.float64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    points: NDArray[np.float32]
    above_m: NDArray[np.float32]

    def returns_of(self, cells: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of all returns in some cells."""
        return np.concatenate([self.first[cell] + np.arange(self.count[cell]) for cell in cells])


def upright_cells(
    xyz: NDArray[np.float32], above_m: NDArray[np.float32], boxes: Boxes, nearest_m: float
) -> UprightCells:
    """Gather the upright returns of a cloud into cells, without the cells whose mean lies in a box.

    Args:
        xyz: (3,N) cloud, one coordinate per row.
        above_m: (N,) heights above the ground.
        boxes: (M,7) boxes of dynamic objects.
        nearest_m: horizontal distance below which returns show the roof or the mast that carries the sensor.
    """
    x, y, _ = xyz
    used = (above_m > LOWEST_M) & (above_m < HIGHEST_M) & (np.abs(x) < REACH_M) & (np.abs(y) < REACH_M)
    used &= x * x + y * y > nearest_m**2
    points, above = xyz[:, used], above_m[used]
    if not len(above):
        empty, none = np.zeros(0), np.zeros(0, np.int64)
        return UprightCells(np.zeros((0, 2)), empty, empty, empty, none, none, points.T, above)
    # Numbers of 16 bits are sorted by radix, in a fifth of the time.
    column, row = ((points[:2] + REACH_M) / CELL_M).astype(np.int16)
    order = np.lexsort((row, column))
    points, above = points[:, order], above[order]
    column, row = column[order], row[order]
    new = (column[1:] != column[:-1]) | (row[1:] != row[:-1])
    first = np.flatnonzero(np.concatenate([[True], new]))
    count = np.diff(np.append(first, len(order)))
    mean = (np.add.reduceat(points, first, axis=1, dtype=np.float64) / count).T
    low, high = np.minimum.reduceat(above, first), np.maximum.reduceat(above, first)
    grown = boxes.copy()
    grown[:, 3:6] += _BOX_MARGIN_M
    free = ~points_in_boxes(mean, grown).any(axis=0)
    return UprightCells(
        xy=mean[free, :2],
        low_m=low[free].astype(np.float64),
        high_m=high[free].astype(np.float64),
        z=mean[free, 2],
        first=first[free],
        count=count[free],
        points=points.T,
        above_m=above,
    )


@dataclass(frozen=True)
class Azimuths:
    """All returns of a cloud, sorted into 1440 directions of a quarter of a degree.

    Tells what the sensor sees beside, before and behind a place.

    Attributes:
        first: (1441,) index in `order` at which the returns of a direction begin.
        order: (N,) rows of the returns, direction by direction.
        xyz: (3,N) returns.
    """

    first: NDArray[np.int64]
    order: NDArray[np.int64]
    xyz: NDArray[np.float32]

    @classmethod
    def of(cls, xyz: NDArray[np.float32]) -> Azimuths:
        """Sort the returns (3,N) of one cloud."""
        turn = np.arctan2(xyz[1], xyz[0]) * np.float32(_DIRECTIONS / (2 * np.pi))
        # Numbers of 16 bits are sorted by radix, in a tenth of the time.
        direction = (turn + np.float32(_DIRECTIONS)).astype(np.int16) % np.int16(_DIRECTIONS)
        first = np.concatenate([[0], np.bincount(direction, minlength=_DIRECTIONS).cumsum()])
        return cls(first, np.argsort(direction, kind="stable"), xyz)

    def between(self, from_rad: float, to_rad: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the returns between two azimuths, anticlockwise from the first.

        Returns:
            Horizontal distance (K,) in metres, and height over distance (K,), seen from the sensor.
        """
        start = int(np.floor(from_rad * _DIRECTIONS / (2 * np.pi)))
        count = max(1, int(np.ceil(to_rad * _DIRECTIONS / (2 * np.pi))) - start)
        start %= _DIRECTIONS
        rows = self.order[self.first[start] : self.first[min(start + count, _DIRECTIONS)]]
        if start + count > _DIRECTIONS:
            rows = np.concatenate([rows, self.order[: self.first[start + count - _DIRECTIONS]]])
        x, y, z = self.xyz[:, rows].astype(np.float64)
        range_m = np.hypot(x, y)
        return range_m, z / np.maximum(range_m, 0.1)
