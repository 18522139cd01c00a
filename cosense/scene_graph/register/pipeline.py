"""Register two scene graphs: find the pose of b in the frame of a, or say why there is none.

Candidates, consistency, maximum clique, planar fit, GNC-TLS, covariance, tests. The pipeline follows SG-Reg
(arXiv 2504.14440, registration back-end) and G3Reg in pruning before fitting. We differ:

- One clique for each yaw (`candidates.py`) instead of one for all: each is a hypothesis, and the one whose
  pose has most support wins, not the largest clique. The margin is measured against the others.
- The runner-up is searched among the matches that the winning pose does not explain, instead of among cliques
  that share less than half of the winner's: two different poses share hardly a match, while two detections of
  one car make cliques that differ in every match and mean one pose.
- Cliques are searched among the likeliest pairs. Where these are not all, the best poses are also shifted,
  and every possible pair counts (`PoseSupport.shifted`): in a car park a descriptor tells few cars apart.
- The number of matches needed is computed from the number that agrees by chance (`PoseSupport.false_alarms`),
  given how many nodes there are and how dense they are, instead of "5, and 6 of one class": 6 are a lot among
  10 and nothing among 40 alike.
- Only a different pose that is no chance itself makes the best one ambiguous: with five objects that agree
  somewhere, four agree by chance elsewhere, more often than not.
- Nodes that a pose leaves unexplained count against it only beside a rival pose (`PoseSupport.rivals`). By
  themselves they may be hidden, which a graph does not say.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.geometry.transforms import wrap_angle
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.register.candidates import (
    MAX_CANDIDATES,
    YAW_BINS,
    Candidates,
    Consistency,
    find_candidates,
    find_consistency,
)
from cosense.scene_graph.register.clique import Work, largest_clique
from cosense.scene_graph.register.hypotheses import MAX_RUNNER_UP, Hypothesis, PoseSupport
from cosense.scene_graph.register.planar_pose import Matched, refine
from cosense.scene_graph.register.result import (
    Prior,
    RegistrationResult,
    Status,
    is_too_uncertain,
    planar,
    sigmas_of,
)
from cosense.scene_graph.register.usable_nodes import MAX_AGE_S, UsableNodes, usable_nodes

# Vertices that the clique searches may colour: a bound on time that gives the same result on every machine,
# at most some 25 ms on a slow core.
_MAX_WORK = 20_000
# Matches that two different poses may share: those near the one place at which both agree.
_SHARED = 2
# Poses of cliques that are also shifted where cliques have not seen every pair.
_SHIFTED = 3
# A different pose that is expected more often by chance says nothing against the best one. Of 432 pairs of
# simulated crossings, parked and curved roads, two thirds of them with nodes left out, 16 were ambiguous
# without this and 3 are; none of the poses gained was wrong.
_MAX_FALSE_ALARMS_OF_RIVAL = 0.1
# The published margin is two; one more or less is noise.
_MIN_MARGIN = 2
# Standard deviation of the inliers across their longest direction.
_MIN_SPREAD_M = 1.0
# Chi-square bound of three degrees of freedom, 99 %.
_GATE = 11.345


@dataclass(frozen=True)
class _Needed:
    """The least support of a pose.

    Attributes:
        inliers: number of matches below which there is no pose, however rare the agreement.
        max_false_alarms: largest expected number of such agreements by chance.
    """

    inliers: int
    max_false_alarms: float


# Of 1536 pairs of strangers at simulated crossings, parked and curved roads two were accepted at 1e-2 and
# none at 1e-3, which costs one of 128 pairs of one place.
_NEEDED_ALONE, _NEEDED_WITH_PRIOR = _Needed(5, 1e-3), _Needed(3, 1e-2)


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
        prior: pose that is known before. It says where to look and is not part of the result, so that a
            filter may weigh both.
        max_candidates: number of pairs of nodes among which cliques are searched.

    Returns:
        The pose with covariance, or a status with the reason; never raises for the content of a graph.
    """
    start = time.perf_counter()
    result = _register(graph_a, graph_b, prior, max_candidates)
    return replace(result, time_ms=(time.perf_counter() - start) * 1e3)


