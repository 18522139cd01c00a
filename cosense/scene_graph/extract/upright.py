"""What is left of a cloud between knee and ceiling: its returns gathered into cells seen from above.

Between 0.6 and 3 m above the ground a pole is a point, a wall a line, and crowns have not begun: vehicle and
mast see the same there, while below kerbs and grass, above the reach of the beams differ between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, points_in_boxes
from cosense.scene_graph.extract.ground_levels import GroundLevels

REACH_M = 70.0
CELL_M = 0.25
LOWEST_M, HIGHEST_M = 0.6, 3.0
# Nearer points show the roof or the mast that carries the sensor.
_NEAREST_M = 2.5
# A detected box is a little smaller than what it stands for.
_BOX_MARGIN_M = 0.2


@dataclass(frozen=True)
class Upright:
    """Occupied cells of 0.25 m, and the returns in them.

    Attributes:
        xy: (C,2) mean place of a cell's returns.
        low_m, high_m: (C,) lowest and highest of them above the ground.
        z: (C,) mean in the frame of the cloud.
        first, count: (C,) row of each cell's first return, and how many it has.
        points: (N,3) the returns.
        above_m: (N,) their heights above the ground.
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


def upright(xyz: NDArray[np.float32], above_m: NDArray[np.float32], boxes: Boxes) -> Upright:
    """Gather the returns between `LOWEST_M` and `HIGHEST_M` into cells, without cells whose mean is in a box.

    Args:
        xyz: (3,N) a cloud, one row a coordinate.
        above_m: (N,) heights above the ground.
        boxes: (M,7) of what is no static structure.
    """
    x, y, _ = xyz
    used = (above_m > LOWEST_M) & (above_m < HIGHEST_M) & (np.abs(x) < REACH_M) & (np.abs(y) < REACH_M)
    used &= x * x + y * y > _NEAREST_M**2
    points, above = xyz[:, used], above_m[used]
    if not len(above):
        empty, none = np.zeros(0), np.zeros(0, np.int64)
        return Upright(np.zeros((0, 2)), empty, empty, empty, none, none, points.T, above)
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
    return Upright(
        xy=mean[free, :2],
        low_m=low[free].astype(np.float64),
        high_m=high[free].astype(np.float64),
        z=mean[free, 2],
        first=first[free],
        count=count[free],
        points=points.T,
        above_m=above,
    )


def heights_above(xyz: NDArray[np.float32], ground: GroundLevels) -> NDArray[np.float32]:
    """Return the heights (N,) of a cloud (3,N) above the ground."""
    return np.asarray(xyz[2] - ground.at(xyz[0], xyz[1]))
