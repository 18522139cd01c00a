"""Poses from matched points: closed forms, graduated non-convexity, the planar estimate with covariance.

SG-Reg (arXiv 2504.14440, `spec/sgreg.md` §4C) fits SE(3) with truncated least squares by graduated
non-convexity (GNC-TLS, Yang et al., arXiv 1909.08605). We differ:

- Gravity is known to a vehicle and to a pole at the road, so the pose has four degrees of freedom: x, y, z,
  yaw. Three matches fewer are needed and no tilt is invented from points that all lie near the ground.
  `rigid_fit` is there too.
- The means are weighted as the sums are (the published code forgot that), and each match has its own bound.
- The last step uses headings of boxes, too: five cars that are 30 m away tell the yaw no better than their
  own headings do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix, transform_from, transform_from_planar, wrap_angle

Array = NDArray[np.float64]


def planar_fit(p: Array, q: Array, weights: Array) -> Matrix:
    """Return (4,4) of the yaw and translation that map points `p` (N,3) best onto `q` (N,3).

    Args:
        p: points of the source.
        q: where they are in the target.
        weights: (N,), not all zero.
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


def rigid_fit(p: Array, q: Array, weights: Array) -> Matrix:
    """Return (4,4) of the rotation in 3D and translation that map `p` (N,3) best onto `q` (N,3) (Kabsch)."""
    share = weights / weights.sum()
    p_mean, q_mean = share @ p, share @ q
    u, _, vt = np.linalg.svd((q - q_mean).T @ (share[:, None] * (p - p_mean)))
    sign = np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)])
    rotation = u @ sign @ vt
    return transform_from(rotation, q_mean - rotation @ p_mean)


def distances(T: Matrix, p: Array, q: Array, planar: bool = True) -> Array:
    """Return (N,) how far `p` mapped by `T` is from `q`, seen from above where `planar`."""
    axes = 2 if planar else 3
    return np.linalg.norm(p @ T[:axes, :3].T + T[:axes, 3] - q[:, :axes], axis=1)


def gnc_tls(p: Array, q: Array, weights: Array, bounds: Array, planar: bool = True) -> tuple[Matrix, Array]:
    """Return the pose that most agree upon and (N,) how much each match counts, 0 to 1.

    Args:
        p: (N,3) points of the source.
        q: (N,3) where they might be in the target.
        weights: (N,) inverse variances.
        bounds: (N,) metres; a match farther off than this has no say.
        planar: yaw and translation, distances seen from above; else SE(3).
    """
    fit = planar_fit if planar else rigid_fit
    share = np.ones(len(p))
    T = fit(p, q, weights)
    squares = (distances(T, p, q, planar) / bounds) ** 2
    if 2 * squares.max() <= 1:
        return T, share
    mu, cost = 1 / (2 * squares.max() - 1), np.inf
    for _ in range(100):
        upper, lower = (mu + 1) / mu, mu / (mu + 1)
        middle = np.sqrt(mu * (mu + 1) / np.maximum(squares, 1e-12)) - mu
        share = np.where(squares >= upper, 0.0, np.where(squares <= lower, 1.0, middle))
        if share.sum() < 1e-9:
            break
        T = fit(p, q, weights * share)
        squares = (distances(T, p, q, planar) / bounds) ** 2
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
        turns: (K,) how much the heading in a differs from that in b, known up to pi; NaN where one has none.
        turn_sigma_rad: standard deviation of a turn.
    """

    p: Array
    q: Array
    weights: Array
    turns: Array
    turn_sigma_rad: float


def refine(T_start: Matrix, matched: Matched) -> tuple[Matrix, Array]:
    """Return the planar pose by Gauss-Newton and its covariance (3,3) of x, y, yaw.

    The covariance is that of the inputs, made larger where the matches agree less well than they should.
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
        # A heading far off is that of a box seen badly, or of one that its sender turned by a right angle.
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