def _register(
    graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior | None, max_candidates: int
) -> RegistrationResult:
    needed = _NEEDED_ALONE if prior is None else _NEEDED_WITH_PRIOR
    stamp_ns = max(graph_a.stamp_ns, graph_b.stamp_ns)
    given = _have_descriptors(graph_a, graph_b)
    a, b = (usable_nodes(graph, stamp_ns, with_descriptors=given) for graph in (graph_a, graph_b))
    sizes = f"{len(a)} and {len(b)} usable nodes of {len(graph_a)} and {len(graph_b)}"
    if min(len(a), len(b)) < needed.inliers:
        age_s = abs(graph_a.stamp_ns - graph_b.stamp_ns) / 1e9
        if age_s > MAX_AGE_S and min(len(graph_a), len(graph_b)) >= needed.inliers:
            return RegistrationResult(Status.STALE, f"{age_s:.1f} s between the graphs: {sizes}")
        return RegistrationResult(Status.TOO_FEW, f"{sizes}, {needed.inliers} are needed")
    candidates = find_candidates(a, b, prior, max_candidates)
    if not len(candidates):
        return RegistrationResult(
            Status.NO_CANDIDATES, f"nothing in one graph can be anything in the other: {sizes}"
        )
    consistency = find_consistency(candidates, a, b, prior)
    work, chosen = Work(_MAX_WORK), PoseSupport(candidates, a, b)
    everything = chosen
    if len(candidates) == max_candidates:
        everything = PoseSupport(find_candidates(a, b, prior, len(a) * len(b)), a, b)
    best, alarms, other, rivals = _best_pose(chosen, everything, consistency, needed, work)
    if best is None:
        cut = Status.TIMEOUT if work.cut else Status.TOO_FEW
        return RegistrationResult(cut, f"no {counted(needed.inliers, 'match')} fit together: {sizes}")
    return _judge(best, alarms, other, rivals, everything.candidates, a, b, prior, needed, work)


def _have_descriptors(graph_a: SceneGraph, graph_b: SceneGraph) -> bool:
    in_a, in_b = graph_a.descriptors, graph_b.descriptors
    return in_a is not None and in_b is not None and in_a.shape[1:] == in_b.shape[1:]


def _best_pose(
    chosen: PoseSupport, everything: PoseSupport, consistency: Consistency, needed: _Needed, work: Work
) -> tuple[Hypothesis | None, float, int, bool]:
    """Return the pose with most support, its false alarms, the best other support, whether there are rivals.

    Different poses are not looked for where the first one is refused anyway.

    Args:
        chosen: support by the candidates among which cliques are searched.
        everything: support by all possible pairs, which decides; the same object where these are not too
            many.
        consistency: consistent pairs of the chosen candidates.
        needed: support that the pose needs.
        work: budget of all cliques.
    """
    count = len(chosen.candidates)
    bins = [consistency.edges[consistency.in_bin(centre)] for centre in range(YAW_BINS)]
    # The fullest first: it sets how large a clique must be in the others.
    bins = sorted((edges for edges in bins if len(edges) >= 3), key=len, reverse=True)
    cliques: set[tuple[int, ...]] = set()
    largest = 2
    for edges in bins:
        clique = largest_clique(count, edges, max(2, largest - _MIN_MARGIN), work)
        largest = max(largest, len(clique))
        cliques.add(tuple(clique))
    found = [chosen.fit_clique(list(c)) for c in sorted(cliques) if len(c) > max(2, largest - _MIN_MARGIN)]
    if not found:
        return None, np.inf, 0, False
    left_out = len(everything.candidates) / count
    if left_out > 1:
        first = sorted(found, key=lambda one: one.rank, reverse=True)[:_SHIFTED]
        found = [pose for one in first for pose in (everything.refit(one.T_a_b), *everything.shifted(one))]
    best = everything.polish(max(found, key=lambda one: one.rank))
    poses_tried = len(consistency.edges) * left_out**2
    alarms = everything.false_alarms(best, poses_tried)
    if len(best.matches) < needed.inliers or alarms > needed.max_false_alarms:
        return best, alarms, 0, False
    # Two different poses agree at one place; matches within the bounds around it support both.
    explained = np.abs(chosen.differences(best.T_a_b)) < 1
    larger_than = max(2, int(MAX_RUNNER_UP * len(best.matches)) - _SHARED)
    for edges in bins:
        left = edges[~(explained[edges[:, 0]] | explained[edges[:, 1]])]
        clique = largest_clique(count, left, larger_than, work)
        if clique:
            found.append(everything.refit(chosen.fit_clique(clique).T_a_b))
    other, rivals = _strongest_other(best, found, everything, poses_tried)
    return best, alarms, other, rivals


