"""How high the ground is around a LiDAR, in milliseconds: what stands is judged by its height above it.

The ground of a cell of 5 m is its lowest layer with more than stray returns, unless that is higher than
the cells around it and a slope of 10 % allow: then it is the wall of a house. Such cells, and those where
nothing came back, take the level of the nearest ground; at last each takes the median of its neighbourhood,
because two agents must agree on the height of the same corner. `cosense.sensing.visibility` is exact about
single returns, and slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cosense.sensing.ground import ground_height

CELL_M = 5.0
_SLOPE, _TOLERANCE_M = 0.1, 0.05
_REACH_CELLS = 4
_BIN_M = 0.1
# Searched below and above the ground that the whole cloud agrees on.
_SPAN_M = 4.0
# Mirrored returns appear below the road.
_QUANTILE, _LEAST_RETURNS = 0.05, 3
# Every n-th point of a cloud tells as much.
_ENOUGH = 15_000


@dataclass(frozen=True)
class GroundLevels:
    """Ground within a square around the sensor.

    Attributes:
        reach_m: half its edge.
        z_m: (n,n) float32 in the frame of the cloud, first index along x.
    """

    reach_m: float
    z_m: NDArray[np.float32]

    @classmethod
    def of(cls, points: NDArray[np.float32], reach_m: float) -> GroundLevels:
        """Measure it in a cloud (N,>=3) of finite coordinates; `reach_m` is a multiple of 2.5."""
        around = ground_height(points)
        cells, bins = round(2 * reach_m / CELL_M), round(2 * _SPAN_M / _BIN_M)
        x, y, z = np.ascontiguousarray(points[:: max(1, len(points) // _ENOUGH), :3].T)
        layer = (z - (around - _SPAN_M)) / _BIN_M
        used = (np.abs(x) < reach_m) & (np.abs(y) < reach_m) & (layer >= 0) & (layer < bins)
        column, row = (((axis[used] + reach_m) / CELL_M).astype(np.int64) for axis in (x, y))
        flat = (column * cells + row) * bins + layer[used].astype(np.int64)
        below = np.bincount(flat, minlength=cells**2 * bins).reshape(-1, bins).cumsum(axis=1)
        count = below[:, -1]
        lowest = (below >= np.maximum(_LEAST_RETURNS, _QUANTILE * count)[:, None]).argmax(axis=1)
        z_m = np.where(count >= _LEAST_RETURNS, around - _SPAN_M + (lowest + 0.5) * _BIN_M, np.inf)
        steps = np.arange(-_REACH_CELLS, _REACH_CELLS + 1) * CELL_M
        cone = _SLOPE * np.hypot(steps[:, None], steps)
        z_m = z_m.reshape(cells, cells)
        allowed = ndimage.grey_erosion(z_m, structure=-cone, mode="constant", cval=np.inf)
        is_ground = np.isfinite(z_m) & (z_m <= allowed + _TOLERANCE_M)
        if not is_ground.any():
            return cls(reach_m, np.full((cells, cells), around, np.float32))
        nearest = ndimage.distance_transform_edt(~is_ground, return_distances=False, return_indices=True)
        smooth = ndimage.median_filter(z_m[tuple(nearest)], size=5, mode="nearest")
        return cls(reach_m, smooth.astype(np.float32))

    def at(self, x: NDArray, y: NDArray) -> NDArray[np.float32]:
        """Return z of the ground (K,) below places (K,), (K,), those outside taken to the border."""
        cells = len(self.z_m)
        column, row = (
            np.clip((axis + self.reach_m) / CELL_M, 0, cells - 1).astype(np.int32) for axis in (x, y)
        )
        return self.z_m.ravel()[column * cells + row]
