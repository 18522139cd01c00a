"""Register two scene graphs: find the pose of b in the frame of a, or say why there is none.

Candidates, consistency, maximum clique, planar fit, GNC-TLS, covariance, tests. The pipeline follows SG-Reg
(arXiv 2504.14440, registration back-end) and G3Reg in pruning before fitting. We differ:

- The number of matches needed is computed from the number that agrees by chance (`PoseSupport.false_alarms`),
  given how many nodes there are and how dense they are, instead of "5, and 6 of one class": 6 are a lot among
  10 and nothing among 40 alike.
- Nodes that a pose leaves unexplained count against it only beside a rival pose (`PoseSupport.rivals`). By
  themselves they may be hidden, which a graph does not say.
- A prior is a claim to test, not a restriction: both searches, near it and anywhere, always count.

The policy for priors. Near a prior fewer matches have to agree, because fewer poses are tried. The pose near
it is the answer unless at least two more matches agree at a different pose, with the support that is needed
without prior: then that one is the answer, however far it is from the prior (where both are one pose, it is
the one with more matches), and where it does not stand every other test (it is ambiguous, say) there is no
answer, GATED. Where no pose anywhere has that support, but a different one has two more matches than the one
near the prior and is hardly a chance, it may be either: AMBIGUOUS. Where chance alone gives half as many
matches again as there are near the prior, these may be chance as well: TOO_FEW.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.geometry.transforms import wrap_angle
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.register.candidates import MAX_CANDIDATES
from cosense.scene_graph.register.clique import Work
from cosense.scene_graph.register.hypotheses import MAX_RUNNER_UP
from cosense.scene_graph.register.planar_pose import refine
from cosense.scene_graph.register.result import (
    Prior,
    RegistrationResult,
    Status,
    is_too_uncertain,
    planar,
    sigmas_of,
)
from cosense.scene_graph.register.search import CLEARLY, MIN_MARGIN, Found, Needed, find_pose
from cosense.scene_graph.register.usable_nodes import MAX_AGE_S, UsableNodes, matched_nodes, usable_nodes

# Vertices that the clique searches may colour: a bound on time that gives the same result on every machine,
# at most some 25 ms on a slow core.
_MAX_WORK = 20_000
# Standard deviation of the inliers across their longest direction.
_MIN_SPREAD_M = 1.0
# Chi-square bound of three degrees of freedom, 99 %.
_GATE = 11.345
# Of 2200 pairs of strangers, simulated places of all families, one was accepted at 1e-3, with 6 matches; each
# such pair is a pose too many, so half of what is asked (one of a thousand) is allowed.
_NEEDED_ALONE, _NEEDED_WITH_PRIOR = Needed(5, 5e-4), Needed(3, 1e-2)


def register_graphs(
    graph_a: SceneGraph,
    graph_b: SceneGraph,
    prior: Prior | None = None,
    max_candidates: int = MAX_CANDIDATES,
) -> RegistrationResult:
    """Find the pose of agent b in the frame of agent a from the graphs of both.

    Args:
        graph_a, graph_b: graphs of any content; unusable nodes are left out. Descriptors are used where both
            graphs have some of one length, else computed.
        prior: pose that is claimed, tested by the policy above. It is not part of the result, so that a
            filter may weigh both.
        max_candidates: number of pairs of nodes among which cliques are searched.

    Returns:
        The pose with covariance, or a status with the reason; never raises for the content of a graph.
    """
    start = time.perf_counter()
    result = _register(graph_a, graph_b, prior, max_candidates)
    return replace(result, time_ms=(time.perf_counter() - start) * 1e3)


@dataclass(frozen=True)
class _Tests:
    """The tests that the pose of one search has to stand.

    Attributes:
        a, b: nodes of both.
        needed: support that it needs.
        work: budget of the search.
        prior: pose from which it must not be too far, None for any distance.
    """

    a: UsableNodes
    b: UsableNodes
    needed: Needed
    work: Work
    prior: Prior | None


def _register(
    graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior | None, max_candidates: int
) -> RegistrationResult:
    needed = _NEEDED_ALONE if prior is None else _NEEDED_WITH_PRIOR
    stamp_ns = max(graph_a.stamp_ns, graph_b.stamp_ns)
    given = _have_descriptors(graph_a, graph_b)
    a, b = (usable_nodes(graph, stamp_ns, with_descriptors=given) for graph in (graph_a, graph_b))
    if min(len(a), len(b)) < needed.inliers:
        sizes = f"{len(a)} and {len(b)} usable nodes of {len(graph_a)} and {len(graph_b)}"
        age_s = abs(graph_a.stamp_ns - graph_b.stamp_ns) / 1e9
        if age_s > MAX_AGE_S and min(len(graph_a), len(graph_b)) >= needed.inliers:
            return RegistrationResult(Status.STALE, f"{age_s:.1f} s between the graphs: {sizes}")
        return RegistrationResult(Status.TOO_FEW, f"{sizes}, {needed.inliers} are needed")
    work = Work(_MAX_WORK)
    alone = _Tests(a, b, _NEEDED_ALONE, work, None)
    if prior is None:
        return _judge(find_pose(a, b, None, max_candidates, _NEEDED_ALONE, work), alone)
    near = find_pose(a, b, prior, max_candidates, needed, work)
    anywhere = find_pose(a, b, None, max_candidates, _NEEDED_ALONE, work, near.pose)
    return _weigh(near, anywhere, _Tests(a, b, needed, work, prior), alone)


def _have_descriptors(graph_a: SceneGraph, graph_b: SceneGraph) -> bool:
    in_a, in_b = graph_a.descriptors, graph_b.descriptors
    return in_a is not None and in_b is not None and in_a.shape[1:] == in_b.shape[1:]


def _weigh(near: Found, anywhere: Found, with_prior: _Tests, alone: _Tests) -> RegistrationResult:
    """Return the answer to a prior, see above.

    Args:
        near: what was found near the prior.
        anywhere: what was found without it.
        with_prior, alone: tests of either.
    """
    prior = with_prior.prior
    assert prior is not None
    if near.pose is None and not anywhere.suffices(_NEEDED_ALONE):
        return _judge(anywhere, alone)
    claimed = _judge(near, with_prior)
    if anywhere.pose is None:
        return claimed
    different = near.pose is None or not anywhere.support.same(near.pose, anywhere.pose)
    more = anywhere.count - near.count
    if not anywhere.suffices(_NEEDED_ALONE):
        agree = f"{counted(anywhere.count, 'match')} agree elsewhere and {near.count} near the prior"
        if not (claimed.registered and different):
            return claimed
        if more >= MIN_MARGIN and not anywhere.is_chance:
            return RegistrationResult(Status.AMBIGUOUS, agree, inliers=claimed.inliers)
        is_less = near.count < min(anywhere.most - MIN_MARGIN, MAX_RUNNER_UP * anywhere.most)
        if is_less and near.alarms > CLEARLY * anywhere.alarms:
            reason = f"no more than chance: {agree}"
            return RegistrationResult(Status.TOO_FEW, reason, inliers=claimed.inliers)
        return claimed
    if claimed.registered and more < MIN_MARGIN:
        return claimed
    better = _judge(anywhere, alone)
    off_m = float(np.hypot(*(anywhere.pose.T_a_b - prior.T_a_b)[:2, 3]))
    where = f"{off_m:.1f} m from the prior" + (
        f", near which {counted(near.count, 'match')} agree" if different else ""
    )
    if better.registered:
        return replace(better, reason=f"{better.reason}; {where}")
    if more < MIN_MARGIN or not different:
        return claimed
    return replace(better, status=Status.GATED, reason=f"{better.status.value}: {better.reason}; {where}")


def _judge(found: Found, tests: _Tests) -> RegistrationResult:
    """Return the result of all tests, the most telling ones first."""
    best, needed = found.pose, tests.needed
    if best is None:
        sizes = f"{len(tests.a)} and {len(tests.b)} usable nodes"
        if not len(found.candidates):
            reason = f"nothing in one graph can be anything in the other: {sizes}"
            return RegistrationResult(Status.NO_CANDIDATES, reason)
        cut = Status.TIMEOUT if tests.work.cut else Status.TOO_FEW
        return RegistrationResult(cut, f"no {counted(needed.inliers, 'match')} fit together: {sizes}")
    candidates, matches, count = found.candidates, best.matches, found.count
    i, j = candidates.a[matches], candidates.b[matches]
    pairs = np.stack([tests.a.index[i], tests.b.index[j]], axis=1)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    margin = count - found.other

    def refuse(status: Status, reason: str) -> RegistrationResult:
        return RegistrationResult(status, reason, None, None, pairs, margin, found.alarms)

    few = not found.suffices(needed)
    if few and not tests.work.cut:
        by_chance = f"which {found.alarms:.2g} poses would by chance"
        lacking = f"{needed.inliers} are needed" if count < needed.inliers else by_chance
        return refuse(Status.TOO_FEW, f"agreement of {counted(count, 'match')}, {lacking}")
    if not few and found.rivals:
        return refuse(
            Status.AMBIGUOUS, f"{counted(count, 'match')} for one pose and {found.other} for a different one"
        )
    if tests.work.cut:
        return refuse(
            Status.TIMEOUT,
            f"agreement of {counted(count, 'match')}, but not every other pose could be looked at in time",
        )
    spread_m = _spread(candidates.q[matches])
    if spread_m < _MIN_SPREAD_M:
        return refuse(
            Status.COLLINEAR, f"the {count} things that agree lie on a line: {spread_m:.1f} m across it"
        )
    T, covariance = refine(best.T_a_b, matched_nodes(tests.a, tests.b, i, j))
    sigma_m, sigma_rad = sigmas_of(covariance)
    figures = (
        f"{counted(count, 'match')}, margin {margin}, {sigma_m:.2f} m and {np.rad2deg(sigma_rad):.2f} degrees"
    )
    if is_too_uncertain(sigma_m, sigma_rad):
        return refuse(Status.HIGH_COVARIANCE, f"too uncertain: {figures}")
    if tests.prior is not None:
        difference = planar(T) - planar(tests.prior.T_a_b)
        difference[2] = wrap_angle(difference[2])
        distance = float(difference @ np.linalg.solve(tests.prior.covariance + covariance, difference))
        if distance > _GATE:
            return refuse(Status.GATED, f"chi-square {distance:.0f} from the prior, {_GATE:.1f} is the gate")
    return RegistrationResult(Status.REGISTERED, figures, T, covariance, pairs, margin, found.alarms)


def _spread(positions: NDArray[np.float64]) -> float:
    """Return the standard deviation of positions across their longest direction, seen from above."""
    return float(np.sqrt(max(np.linalg.eigvalsh(np.cov(positions[:, :2].T, bias=True))[0], 0.0)))
