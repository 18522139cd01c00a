"""The search for the pose with most support, and for a different one that might be right instead.

SG-Reg (arXiv 2504.14440, registration back-end) takes the largest clique of consistent matches. We differ:

- One clique for each yaw (`candidates.py`) instead of one for all: each is a hypothesis. The margin is
  measured against the others.
- Of the poses that are found the one counts that chance explains least (`PoseSupport.false_alarms`), not the
  one with most matches: in a street a row of parked cars agrees with another row in more of them, if badly.
- Further poses are searched among the matches that the winning pose does not explain, instead of among
  cliques that share less than half of the winner's: two different poses share hardly a match, while two
  detections of one car make cliques that differ in every match and mean one pose.
- Cliques are searched among the likeliest pairs, and each search gives one. Where these are not all, or no
  pose suffices, the best poses are also shifted, and every possible pair counts (`PoseSupport.shifted`): in a
  car park a descriptor tells few cars apart, and its rows hide smaller cliques.
- Only a different pose that is no chance itself makes the best one ambiguous: with five objects that agree
  somewhere, four agree by chance elsewhere, more often than not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cosense.geometry.transforms import yaw_of
from cosense.scene_graph.register.candidates import YAW_BINS, Candidates, find_candidates, find_consistency
from cosense.scene_graph.register.clique import Work, largest_clique
from cosense.scene_graph.register.hypotheses import MAX_RUNNER_UP, Hypothesis, PoseSupport
from cosense.scene_graph.register.result import Prior
from cosense.scene_graph.register.usable_nodes import UsableNodes

# Matches that two different poses may share: those near the one place at which both agree.
_SHARED = 2
# Poses of cliques that are also shifted where cliques have not seen every pair, one for each direction.
_SHIFTED, _ONE_DIRECTION_RAD = 3, np.deg2rad(3)
# Different poses, the ones that agree best, of which is asked how likely they are by chance.
_JUDGED = 12
# A pose that is expected so much more rarely than another one is clearly better, also where it has hardly
# more matches. Between wrong poses of rows of cars lies a factor of ten to a hundred.
CLEARLY = 1e-3
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
        pose: pose that chance explains least, None where no three matches fit together.
        alarms: expected number of poses with as much support by chance.
        other: support of the best different pose that is no chance.
        rivals: whether that one may be right instead.
        most: support of the pose with most matches, which may be another one.
    """

    support: PoseSupport
    pose: Hypothesis | None
    alarms: float = np.inf
    other: int = 0
    rivals: bool = False
    most: int = 0

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
    a: UsableNodes,
    b: UsableNodes,
    prior: Prior | None,
    max_candidates: int,
    needed: Needed,
    work: Work,
    also: Hypothesis | None = None,
) -> Found:
    """Search for the pose of b in the frame of a.

    Different poses are not looked for where the best one has less support than it needs.

    Args:
        a, b: nodes of both.
        prior: pose near which to search, None for anywhere.
        max_candidates: number of pairs of nodes among which cliques are searched.
        needed: support that the pose needs.
        work: budget of all cliques.
        also: a pose to look at beside those that are found.
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
    cliques: list[list[int]] = []
    largest = 2
    for edges in bins:
        cliques.append(largest_clique(count, edges, max(2, largest - MIN_MARGIN), work))
        largest = max(largest, len(cliques[-1]))
    large = sorted({tuple(clique) for clique in cliques if len(clique) > max(2, largest - MIN_MARGIN)})
    found = [chosen.fit_clique(list(clique)) for clique in large]
    if also is not None:
        found.append(chosen.refit(also.T_a_b))
    if not found:
        return Found(everything, None)
    left_out = len(everything.candidates) / count
    if left_out > 1:
        directions = _directions(found)
        found = [everything.refit(one.T_a_b) for one in found]
        found += [shifted for one in directions for shifted in everything.shifted(one)]
    poses_tried = len(consistency.edges) * left_out**2
    best, alarms = _likeliest(found, needed, everything, poses_tried)
    if len(best.matches) < needed.inliers:
        return Found(everything, best, alarms, most=_most(found))
    # Two different poses agree at one place; matches within the bounds around it support both.
    explained = np.abs(chosen.differences(best.T_a_b)) < 1
    larger_than = max(2, int(MAX_RUNNER_UP * len(best.matches)) - _SHARED)
    for edges, first in zip(bins, cliques, strict=True):
        known = explained
        if first:
            known = explained | (np.abs(chosen.differences(chosen.fit_clique(first).T_a_b)) < 1)
        left = edges[~(known[edges[:, 0]] | known[edges[:, 1]])]
        clique = largest_clique(count, left, larger_than, work)
        if clique:
            found.append(everything.refit(chosen.fit_clique(clique).T_a_b))
    found.append(best)
    best, alarms = _likeliest(found, needed, everything, poses_tried)
    if alarms > needed.max_false_alarms and left_out == 1:
        found += everything.shifted(best)
        best, alarms = _likeliest(found, needed, everything, poses_tried)
    result = Found(everything, best, alarms, most=_most(found))
    if not result.suffices(needed):
        return result
    other, rivals = _strongest_other(best, alarms, found, everything, poses_tried)
    return replace(result, other=other, rivals=rivals)


def _most(found: list[Hypothesis]) -> int:
    return max(len(one.matches) for one in found)


def _directions(found: list[Hypothesis]) -> list[Hypothesis]:
    """Return the best poses that are turned against each other by more than quarter turns."""
    directions: list[Hypothesis] = []
    for one in sorted(found, key=lambda one: one.score, reverse=True)[:_SHIFTED]:
        turns = [yaw_of(one.T_a_b) - yaw_of(other.T_a_b) for other in directions]
        if all(abs(np.sin(2 * turn)) > np.sin(2 * _ONE_DIRECTION_RAD) for turn in turns):
            directions.append(one)
    return directions


def _likeliest(
    found: list[Hypothesis], needed: Needed, support: PoseSupport, poses_tried: float
) -> tuple[Hypothesis, float]:
    """Return the pose that chance explains least, and the number of such poses by chance.

    Where things stand in rows, more of them agree with a wrong pose than with the right one; but then as many
    agree with its neighbours.
    """
    different: list[Hypothesis] = []
    for one in sorted(found, key=lambda one: one.score, reverse=True):
        if len(different) < _JUDGED and not any(support.same(one, other) for other in different):
            different.append(one)
    enough = [one for one in different if len(one.matches) >= needed.inliers]
    best = min(enough or different[:1], key=lambda one: support.false_alarms(one, poses_tried))
    best = support.polish(best)
    return best, support.false_alarms(best, poses_tried)


def _strongest_other(
    best: Hypothesis, alarms: float, found: list[Hypothesis], support: PoseSupport, poses_tried: float
) -> tuple[int, bool]:
    """Return the support of the best different pose, and whether there is a rival.

    Support that chance alone would give says nothing against the best pose, however near it comes.
    """
    count = len(best.matches)
    near = min(MAX_RUNNER_UP * count, count - MIN_MARGIN)
    others = [one for one in found if not support.same(one, best)]
    other = 0
    for one in sorted(others, key=lambda one: len(one.matches), reverse=True):
        matches = len(one.matches)
        if matches <= near:
            return max(other, matches), False
        its_alarms = support.false_alarms(one, poses_tried)
        if its_alarms < _MAX_FALSE_ALARMS_OF_RIVAL:
            other = max(other, matches)
            clearly = alarms < CLEARLY * its_alarms
            if (not clearly and count - matches < MIN_MARGIN) or support.rivals(best, one, clearly=clearly):
                return other, True
    return other, False
