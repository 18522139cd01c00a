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
# Variance of matches in units of what their nodes say, and how many degrees of freedom it counts for.
_SCALE, _SCALE_MATCHES = 0.3, 4.0
# Degrees of freedom of Student's distribution.
_FREEDOM = 4.0
# How often what the matches of a quarter add up to counts: a fit makes it small. This and what follows was
# fitted to the errors of 319 pairs: simulated places with LiDARs of many makes and states and with good ones,
# and a drive with a real one.
_QUARTERS = 2.0
# Standard deviations of what all matches have in common, in position and yaw; of what is measured (number,
# spread and misfit of the matches) nothing tells how much that is. Of 250 pairs of the families for training
# 70 and 91 % lie inside the ellipses of 68 and 95 %, of 105 of the families kept for evaluation 73 and 93 %.
_COMMON_M, _COMMON_RAD = 0.025, float(np.deg2rad(0.02))
_STEPS = 8


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
    """Return the planar pose by robust least squares and its covariance (3,3) of x, y, yaw.

    The covariance has three parts:

    - What the number and the geometry of the matches say. Its scale follows from how well they agree, as far
      as there are enough of them to tell it (`_SCALE`).
    - What matches beside each other have in common: a box, a wall or a sweep that is off moves all of one
      side. Whatever the matches of each quarter add up to counts as one error (the robust covariance of
      clustered data, Liang and Zeger, Biometrika 1986).
    - What all of them have in common and cannot say (`_COMMON_M`), an error about their middle.
    """
    p, q, count = matched.p, matched.q, len(matched.p)
    x, y, yaw = T_start[0, 3], T_start[1, 3], float(np.arctan2(T_start[1, 0], T_start[0, 0]))
    scale = _SCALE
    # Rows of x first, then those of y.
    jacobian = np.zeros((2 * count, 3))
    jacobian[:count, 0] = jacobian[count:, 1] = 1
    for _ in range(_STEPS):
        cos, sin = np.cos(yaw), np.sin(yaw)
        turned_x, turned_y = cos * p[:, 0] - sin * p[:, 1], sin * p[:, 0] + cos * p[:, 1]
        jacobian[:count, 2], jacobian[count:, 2] = -turned_y, turned_x
        error = np.concatenate([turned_x + x - q[:, 0], turned_y + y - q[:, 1]])
        squares = matched.weights * (error[:count] ** 2 + error[count:] ** 2)
        # Matches far off count less, as where errors have Student's distribution.
        less = (_FREEDOM + 2) / (_FREEDOM + squares / scale)
        weights = matched.weights * less
        weighted = np.concatenate([weights, weights])[:, None] * jacobian
        hessian, gradient = weighted.T @ jacobian, weighted.T @ error
        turn_error = wrap_angle(2 * (yaw - matched.turns)) / 2
        # A heading far off belongs to a box that was seen badly, or that its sender turned by a right angle.
        good = np.abs(turn_error) < 3 * matched.turn_sigma_rad
        turn_weight = scale / matched.turn_sigma_rad**2
        hessian[2, 2] += good.sum() * turn_weight
        gradient[2] += turn_error[good].sum() * turn_weight
        step = np.linalg.solve(hessian, -gradient)
        x, y, yaw = x + step[0], y + step[1], yaw + step[2]
        scale = (_SCALE_MATCHES * _SCALE + less @ squares) / (_SCALE_MATCHES + max(2 * count - 3, 0))
        if np.abs(step).max() < 1e-9:
            break
    arm = np.array([weights @ turned_x, weights @ turned_y]) / weights.sum()
    quarter = (turned_x > arm[0]) + 2 * (turned_y > arm[1])
    of_quarter = np.tile(quarter, 2) == np.arange(4)[:, None]
    sums = of_quarter @ (weighted * error[:, None])
    inverse = np.linalg.inv(hessian)
    spread = inverse @ (scale * hessian + _QUARTERS * sums.T @ sums) @ inverse
    z = float(matched.weights @ (q[:, 2] - p[:, 2]) / matched.weights.sum())
    T = transform_from_planar(x, y, float(wrap_angle(yaw)), z)
    return T, spread + common_covariance(arm, _COMMON_M, _COMMON_RAD)


def common_covariance(arm: Array, sigma_m: float, sigma_rad: float) -> Array:
    """Return the covariance (3,3) of x, y, yaw by an error that all measurements of a pose have in common.

    Args:
        arm: (2,) middle of the measurements seen from b, along the axes of a: there a turn moves nothing.
        sigma_m, sigma_rad: standard deviations of the position of the middle per axis, and of the yaw.
    """
    from_middle = np.array([[1, 0, arm[1]], [0, 1, -arm[0]], [0, 0, 1]])
    return np.asarray(from_middle @ np.diag([sigma_m, sigma_m, sigma_rad]) ** 2 @ from_middle.T)
