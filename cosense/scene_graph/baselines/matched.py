"""From matched nodes to a registration: what both object baselines end with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.scene_graph.register.planar_pose import Matched, planar_fit, refine
from cosense.scene_graph.register.result import Registration, Settings, Status
from cosense.scene_graph.register.usable_nodes import Nodes

LEAST = 3


def registration_of(a: Nodes, b: Nodes, i: NDArray[np.int64], j: NDArray[np.int64]) -> Registration:
    """Return the pose that nodes `i` of a and `j` of b, matched one to one, tell.

    As in the published methods every match counts; what speaks against the pose is only that they are too few
    or agree so badly that its covariance is too large.
    """
    pairs = np.stack([a.index[i], b.index[j]], axis=1)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    if not len(i):
        return Registration(Status.NO_CANDIDATES, "nothing matches")
    if len(i) < LEAST:
        return Registration(Status.TOO_FEW, f"{len(i)} matches, {LEAST} are needed", inliers=pairs)
    settings = Settings()
    variance = a.sigmas_m[i] ** 2 + b.sigmas_m[j] ** 2
    T = planar_fit(b.positions[j], a.positions[i], 1 / variance)
    turn_sigma_rad = settings.heading_sigma_rad * float(np.sqrt(2))
    turns = a.yaws[i] - b.yaws[j]
    T, covariance = refine(T, Matched(b.positions[j], a.positions[i], 1 / variance, turns, turn_sigma_rad))
    sigma_m = float(np.sqrt(np.linalg.eigvalsh(covariance[:2, :2]).max()))
    figures = f"{len(i)} matches, {sigma_m:.2f} m and {np.rad2deg(np.sqrt(covariance[2, 2])):.2f} degrees"
    if sigma_m > settings.max_sigma_translation_m or covariance[2, 2] > settings.max_sigma_yaw_rad**2:
        return Registration(Status.HIGH_COVARIANCE, f"too uncertain: {figures}", inliers=pairs)
    return Registration(Status.REGISTERED, figures, T, covariance, pairs)
