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
        first: (1441,) row of each direction's first return.
        range_m: (N,) horizontal distance.
        slope: (N,) height over distance, seen from the sensor.
    """

    first: NDArray[np.int64]
    range_m: NDArray[np.float32]
    slope: NDArray[np.float32]

    @classmethod
    def of(cls, x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> Azimuths:
        """Sort the returns (N,) of one cloud."""
        turn = np.arctan2(y, x) * np.float32(_BINS / (2 * np.pi))
        # Numbers of 16 bits are sorted by radix, in a tenth of the time.
        direction = (turn + np.float32(_BINS)).astype(np.int16) % np.int16(_BINS)
        order = np.argsort(direction, kind="stable")
        range_m = np.sqrt(x * x + y * y)[order]
        first = np.concatenate([[0], np.bincount(direction, minlength=_BINS).cumsum()])
        return cls(first, range_m, z[order] / np.maximum(range_m, np.float32(0.1)))

    def between(self, from_rad: float, to_rad: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return range and slope of the returns between two azimuths, anticlockwise from the first."""
        start = int(np.floor(from_rad * _BINS / (2 * np.pi)))
        count = max(1, int(np.ceil(to_rad * _BINS / (2 * np.pi))) - start)
        start %= _BINS
        end = min(start + count, _BINS)
        rows = slice(self.first[start], self.first[end])
        if start + count <= _BINS:
            return self.range_m[rows], self.slope[rows]
        rest = slice(0, self.first[start + count - _BINS])
        return (
            np.concatenate([self.range_m[rows], self.range_m[rest]]),
            np.concatenate([self.slope[rows], self.slope[rest]]),
        )
