"""Iterative closest points of two clouds, point to plane, in yaw and translation (Chen and Medioni, 1992).

The baseline without objects, and a refinement where clouds are at hand. We differ from the textbook: gravity
is known, so four numbers are estimated instead of six, and points count only while they are nearer than a
distance that shrinks from `start_m` to `end_m`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points

NEIGHBOURS = 12
LEAST = 50


@dataclass(frozen=True)
class IcpResult:
    """Where it ended.

    Attributes:
        T_a_b: (4,4); None where too few points were near each other.
        overlap: share of b's points with a counterpart within `end_m`.
        rmse_m: of these, at right angles to the surface.
    """

    T_a_b: Matrix | None
    overlap: float
    rmse_m: float


def icp(
    points_a: NDArray, points_b: NDArray, T_start: Matrix, start_m: float = 3.0, end_m: float = 0.5,
    iterations: int = 30, voxel_m: float = 0.5,
) -> IcpResult:  # fmt: skip
    """Return the pose of cloud b (M,3) in the frame of cloud a (N,3), found from `T_start`.

    Args:
        points_a, points_b: metres, z up; further columns are ignored.
        T_start: (4,4) where to begin.
        start_m, end_m: how far apart counterparts may be at first and in the end.
        iterations: of matching and fitting.
        voxel_m: clouds are thinned to one point of each cube of this size.
    """
    a, b = thinned(points_a, voxel_m), thinned(points_b, voxel_m)
    if min(len(a), len(b)) < LEAST:
        return IcpResult(None, 0.0, float("inf"))
    tree, normals = cKDTree(a), normals_of(a)
    T = np.array(T_start, np.float64)
    for reach_m in np.geomspace(start_m, end_m, iterations):
        moved = transform_points(T, b)
        distance, nearest = tree.query(moved, distance_upper_bound=reach_m)
        near = np.isfinite(distance)
        if near.sum() < LEAST:
            return IcpResult(None, float(near.mean()), float("inf"))
        n, p = normals[nearest[near]], moved[near]
        error = ((p - a[nearest[near]]) * n).sum(axis=1)
        # About the middle of the points, so that yaw and translation are found independently.
        middle = p.mean(axis=0)
        arm = n[:, 1] * (p - middle)[:, 0] - n[:, 0] * (p - middle)[:, 1]
        step = np.linalg.lstsq(np.column_stack([n, arm]), -error, rcond=None)[0]
        turn = transform_from_planar(0, 0, float(step[3]))
        turn[:3, 3] = middle + step[:3] - turn[:3, :3] @ middle
        T = turn @ T
    distance, nearest = tree.query(transform_points(T, b), distance_upper_bound=end_m)
    near = np.isfinite(distance)
    error = ((transform_points(T, b)[near] - a[nearest[near]]) * normals[nearest[near]]).sum(axis=1)
    rmse_m = float(np.sqrt((error**2).mean())) if near.any() else float("inf")
    return IcpResult(T, float(near.mean()), rmse_m)


def thinned(points: NDArray, voxel_m: float) -> NDArray[np.float64]:
    """Return the mean of the finite points of each cube of `voxel_m`."""
    xyz = np.asarray(points, np.float64)[:, :3]
    xyz = xyz[np.isfinite(xyz).all(axis=1)]
    _, cube, count = np.unique(np.floor(xyz / voxel_m), axis=0, return_inverse=True, return_counts=True)
    cube = cube.ravel()
    return np.stack([np.bincount(cube, xyz[:, axis]) / count for axis in range(3)], axis=1)


def normals_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,3) unit vectors in which the neighbourhood of each point spreads least."""
    _, neighbours = cKDTree(points).query(points, min(NEIGHBOURS, len(points)))
    around = points[neighbours] - points[neighbours].mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.eigh(np.swapaxes(around, 1, 2) @ around)[1][:, :, 0])