def _strongest_other(
    best: Hypothesis, found: list[Hypothesis], support: PoseSupport, poses_tried: float
) -> tuple[int, bool]:
    """Return the support of the best different pose, and whether there is a rival.

    Support that chance alone would give says nothing against the best pose, however near it comes.
    """
    count = len(best.matches)
    near = min(MAX_RUNNER_UP * count, count - _MIN_MARGIN)
    others = [one for one in found if not support.same(one, best)]
    other = 0
    for one in sorted(others, key=lambda one: one.rank, reverse=True):
        matches = len(one.matches)
        if matches <= near:
            return max(other, matches), False
        if support.false_alarms(one, poses_tried) < _MAX_FALSE_ALARMS_OF_RIVAL:
            other = max(other, matches)
            if count - matches < _MIN_MARGIN or support.rivals(best, one):
                return other, True
    return other, False


def _judge(
    best: Hypothesis,
    alarms: float,
    other: int,
    rivals: bool,
    candidates: Candidates,
    a: UsableNodes,
    b: UsableNodes,
    prior: Prior | None,
    needed: _Needed,
    work: Work,
) -> RegistrationResult:
    """Return the result of all tests, the most telling ones first."""
    matches, count = best.matches, len(best.matches)
    pairs = np.stack([a.index[candidates.a[matches]], b.index[candidates.b[matches]]], axis=1)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    margin = count - other

    def refuse(status: Status, reason: str) -> RegistrationResult:
        return RegistrationResult(status, reason, None, None, pairs, margin, alarms)

    few = count < needed.inliers or alarms > needed.max_false_alarms
    if few and not work.cut:
        by_chance = f"which {alarms:.2g} poses would by chance"
        lacking = f"{needed.inliers} are needed" if count < needed.inliers else by_chance
        return refuse(Status.TOO_FEW, f"agreement of {counted(count, 'match')}, {lacking}")
    if not few and (margin < _MIN_MARGIN or rivals):
        return refuse(
            Status.AMBIGUOUS, f"{counted(count, 'match')} for one pose and {other} for a different one"
        )
    if work.cut:
        return refuse(
            Status.TIMEOUT,
            f"agreement of {counted(count, 'match')}, but not every other pose could be looked at in time",
        )
    spread_m = _spread(candidates.q[matches])
    if spread_m < _MIN_SPREAD_M:
        return refuse(
            Status.COLLINEAR, f"the {count} things that agree lie on a line: {spread_m:.1f} m across it"
        )
    T, covariance = refine(best.T_a_b, _matched(best, candidates, a, b))
    sigma_m, sigma_rad = sigmas_of(covariance)
    figures = (
        f"{counted(count, 'match')}, margin {margin}, {sigma_m:.2f} m and {np.rad2deg(sigma_rad):.2f} degrees"
    )
    if is_too_uncertain(sigma_m, sigma_rad):
        return refuse(Status.HIGH_COVARIANCE, f"too uncertain: {figures}")
    if prior is not None:
        difference = planar(T) - planar(prior.T_a_b)
        difference[2] = wrap_angle(difference[2])
        distance = float(difference @ np.linalg.solve(prior.covariance + covariance, difference))
        if distance > _GATE:
            return refuse(Status.GATED, f"chi-square {distance:.0f} from the prior, {_GATE:.1f} is the gate")
    return RegistrationResult(Status.REGISTERED, figures, T, covariance, pairs, margin, alarms)


def _spread(positions: NDArray[np.float64]) -> float:
    """Return the standard deviation of positions across their longest direction, seen from above."""
    return float(np.sqrt(max(np.linalg.eigvalsh(np.cov(positions[:, :2].T, bias=True))[0], 0.0)))


def _matched(best: Hypothesis, candidates: Candidates, a: UsableNodes, b: UsableNodes) -> Matched:
    """Return the matches for the final estimate."""
    rows = best.matches
    turns = a.yaws[candidates.a[rows]] - b.yaws[candidates.b[rows]]
    return Matched(candidates.p[rows], candidates.q[rows], candidates.weights[rows], turns)
