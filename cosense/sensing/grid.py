"""The bird's-eye grid that pillars, feature maps and requests share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BevGrid:
    """A rectangle seen from above, cut into square cells; maps are (..., H, W), H along y, W along x.

    Attributes:
        range_m: (x_min, y_min, z_min, x_max, y_max, z_max) in the agent frame.
        cell_m: edge length of a cell; the x and y extents are multiples of it.
    """

    range_m: tuple[float, float, float, float, float, float]
    cell_m: float

    def __post_init__(self) -> None:
        if not self.cell_m > 0:
            raise ValueError(f"cell_m is {self.cell_m}, expected metres above 0")
        for axis in (0, 1):
            cells = (self.range_m[axis + 3] - self.range_m[axis]) / self.cell_m
            if round(cells) < 1 or abs(cells - round(cells)) > 1e-6:
                raise ValueError(f"range_m {self.range_m} is no multiple of cell_m {self.cell_m}")

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) in cells."""
        x_min, y_min, _, x_max, y_max, _ = self.range_m
        return round((y_max - y_min) / self.cell_m), round((x_max - x_min) / self.cell_m)

    def coarser(self, stride: int) -> BevGrid:
        """Return the grid of a map that is `stride` times smaller."""
        return BevGrid(self.range_m, self.cell_m * stride)

    def centres(self) -> NDArray[np.float64]:
        """Return the centre (x, y) of each cell, (H,W,2)."""
        rows, columns = self.shape
        x = self.range_m[0] + (np.arange(columns) + 0.5) * self.cell_m
        y = self.range_m[1] + (np.arange(rows) + 0.5) * self.cell_m
        return np.stack(np.meshgrid(x, y), axis=-1)

    def contains(self, xyz: NDArray) -> NDArray[np.bool_]:
        """Return (N,): whether each of the points (N,3) lies within the range, upper borders excluded."""
        low, high = np.array(self.range_m[:3]), np.array(self.range_m[3:])
        return np.all((xyz[:, :3] >= low) & (xyz[:, :3] < high), axis=1)
