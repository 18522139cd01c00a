"""Planar poses from matched points: closed form, graduated non-convexity, estimate with covariance.

SG-Reg (arXiv 2504.14440, registration back-end) fits SE(3) with truncated least squares by graduated
non-convexity (GNC-TLS, Yang et al., arXiv 1909.08605). We differ:

- Gravity is known to a vehicle and to a roadside unit, so the pose has four degrees of freedom: x, y, z, yaw.
  Fewer matches are needed, and no tilt is invented from points that all lie near the ground.
- The means are weighted like the sums, and each match has its own bound.
- The last step also uses the headings of boxes: five cars that are 30 m away tell the yaw no better than
  their own headings do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix, transform_from_planar, wrap_angle

Array = NDArray[np.float64]
# Standard deviation of the difference of two headings; that of the heading of one box or wall is 4 degrees.
TURN_SIGMA_RAD = float(np.deg2rad(4)) * float(np.sqrt(2))


def planar_fit(p: Array, q: Array, weights: Array) -> Matrix:
    """Return the yaw and translation (4,4) that map points `p` (N,3) best onto `q` (N,3).

    Args:
        p: points in the source frame.
        q: the same points in the target frame.
        weights: (N,) weights, not all zero.
    """
    share = weights / weights.sum()
    p_mean, q_mean = share @ p, share @ q
    p0, q0 = p - p_mean, q - q_mean
    yaw = np.arctan2(
        share @ (p0[:, 0] * q0[:, 1] - p0[:, 1] * q0[:, 0]), share @ (p0[:, :2] * q0[:, :2]).sum(axis=1)
    )
    T = transform_from_planar(0, 0, float(yaw))
    T[:3, 3] = q_mean - T[:3, :3] @ p_mean
    return T


def distances(T: Matrix, p: Array, q: Array) -> Array:
    """Return the distances (N,) of points `p` mapped by `T` from `q`, seen from above."""
    return np.linalg.norm(p @ T[:2, :3].T + T[:2, 3] - q[:, :2], axis=1)


def gnc_tls(p: Array, q: Array, weights: Array, bounds: Array) -> tuple[Matrix, Array]:
    """Return the planar pose that most matches agree upon, and the share (N,) of each match in it, 0 to 1.

    Args:
        p: (N,3) points in the source frame.
        q: (N,3) their possible counterparts in the target frame.
        weights: (N,) inverse variances.
        bounds: (N,) metres; a match farther off than this has no share.
    """
    share = np.ones(len(p))
    T = planar_fit(p, q, weights)
    squares = (distances(T, p, q) / bounds) ** 2
    if 2 * squares.max() <= 1:
        return T, share
    mu, cost = 1 / (2 * squares.max() - 1), np.inf
    for _ in range(100):
        upper, lower = (mu + 1) / mu, mu / (mu + 1)
        middle = np.sqrt(mu * (mu + 1) / np.maximum(squares, 1e-12)) - mu
        share = np.where(squares >= upper, 0.0, np.where(squares <= lower, 1.0, middle))
        if share.sum() < 1e-9:
            break
        T = planar_fit(p, q, weights * share)
        squares = (distances(T, p, q) / bounds) ** 2
        before, cost = cost, float(share @ squares)
        if abs(cost - before) < 1e-6 and mu > 1:
            break
        mu *= 1.4
    return T, share


@dataclass(frozen=True)
class Matched:
    """K matched nodes of b and a, for the final estimate.

    Attributes:
        p, q: (K,3) positions in b and in a.
        weights: (K,) inverse variance of the difference q - p, per axis.
        turns: (K,) heading in a minus heading in b, known up to pi; NaN where one node has none.
        turn_sigma_rad: standard deviation of a turn.
    """

    p: Array
    q: Array
    weights: Array
    turns: Array
    turn_sigma_rad: float = TURN_SIGMA_RAD


def refine(T_start: Matrix, matched: Matched) -> tuple[Matrix, Array]:
    """Return the planar pose by Gauss-Newton and its covariance (3,3) of x, y, yaw.

    The covariance follows from that of the inputs, enlarged where the matches agree less well than expected.
    """
    p, q = matched.p, matched.q
    x, y, yaw = T_start[0, 3], T_start[1, 3], float(np.arctan2(T_start[1, 0], T_start[0, 0]))
    for _ in range(5):
        cos, sin = np.cos(yaw), np.sin(yaw)
        turned = p[:, :2] @ np.array([[cos, sin], [-sin, cos]])
        jacobian = np.zeros((len(p), 2, 3))
        jacobian[:, 0, 0] = jacobian[:, 1, 1] = 1
        jacobian[:, 0, 2], jacobian[:, 1, 2] = -turned[:, 1], turned[:, 0]
        error = turned + np.array([x, y]) - q[:, :2]
        hessian = np.einsum("k,kji,kjl->il", matched.weights, jacobian, jacobian)
        gradient = np.einsum("k,kji,kj->i", matched.weights, jacobian, error)
        turn_error = wrap_angle(2 * (yaw - matched.turns)) / 2
        # A heading far off belongs to a box that was seen badly, or that its sender turned by a right angle.
        good = np.abs(turn_error) < 3 * matched.turn_sigma_rad
        hessian[2, 2] += good.sum() / matched.turn_sigma_rad**2
        gradient[2] += turn_error[good].sum() / matched.turn_sigma_rad**2
        step = np.linalg.solve(hessian, -gradient)
        x, y, yaw = x + step[0], y + step[1], yaw + step[2]
        if np.abs(step).max() < 1e-12:
            break
    chi_square = float(matched.weights @ (error**2).sum(axis=1))
    excess = chi_square / max(2 * len(p) - 3, 1)
    z = float(matched.weights @ (q[:, 2] - p[:, 2]) / matched.weights.sum())
    return transform_from_planar(x, y, float(wrap_angle(yaw)), z), max(1.0, excess) * np.linalg.inv(hessian)
