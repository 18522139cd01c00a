"""Generalised ICP of two clouds (Segal et al., RSS 2009) by the library small_gicp.

The search has two rounds, with counterparts up to 3 m and up to 1 m away. Frames are levelled, so roll and
pitch of what comes out are dropped. GICP believes that a point on bare ground also tells where along the
ground it is; so the covariance is that of the distances from planes, as of point-to-plane ICP, where so
many points count as one measurement.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, transform_from_planar, yaw_of
from cosense.messages.envelope import PayloadKind
from cosense.scene_graph.register.result import (
    Prior,
    RegistrationResult,
    Status,
    is_too_uncertain,
    sigmas_of,
)
from cosense.scene_graph.registrations import SENT_VOXEL_M, Cloud

PAYLOAD = PayloadKind.POINTS
# Two rounds of the search, and one step that is not taken, for its information.
_ROUNDS = (("GICP", 3.0, 30), ("GICP", 1.0, 30), ("PLANE_ICP", 0.5, 1))
_NEIGHBOURS = 15
_LEAST = 50
# Clouds that overlap less than this under the pose are of different places.
_MIN_OVERLAP = 0.1
_POINTS_PER_MEASUREMENT = 100
# Rows of x, y and yaw in what the library estimates: three turns, then three shifts, along the axes of b.
_PLANAR = np.array([3, 4, 2])


def register(a: Cloud, b: Cloud, prior: Prior) -> RegistrationResult:
    """Return the pose of b in a's frame by their clouds, searched from the prior, with a status.

    Raises:
        CosenseError: small_gicp is not installed.
    """
    start = time.perf_counter()
    return replace(_register(a, b, prior.T_a_b), time_ms=(time.perf_counter() - start) * 1e3)


def _register(a: Cloud, b: Cloud, T_start: Matrix) -> RegistrationResult:
    small_gicp = _library()
    (points_a, tree), (points_b, _) = (
        small_gicp.preprocess_points(
            _finite(cloud.points), downsampling_resolution=SENT_VOXEL_M, num_neighbors=_NEIGHBOURS
        )
        for cloud in (a, b)
    )
    if min(points_a.size(), points_b.size()) < _LEAST:
        return RegistrationResult(Status.TOO_FEW, f"a cloud has fewer than {_LEAST} points")
    T = T_start
    for kind, reach_m, iterations in _ROUNDS:
        fit = small_gicp.align(
            points_a,
            points_b,
            tree,
            init_T_target_source=T,
            registration_type=kind,
            max_correspondence_distance=reach_m,
            max_iterations=iterations,
        )
        T = fit.T_target_source if iterations > 1 else T
    overlap = fit.num_inliers / points_b.size()
    if overlap < _MIN_OVERLAP:
        return RegistrationResult(Status.TOO_FEW, f"the clouds overlap by {100 * overlap:.0f} %")
    turn = np.eye(3)
    turn[:2, :2] = T[:2, :2]
    scale = 2 * fit.error / fit.num_inliers * _POINTS_PER_MEASUREMENT
    covariance = turn @ np.linalg.inv(fit.H)[np.ix_(_PLANAR, _PLANAR)] @ turn.T * scale
    sigma_m, sigma_rad = sigmas_of(covariance)
    figures = f"overlap {100 * overlap:.0f} %, {sigma_m:.2f} m, {np.rad2deg(sigma_rad):.2f} degrees"
    if is_too_uncertain(sigma_m, sigma_rad):
        return RegistrationResult(Status.HIGH_COVARIANCE, f"too uncertain: {figures}")
    level = transform_from_planar(T[0, 3], T[1, 3], yaw_of(T), T[2, 3])
    return RegistrationResult(Status.REGISTERED, figures, level, covariance)


def _finite(points: NDArray) -> NDArray[np.float64]:
    xyz = np.asarray(points[:, :3], np.float64)
    return np.ascontiguousarray(xyz[np.isfinite(xyz).all(axis=1)])


def _library() -> Any:
    try:
        import small_gicp
    except ImportError as error:
        raise CosenseError(
            f"registration 'gicp' needs small_gicp ({error}): pip install 'cosense[small_gicp]', or take icp"
        ) from None
    return small_gicp
