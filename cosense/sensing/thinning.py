"""Thinning of clouds: one point for each occupied cube."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def thinned(points: NDArray, voxel_m: float) -> NDArray[np.float64]:
    """Return the mean position (K,3) of the finite points in each cube of `voxel_m`.

    Args:
        points: (N,3) or more columns, of which the first three are x, y, z in metres.
        voxel_m: edge of a cube.
    """
    xyz = np.asarray(points, np.float64)[:, :3]
    xyz = xyz[np.isfinite(xyz).all(axis=1)]
    places = np.floor(xyz / voxel_m).astype(np.int64)
    places -= places.min(axis=0, initial=0)
    # One number a cube sorts ten times as fast as a row does.
    keys = np.ravel_multi_index(tuple(places.T), tuple(places.max(axis=0, initial=0) + 1))
    _, cube, count = np.unique(keys, return_inverse=True, return_counts=True)
    return np.stack([np.bincount(cube, xyz[:, axis]) / count for axis in range(3)], axis=1)
