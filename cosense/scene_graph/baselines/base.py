"""From matched nodes to a result: the last step of the baselines that match objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.scene_graph.register.planar_pose import distances, planar_fit, refine
from cosense.scene_graph.register.result import RegistrationResult, Status, is_too_uncertain, sigmas_of
from cosense.scene_graph.register.usable_nodes import UsableNodes, matched_nodes

_LEAST = 3


def result_of_matches(
    a: UsableNodes, b: UsableNodes, i: NDArray[np.int64], j: NDArray[np.int64]
) -> RegistrationResult:
    """Return the pose of nodes `i` of a and `j` of b, matched one to one.

    As in the published methods every match counts; a pose is only refused if the matches are too few, or
    agree so badly that its covariance is too large.
    """
    pairs = np.stack([a.index[i], b.index[j]], axis=1)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    if not len(i):
        return RegistrationResult(Status.NO_CANDIDATES, "nothing matches")
    if len(i) < _LEAST:
        return RegistrationResult(
            Status.TOO_FEW, f"{counted(len(i), 'match')}, {_LEAST} are needed", inliers=pairs
        )
    matched = matched_nodes(a, b, i, j)
    T, covariance = refine(planar_fit(matched.p, matched.q, matched.weights), matched)
    # Here a match may be wrong by any distance, and no test has left it out.
    chi_square = float(matched.weights @ distances(T, matched.p, matched.q) ** 2)
    covariance = covariance * max(1.0, chi_square / max(2 * len(i) - 3, 1))
    sigma_m, sigma_rad = sigmas_of(covariance)
    figures = f"{counted(len(i), 'match')}, {sigma_m:.2f} m and {np.rad2deg(sigma_rad):.2f} degrees"
    if is_too_uncertain(sigma_m, sigma_rad):
        return RegistrationResult(Status.HIGH_COVARIANCE, f"too uncertain: {figures}", inliers=pairs)
    return RegistrationResult(Status.REGISTERED, figures, T, covariance, pairs)
