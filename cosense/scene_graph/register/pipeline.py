"""Register two scene graphs: say where b stands in a's frame, or why it cannot be said.

The pipeline of `spec/sgreg.md` §9.5: candidates, consistency, maximum clique, planar fit, GNC-TLS,
covariance, tests. It follows SG-Reg (arXiv 2504.14440, §4A and §4C) and G3Reg in pruning before fitting. We
differ:

- One clique for each yaw (`match.py`) instead of one for all: each is a hypothesis, and the one whose pose
  most matches agree with wins, not the largest clique. The others are what the margin is measured against.
- The runner-up is searched among the matches that the winning pose does not explain, instead of among cliques
  that share less than half of the winner's: two different poses share hardly a match, two detections of one
  car make cliques that differ in every match and mean one pose.
- Cliques are searched among the likeliest pairs. Where these are not all, the best poses are moved about so
  that every possible pair has its say (`Support.slid`): in a car park a descriptor tells few cars apart.
- How many must agree is computed from how many would by chance (`Support.false_alarms`), given how many
  things stand how densely, instead of "5, and 6 of one class": 6 are a lot among 10 and nothing among 40
  alike.
- Only a different pose that is no chance itself makes the best one ambiguous: with five things that agree
  somewhere, four agree by chance elsewhere, more often than not.
- What a pose leaves unexplained is held against it only beside a rival pose (`Support.rivals`). By itself it
  needs to be known what hides what, which a graph does not say.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import wrap_angle
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.register.candidates import (
    YAW_BINS,
    Candidates,
    Consistency,
    find_candidates,
    find_consistency,
)
from cosense.scene_graph.register.clique import Work, largest_clique
from cosense.scene_graph.register.hypotheses import Hypothesis, Support
from cosense.scene_graph.register.planar_pose import Matched, refine
from cosense.scene_graph.register.result import Prior, Registration, Settings, Status, planar
from cosense.scene_graph.register.usable_nodes import Nodes, prepare

# Matches that two different poses may share: those near the one place at which both agree.
SHARED = 2
# Of the poses that cliques tell, those that are moved about where cliques have not seen every pair.
SLIDES = 3


def register(
    graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior | None = None, settings: Settings | None = None
) -> Registration:
    """Find the pose of agent b in the frame of agent a from what both have around them.

    Args:
        graph_a, graph_b: graphs of any content; what cannot be used is left out. Descriptors are used where
            both graphs bring such of one length, else computed.
        prior: what is believed of the pose before. It says where to look and is not part of the result, so
            that a filter may weigh both.
        settings: None for the defaults.

    Returns:
        The pose with covariance, or a status with the reason; never raises for what a peer has sent.
    """
    start = time.perf_counter()
    result = _register(graph_a, graph_b, prior, settings or Settings())
    return replace(result, time_ms=(time.perf_counter() - start) * 1e3)


def _register(
    graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior | None, settings: Settings
) -> Registration:
    if prior is not None:
        settings = replace(
            settings,
            min_inliers=settings.min_inliers_with_prior,
            max_false_alarms=settings.max_false_alarms_with_prior,
        )
    need, stamp_ns = settings.min_inliers, max(graph_a.stamp_ns, graph_b.stamp_ns)
    given = _have_descriptors(graph_a, graph_b)
    a, b = (prepare(graph, stamp_ns, settings, given) for graph in (graph_a, graph_b))
    sizes = f"{len(a)} and {len(b)} usable nodes of {len(graph_a)} and {len(graph_b)}"
    if min(len(a), len(b)) < need:
        age_s = abs(graph_a.stamp_ns - graph_b.stamp_ns) / 1e9
        if age_s > settings.max_age_s and min(len(graph_a), len(graph_b)) >= need:
            return Registration(Status.STALE, f"{age_s:.1f} s between the graphs: {sizes}")
        return Registration(Status.TOO_FEW, f"{sizes}, {need} are needed")
    candidates = find_candidates(a, b, prior, settings)
    if not len(candidates):
        return Registration(
            Status.NO_CANDIDATES, f"nothing in one graph can be anything in the other: {sizes}"
        )
    consistency = find_consistency(candidates, a, b, prior, settings)
    work, chosen = Work(settings.max_work), Support(candidates, a, b, settings)
    everything = chosen
    if len(candidates) == settings.max_candidates:
        all_pairs = find_candidates(a, b, prior, replace(settings, max_candidates=len(a) * len(b)))
        everything = Support(all_pairs, a, b, settings)
    best, alarms, other, rivals = _best_pose(chosen, everything, consistency, settings, work)
    if best is None:
        cut = Status.TIMEOUT if work.cut else Status.TOO_FEW
        return Registration(cut, f"no {need} matches fit together: {sizes}")
    return _judge(best, alarms, other, rivals, everything.candidates, a, b, prior, settings, work)


def _have_descriptors(graph_a: SceneGraph, graph_b: SceneGraph) -> bool:
    in_a, in_b = graph_a.descriptors, graph_b.descriptors
    return in_a is not None and in_b is not None and in_a.shape[1:] == in_b.shape[1:]


def _best_pose(
    chosen: Support, everything: Support, consistency: Consistency, settings: Settings, work: Work
) -> tuple[Hypothesis | None, float, int, bool]:
    """Return the pose with most support, its false alarms, the best other support, whether there are rivals.

    Different poses are not looked for where the first one is refused anyway.

    Args:
        chosen: the candidates among which cliques are searched.
        everything: all possible pairs, the same where these are not too many: they decide.
        consistency: of the chosen.
        settings: of the registration.
        work: for all cliques.
    """
    count = len(chosen.candidates)
    bins = [consistency.edges[consistency.in_bin(centre)] for centre in range(YAW_BINS)]
    # The fullest first: it sets how large a clique must be in the others.
    bins = sorted((edges for edges in bins if len(edges) >= 3), key=len, reverse=True)
    cliques: set[tuple[int, ...]] = set()
    largest = 2
    for edges in bins:
        clique = largest_clique(count, edges, max(2, largest - settings.min_margin), work)
        largest = max(largest, len(clique))
        cliques.add(tuple(clique))
    found = [chosen.fit(list(c)) for c in sorted(cliques) if len(c) > max(2, largest - settings.min_margin)]
    if not found:
        return None, np.inf, 0, False
    left_out = len(everything.candidates) / count
    if left_out > 1:
        first = sorted(found, key=lambda one: one.rank, reverse=True)[:SLIDES]
        found = [again for one in first for again in (everything.again(one.T_a_b), *everything.slid(one))]
    best = everything.polish(max(found, key=lambda one: one.rank))
    poses_tried = len(consistency.edges) * left_out**2
    alarms = everything.false_alarms(best, poses_tried)
    if len(best.matches) < settings.min_inliers or alarms > settings.max_false_alarms:
        return best, alarms, 0, False
    # Two different poses agree at one place; what lies within the bounds around it supports both.
    explained = np.abs(chosen.differences(best.T_a_b)) < 1
    larger_than = max(2, int(settings.max_runner_up * len(best.matches)) - SHARED)
    for edges in bins:
        left = edges[~(explained[edges[:, 0]] | explained[edges[:, 1]])]
        clique = largest_clique(count, left, larger_than, work)
        if clique:
            found.append(everything.again(chosen.fit(clique).T_a_b))
    other, rivals = _strongest_other(best, found, everything, poses_tried, settings)
    return best, alarms, other, rivals


def _strongest_other(
    best: Hypothesis, found: list[Hypothesis], support: Support, poses_tried: float, settings: Settings
) -> tuple[int, bool]:
    """Return the support of the best different pose, and whether there is a rival.

    What chance alone would give says nothing against the best pose, however near it comes.
    """
    count = len(best.matches)
    near = min(settings.max_runner_up * count, count - settings.min_margin)
    others = [one for one in found if not support.same(one, best)]
    other = 0
    for one in sorted(others, key=lambda one: one.rank, reverse=True):
        matches = len(one.matches)
        if matches <= near:
            return max(other, matches), False
        if support.false_alarms(one, poses_tried) < settings.max_false_alarms_of_rival:
            other = max(other, matches)
            if count - matches < settings.min_margin or support.rivals(best, one):
                return other, True
    return other, False


def _judge(
    best: Hypothesis,
    alarms: float,
    other: int,
    rivals: bool,
    candidates: Candidates,
    a: Nodes,
    b: Nodes,
    prior: Prior | None,
    settings: Settings,
    work: Work,
) -> Registration:
    """Return the result after all tests, those first that say most."""
    matches, count = best.matches, len(best.matches)
    pairs = np.stack([a.index[candidates.a[matches]], b.index[candidates.b[matches]]], axis=1)
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    margin = count - other

    def refuse(status: Status, reason: str) -> Registration:
        return Registration(status, reason, None, None, pairs, margin, alarms)

    few = count < settings.min_inliers or alarms > settings.max_false_alarms
    if few and not work.cut:
        needed = f"{settings.min_inliers} are needed"
        chance = needed if count < settings.min_inliers else f"which {alarms:.2g} poses would by chance"
        return refuse(Status.TOO_FEW, f"{count} matches agree, {chance}")
    if not few and (margin < settings.min_margin or rivals):
        return refuse(
            Status.AMBIGUOUS, f"{count} matches agree with one pose and {other} with a different one"
        )
    if work.cut:
        return refuse(
            Status.TIMEOUT, f"{count} matches agree, but not every other pose could be looked at in time"
        )
    spread_m = _spread(candidates.q[matches])
    if spread_m < settings.min_spread_m:
        return refuse(
            Status.COLLINEAR, f"the {count} things that agree lie on a line: {spread_m:.1f} m across it"
        )
    T, covariance = refine(best.T_a_b, _matched(best, candidates, a, b, settings))
    sigma_m, sigma_rad = (
        float(np.sqrt(np.linalg.eigvalsh(covariance[:2, :2]).max())),
        float(np.sqrt(covariance[2, 2])),
    )
    figures = f"{count} matches, margin {margin}, {sigma_m:.2f} m and {np.rad2deg(sigma_rad):.2f} degrees"
    if sigma_m > settings.max_sigma_translation_m or sigma_rad > settings.max_sigma_yaw_rad:
        return refuse(Status.HIGH_COVARIANCE, f"too uncertain: {figures}")
    if prior is not None:
        difference = planar(T) - planar(prior.T_a_b)
        difference[2] = wrap_angle(difference[2])
        distance = float(difference @ np.linalg.solve(prior.covariance + covariance, difference))
        if distance > settings.gate:
            return refuse(
                Status.GATED, f"chi-square {distance:.0f} from the prior, {settings.gate:.1f} is the gate"
            )
    return Registration(Status.REGISTERED, figures, T, covariance, pairs, margin, alarms)


def _spread(positions: NDArray[np.float64]) -> float:
    """Return the standard deviation across the longest direction, seen from above."""
    return float(np.sqrt(max(np.linalg.eigvalsh(np.cov(positions[:, :2].T, bias=True))[0], 0.0)))


def _matched(best: Hypothesis, candidates: Candidates, a: Nodes, b: Nodes, settings: Settings) -> Matched:
    """Return the matches for the final estimate."""
    rows = best.matches
    turns = a.yaws[candidates.a[rows]] - b.yaws[candidates.b[rows]]
    turn_sigma_rad = settings.heading_sigma_rad * float(np.sqrt(2))
    return Matched(candidates.p[rows], candidates.q[rows], candidates.weights[rows], turns, turn_sigma_rad)
