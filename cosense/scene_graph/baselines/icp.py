"""Iterative closest points of two clouds, point to plane, in yaw and translation (Chen and Medioni, 1992).

We differ from the textbook: gravity is known, so four numbers are estimated instead of six, and points count
only while they are nearer than a distance that shrinks from step to step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points
from cosense.messages.envelope import PayloadKind
from cosense.scene_graph.register.result import (
    Prior,
    RegistrationResult,
    Status,
    is_too_uncertain,
    sigmas_of,
)
from cosense.scene_graph.registrations import SENT_VOXEL_M, Cloud
from cosense.sensing.thinning import thinned

PAYLOAD = PayloadKind.POINTS
# Largest distance of counterparts in the last step, and the number of steps of matching and fitting.
_END_M, _STEPS = 0.5, 30
_NEIGHBOURS = 12
_LEAST = 50
# Clouds that overlap less than this under the pose are of different places.
_MIN_OVERLAP = 0.1
# Points on one surface are wrong together: so many points count as one measurement.
_POINTS_PER_MEASUREMENT = 100


@dataclass(frozen=True)
class IcpResult:
    """The end of a search.

    Attributes:
        T_a_b: (4,4) maps b into a; None where too few points were near each other.
        overlap: share of b's points with a counterpart within `_END_M`.
        rmse_m: root mean square of their distances from the surface.
        information: (4,4) information of b's x, y, z in a's frame and its yaw, for points that are off by 1 m
            each.
    """

    T_a_b: Matrix | None
    overlap: float
    rmse_m: float
    information: NDArray[np.float64] = field(default_factory=lambda: np.zeros((4, 4)))


def register(a: Cloud, b: Cloud, prior: Prior) -> RegistrationResult:
    """Return the pose of b in a's frame by their clouds, searched from the prior, with a status."""
    start = time.perf_counter()
    return replace(_register(a, b, prior), time_ms=(time.perf_counter() - start) * 1e3)


def _register(a: Cloud, b: Cloud, prior: Prior) -> RegistrationResult:
    result = icp(a.points, b.points, prior.T_a_b)
    if result.T_a_b is None or result.overlap < _MIN_OVERLAP:
        return RegistrationResult(Status.TOO_FEW, f"the clouds overlap by {100 * result.overlap:.0f} %")
    covariance = np.linalg.inv(result.information) * result.rmse_m**2 * _POINTS_PER_MEASUREMENT
    planar = np.asarray(covariance[np.ix_([0, 1, 3], [0, 1, 3])], np.float64)
    sigma_m, sigma_rad = sigmas_of(planar)
    figures = f"overlap {100 * result.overlap:.0f} %, {sigma_m:.2f} m, {np.rad2deg(sigma_rad):.2f} degrees"
    if is_too_uncertain(sigma_m, sigma_rad):
        return RegistrationResult(Status.HIGH_COVARIANCE, f"too uncertain: {figures}")
    return RegistrationResult(Status.REGISTERED, figures, result.T_a_b, planar)


def icp(points_a: NDArray, points_b: NDArray, T_start: Matrix, start_m: float = 3.0) -> IcpResult:
    """Return the pose of cloud b (M,3) in the frame of cloud a (N,3), found from `T_start`.

    Args:
        points_a, points_b: metres, z up; further columns are ignored.
        T_start: (4,4) pose at which the search starts.
        start_m: largest distance of counterparts in the first step; it shrinks to `_END_M`.
    """
    a, b = thinned(points_a, SENT_VOXEL_M), thinned(points_b, SENT_VOXEL_M)
    if min(len(a), len(b)) < _LEAST:
        return IcpResult(None, 0.0, float("inf"))
    tree, normals = cKDTree(a), normals_of(a)
    T = np.array(T_start, np.float64)
    for reach_m in np.geomspace(start_m, _END_M, _STEPS):
        moved = transform_points(T, b)
        distance, nearest = tree.query(moved, distance_upper_bound=reach_m)
        near = np.isfinite(distance)
        if near.sum() < _LEAST:
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
    distance, nearest = tree.query(moved, distance_upper_bound=_END_M)
    near = np.isfinite(distance)
    n, p = normals[nearest[near]], moved[near]
    error = ((p - a[nearest[near]]) * n).sum(axis=1)
    rmse_m = float(np.sqrt((error**2).mean())) if near.any() else float("inf")
    arm = n[:, 1] * (p[:, 0] - T[0, 3]) - n[:, 0] * (p[:, 1] - T[1, 3])
    jacobian = np.column_stack([n, arm])
    return IcpResult(T, float(near.mean()), rmse_m, jacobian.T @ jacobian)


def normals_of(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors (N,3) along which the neighbourhood of each of N points spreads least."""
    _, neighbours = cKDTree(points).query(points, min(_NEIGHBOURS, len(points)))
    around = points[neighbours] - points[neighbours].mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.eigh(np.swapaxes(around, 1, 2) @ around)[1][:, :, 0])
