"""What a LiDAR sees in one direction: the returns of a cloud sorted by azimuth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 1440


@dataclass(frozen=True)
class Azimuths:
    """Returns sorted into 1440 directions of a quarter of a degree.

    Attributes:
        first: (1441,) where each direction's returns begin in `order`.
        order: (N,) rows of the returns, direction by direction.
        xyz: (3,N) the returns.
    """

    first: NDArray[np.int64]
    order: NDArray[np.int64]
    xyz: NDArray[np.float32]

    @classmethod
    def of(cls, xyz: NDArray[np.float32]) -> Azimuths:
        """Sort the returns (3,N) of one cloud."""
        turn = np.arctan2(xyz[1], xyz[0]) * np.float32(_BINS / (2 * np.pi))
        # Numbers of 16 bits are sorted by radix, in a tenth of the time.
        direction = (turn + np.float32(_BINS)).astype(np.int16) % np.int16(_BINS)
        first = np.concatenate([[0], np.bincount(direction, minlength=_BINS).cumsum()])
        return cls(first, np.argsort(direction, kind="stable"), xyz)

    def between(self, from_rad: float, to_rad: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the returns between two azimuths, anticlockwise from the first.

        Returns:
            horizontal distance (K,) in metres, and height over distance (K,), seen from the sensor.
        """
        start = int(np.floor(from_rad * _BINS / (2 * np.pi)))
        count = max(1, int(np.ceil(to_rad * _BINS / (2 * np.pi))) - start)
        start %= _BINS
        rows = self.order[self.first[start] : self.first[min(start + count, _BINS)]]
        if start + count > _BINS:
            rows = np.concatenate([rows, self.order[: self.first[start + count - _BINS]]])
        x, y, z = self.xyz[:, rows].astype(np.float64)
        range_m = np.hypot(x, y)
        return range_m, z / np.maximum(range_m, 0.1)
