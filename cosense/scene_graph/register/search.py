"""The search for the pose with most support, and for a different one that might be right instead.

SG-Reg (arXiv 2504.14440, registration back-end) takes the largest clique of consistent matches. We differ:

- One clique for each yaw (`candidates.py`) instead of one for all: each is a hypothesis, and the one whose
  pose has most support wins, not the largest clique. The margin is measured against the others.
- The runner-up is searched among the matches that the winning pose does not explain, instead of among cliques
  that share less than half of the winner's: two different poses share hardly a match, while two detections of
  one car make cliques that differ in every match and mean one pose.
- Cliques are searched among the likeliest pairs. Where these are not all, the best poses are also shifted,
  and every possible pair counts (`PoseSupport.shifted`): in a car park a descriptor tells few cars apart.
- Only a different pose that is no chance itself makes the best one ambiguous: with five objects that agree
  somewhere, four agree by chance elsewhere, more often than not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.scene_graph.register.candidates import YAW_BINS, Candidates, find_candidates, find_consistency
from cosense.scene_graph.register.clique import Work, largest_clique
from cosense.scene_graph.register.hypotheses import MAX_RUNNER_UP, Hypothesis, PoseSupport
from cosense.scene_graph.register.result import Prior
from cosense.scene_graph.register.usable_nodes import UsableNodes

# Matches that two different poses may share: those near the one place at which both agree.
_SHARED = 2
# Poses of cliques that are also shifted where cliques have not seen every pair.
_SHIFTED = 3
# A different pose that is expected more often by chance says nothing against the best one. Of 432 pairs of
# simulated crossings, parked and curved roads, two thirds of them with nodes left out, 16 were ambiguous
# without this and 3 are; none of the poses gained was wrong.
_MAX_FALSE_ALARMS_OF_RIVAL = 0.1
# The published margin is two; one more or less is noise.
MIN_MARGIN = 2


@dataclass(frozen=True)
class Needed:
    """The least support of a pose.

    Attributes:
        inliers: number of matches below which there is no pose, however rare the agreement.
        max_false_alarms: largest expected number of such agreements by chance.
    """

    inliers: int
    max_false_alarms: float


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes:
        support: support that all possible pairs give to poses.
        pose: pose with most support, None where no three matches fit together.
        alarms: expected number of poses with as much support by chance.
        other: support of the best different pose that is no chance.
        rivals: whether that one may be right instead.
    """

    support: PoseSupport
    pose: Hypothesis | None
    alarms: float = np.inf
    other: int = 0
    rivals: bool = False

    @property
    def candidates(self) -> Candidates:
        return self.support.candidates

    @property
    def count(self) -> int:
        """Number of matches of the pose."""
        return 0 if self.pose is None else len(self.pose.matches)

    @property
    def is_chance(self) -> bool:
        """Whether chance gives so much support so often that it says nothing against another pose."""
        return self.alarms > _MAX_FALSE_ALARMS_OF_RIVAL

    def suffices(self, needed: Needed) -> bool:
        """Say whether the pose has the support that it needs."""
        return self.count >= needed.inliers and self.alarms <= needed.max_false_alarms


def find_pose(
    a: UsableNodes, b: UsableNodes, prior: Prior | None, max_candidates: int, needed: Needed, work: Work
) -> Found:
    """Search for the pose of b in the frame of a.

    Different poses are not looked for where the best one has less support than it needs.

    Args:
        a, b: nodes of both.
        prior: pose near which to search, None for anywhere.
        max_candidates: number of pairs of nodes among which cliques are searched.
        needed: support that the pose needs.
        work: budget of all cliques.
    """
    candidates = find_candidates(a, b, prior, max_candidates)
    chosen = PoseSupport(candidates, a, b)
    if not len(candidates):
        return Found(chosen, None)
    consistency = find_consistency(candidates, a, b, prior)
    everything = chosen
    if len(candidates) == max_candidates:
        everything = PoseSupport(find_candidates(a, b, prior, len(a) * len(b)), a, b)
    count = len(candidates)
    bins = [consistency.edges[consistency.in_bin(centre)] for centre in range(YAW_BINS)]
    # The fullest first: it sets how large a clique must be in the others.
    bins = sorted((edges for edges in bins if len(edges) >= 3), key=len, reverse=True)
    cliques: set[tuple[int, ...]] = set()
    largest = 2
    for edges in bins:
        clique = largest_clique(count, edges, max(2, largest - MIN_MARGIN), work)
        largest = max(largest, len(clique))
        cliques.add(tuple(clique))
    found = [chosen.fit_clique(list(c)) for c in sorted(cliques) if len(c) > max(2, largest - MIN_MARGIN)]
    if not found:
        return Found(everything, None)
    left_out = len(everything.candidates) / count
    if left_out > 1:
        first = sorted(found, key=lambda one: one.rank, reverse=True)[:_SHIFTED]
        found = [pose for one in first for pose in (everything.refit(one.T_a_b), *everything.shifted(one))]
    best = everything.polish(max(found, key=lambda one: one.rank))
    poses_tried = len(consistency.edges) * left_out**2
    result = Found(everything, best, everything.false_alarms(best, poses_tried))
    if not result.suffices(needed):
        return result
    # Two different poses agree at one place; matches within the bounds around it support both.
    explained = np.abs(chosen.differences(best.T_a_b)) < 1
    larger_than = max(2, int(MAX_RUNNER_UP * len(best.matches)) - _SHARED)
    for edges in bins:
        left = edges[~(explained[edges[:, 0]] | explained[edges[:, 1]])]
        clique = largest_clique(count, left, larger_than, work)
        if clique:
            found.append(everything.refit(chosen.fit_clique(clique).T_a_b))
    other, rivals = _strongest_other(best, found, everything, poses_tried)
    return Found(everything, best, result.alarms, other, rivals)


def _strongest_other(
    best: Hypothesis, found: list[Hypothesis], support: PoseSupport, poses_tried: float
) -> tuple[int, bool]:
    """Return the support of the best different pose, and whether there is a rival.

    Support that chance alone would give says nothing against the best pose, however near it comes.
    """
    count = len(best.matches)
    near = min(MAX_RUNNER_UP * count, count - MIN_MARGIN)
    others = [one for one in found if not support.same(one, best)]
    other = 0
    for one in sorted(others, key=lambda one: one.rank, reverse=True):
        matches = len(one.matches)
        if matches <= near:
            return max(other, matches), False
        if support.false_alarms(one, poses_tried) < _MAX_FALSE_ALARMS_OF_RIVAL:
            other = max(other, matches)
            if count - matches < MIN_MARGIN or support.rivals(best, one):
                return other, True
    return other, False
