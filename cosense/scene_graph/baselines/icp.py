"""Iterative closest points of two clouds, point to plane, in yaw and translation (Chen and Medioni, 1992).

The baseline without objects, and a refinement where clouds are at hand. We differ from the textbook: gravity
is known, so four numbers are estimated instead of six, and points count only while they are nearer than a
distance that shrinks from `start_m` to `end_m`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points
from cosense.scene_graph.register.result import Prior, Registration, Settings, Status

NEIGHBOURS = 12
LEAST = 50
VOXEL_M = 0.5
# Of an accepted pose, in steps of the search: clouds that overlap less are of different places.
MIN_OVERLAP = 0.1
# Points on one surface are wrong together: of so many, one tells something new.
POINTS_PER_MEASUREMENT = 100


@dataclass(frozen=True)
class Cloud:
    """What one agent has measured, and where it believes to be.

    Attributes:
        agent_id: whose.
        stamp_ns: measurement time.
        T_world_agent: (4,4) pose of the agent frame as the agent believes it.
        pose_covariance: (3,3) of (x, y, yaw) in the world.
        points: (N,3) or more columns, metres in the agent frame.
    """

    agent_id: str
    stamp_ns: int
    T_world_agent: Matrix
    pose_covariance: NDArray[np.float64]
    points: NDArray


@dataclass(frozen=True)
class IcpResult:
    """Where it ended.

    Attributes:
        T_a_b: (4,4); None where too few points were near each other.
        overlap: share of b's points with a counterpart within `end_m`.
        rmse_m: of these, at right angles to the surface.
        information: (4,4) of b's x, y, z in a's frame and its yaw, for points that are off by 1 m each.
    """

    T_a_b: Matrix | None
    overlap: float
    rmse_m: float
    information: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, 4)))


def register_clouds(a: Cloud, b: Cloud, prior: Prior) -> Registration:
    """Return the pose of b in a's frame that their clouds tell, searched from the prior, with a status."""
    start = time.perf_counter()
    return replace(_register(a, b, prior), time_ms=(time.perf_counter() - start) * 1e3)


def _register(a: Cloud, b: Cloud, prior: Prior) -> Registration:
    result = icp(a.points, b.points, prior.T_a_b)
    if result.T_a_b is None or result.overlap < MIN_OVERLAP:
        return Registration(Status.TOO_FEW, f"the clouds overlap by {100 * result.overlap:.0f} %")
    covariance = np.linalg.inv(result.information) * result.rmse_m**2 * POINTS_PER_MEASUREMENT
    planar = np.asarray(covariance[np.ix_([0, 1, 3], [0, 1, 3])], np.float64)
    sigma_m = float(np.sqrt(np.linalg.eigvalsh(planar[:2, :2]).max()))
    sigma_deg = float(np.rad2deg(np.sqrt(planar[2, 2])))
    figures = f"overlap {100 * result.overlap:.0f} %, {sigma_m:.2f} m, {sigma_deg:.2f} degrees"
    settings = Settings()
    if sigma_m > settings.max_sigma_translation_m or planar[2, 2] > settings.max_sigma_yaw_rad**2:
        return Registration(Status.HIGH_COVARIANCE, f"too uncertain: {figures}")
    return Registration(Status.REGISTERED, figures, result.T_a_b, planar)


def icp(
    points_a: NDArray, points_b: NDArray, T_start: Matrix, start_m: float = 3.0, end_m: float = 0.5,
    iterations: int = 30, voxel_m: float = VOXEL_M,
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
    moved = transform_points(T, b)
    distance, nearest = tree.query(moved, distance_upper_bound=end_m)
    near = np.isfinite(distance)
    n, p = normals[nearest[near]], moved[near]
    error = ((p - a[nearest[near]]) * n).sum(axis=1)
    rmse_m = float(np.sqrt((error**2).mean())) if near.any() else float("inf")
    arm = n[:, 1] * (p[:, 0] - T[0, 3]) - n[:, 0] * (p[:, 1] - T[1, 3])
    jacobian = np.column_stack([n, arm])
    return IcpResult(T, float(near.mean()), rmse_m, jacobian.T @ jacobian)


def thinned(points: NDArray, voxel_m: float) -> NDArray[np.float64]:
    """Return the mean of the finite points of each cube of `voxel_m`."""
    xyz = np.asarray(points, np.float64)[:, :3]
    xyz = xyz[np.isfinite(xyz).all(axis=1)]
    places = np.floor(xyz / voxel_m).astype(np.int64)
    places -= places.min(axis=0, initial=0)
    # One number a cube sorts ten times as fast as a row does.
    keys = np.ravel_multi_index(tuple(places.T), tuple(places.max(axis=0, initial=0) + 1))
    _, cube, count = np.unique(keys, return_inverse=True, return_counts=True)
    return np.stack([np.bincount(cube, xyz[:, axis]) / count for axis in range(3)], axis=1)


def normals_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,3) unit vectors in which the neighbourhood of each point spreads least."""
    _, neighbours = cKDTree(points).query(points, min(NEIGHBOURS, len(points)))
    around = points[neighbours] - points[neighbours].mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.eigh(np.swapaxes(around, 1, 2) @ around)[1][:, :, 0])
