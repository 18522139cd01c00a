"""Hypotheses of a pose: how many candidates support one, and how many would by chance.

SG-Reg (arXiv 2504.14440, registration back-end) accepts a pose by its share of inliers; a simple outdoor rule
is their number: 5, and 6 of one class. We differ: 6 are a lot among 10 nodes and nothing among 40 alike along
a street, so the number is compared with what agrees by chance (the a-contrario rule of Moisan and Stival,
IJCV 2004). How much that is the two graphs tell themselves: by the candidates that lie near each other under
the pose without agreeing, all around, and on a line, because a wrong pose that is shifted along the street
keeps the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points, yaw_of
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.register.candidates import (
    HEADING_BOUND_RAD,
    HEIGHT_BOUND_M,
    MAX_BOUND_M,
    MIN_LENGTH_M,
    Candidates,
    half_turn,
)
from cosense.scene_graph.register.planar_pose import gnc_tls, planar_fit
from cosense.scene_graph.register.usable_nodes import UsableNodes

# Agreement by chance is counted within this distance, inside the view of both agents.
REACH_M = 20.0
# Normals of the lines along which the pose might be shifted, 3 degrees apart: as wide as a lane at the end
# of the reach.
_ANGLES = np.pi * np.arange(60) / 60
NORMALS = np.stack([-np.sin(_ANGLES), np.cos(_ANGLES)], axis=1).astype(np.float32)
# Translations that are tried around a pose: so many in all, at most so many of each turn. Turns for which
# they are counted: rows of things tell the direction of a street to a few degrees.
SHIFTS, CELLS = 16, 4
# More cells than any row of them has.
_ROW = 1 << 20
# Area in which the other agent may be, to say how rare a pair of nodes is.
ROOM_M2 = 100.0**2
TURNS_RAD = np.deg2rad(1.5 * np.arange(-3, 4))
# Share of the support of the best pose that a different one may have in any case, see `PoseSupport.rivals`.
# Two agents that see 50 m each of a row of lamps find most agreement where their views coincide, and one lamp
# further hardly less.
MAX_RUNNER_UP = 0.65
# A shift that leaves three of ten parked cars on empty places has this many fewer matches, in square roots of
# all: 2.7 standard deviations of that number.
EMPTY_PLACES = 1.25
EXPLAINS_AS_WELL = 0.85
# Directions in which the view of an agent is bounded.
SIDES = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)])
# Nodes agree more narrowly than the bound where the pose is right: they are counted within parts of it, too.
PARTS = (1.0, 0.7, 0.5)


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A pose and the candidates that agree with it, nearest first and each object once.

    Attributes:
        T_a_b: (4,4) maps b into a.
        matches: (K,) indices of candidates.
        error: mean square of their distances, in bounds.
    """

    T_a_b: Matrix
    matches: NDArray[np.int64]
    error: float

    @property
    def score(self) -> float:
        """The higher the better: each match counts by how near it is (MSAC, Torr and Zisserman, 2000)."""
        return len(self.matches) * (1 - self.error)


class PoseSupport:
    """The support that the candidates of one registration give to poses."""

    def __init__(self, candidates: Candidates, a: UsableNodes, b: UsableNodes) -> None:
        self.candidates = candidates
        self._a, self._b = a, b
        self._p = candidates.p[:, 0] + 1j * candidates.p[:, 1]
        self._q = candidates.q[:, 0] + 1j * candidates.q[:, 1]
        self._rise = candidates.q[:, 2] - candidates.p[:, 2]
        self._groups = a.groups[candidates.a]
        pairs = np.bincount(self._groups, minlength=len(NodeClass))
        self._rarity = np.maximum(np.log(ROOM_M2 / (np.maximum(pairs, 1) * MAX_BOUND_M**2)), 1.0)
        self._turn = a.yaws[candidates.a] - b.yaws[candidates.b]
        self._headed = np.flatnonzero(np.isfinite(self._turn))
        self._per_bound = 1 / candidates.bounds_m
        self._by_chance: dict[Hypothesis, float] = {}

    def differences(self, T_a_b: Matrix) -> NDArray[np.complex128]:
        """Return complex differences (M,) of a's node to b's, in bounds; NaN where headings disagree."""
        moved = self._p * (T_a_b[0, 0] + 1j * T_a_b[1, 0]) + (T_a_b[0, 3] + 1j * T_a_b[1, 3])
        off = (moved - self._q) * self._per_bound
        turned = np.abs(half_turn(self._turn[self._headed] - yaw_of(T_a_b))) > HEADING_BOUND_RAD
        off[self._headed[turned]] = np.nan
        return off

    def fit_clique(self, clique: list[int]) -> Hypothesis:
        """Return the pose of a clique of candidates."""
        return self.refit(self._planar_fit(np.array(clique)))

    def refit(self, T_a_b: Matrix) -> Hypothesis:
        """Return the pose fitted to all candidates that agree with a pose."""
        inside = np.flatnonzero(np.abs(self.differences(T_a_b)) < 1)
        return self._supported(self._planar_fit(inside) if len(inside) > 2 else T_a_b)

    def polish(self, best: Hypothesis) -> Hypothesis:
        """Fit by GNC-TLS to all candidates near the pose, also those that the clique left out."""
        near = np.abs(self.differences(best.T_a_b)) < 2
        near[best.matches] = True
        index = np.flatnonzero(near)
        if len(index) < 3:
            return best
        c = self.candidates
        again = self._supported(gnc_tls(c.p[index], c.q[index], c.weights[index], c.bounds_m[index])[0])
        return max(again, best, key=lambda one: one.score)

    def same(self, one: Hypothesis, other: Hypothesis) -> bool:
        """Say whether both poses put the matches of the other at the same positions."""
        if not len(other.matches):
            return False
        T = one.T_a_b - other.T_a_b
        off = self._p[other.matches] * (T[0, 0] + 1j * T[1, 0]) + (T[0, 3] + 1j * T[1, 3])
        return float(np.abs(off).mean()) < MAX_BOUND_M

    def shifted(self, one: Hypothesis) -> list[Hypothesis]:
        """Return the best poses that differ by a translation, quarter turns and a few degrees.

        Objects in rows agree with such poses, and where not every pair was looked at, one of them may be the
        right one. The translations that all pairs tell are counted in cells, and the rarer pairs of a class
        are the more they count.
        """
        weights = self._rarity[self._groups]
        fullest: list[tuple[float, int, float, complex]] = []
        for quarter in range(4):
            T = one.T_a_b @ transform_from_planar(0, 0, quarter * np.pi / 2)
            shifts = -self.differences(T) * self.candidates.bounds_m
            alike = ~np.isnan(shifts)
            if quarter == 0:
                alike &= np.abs(shifts) > 2 * MAX_BOUND_M
            shifts, p = shifts[alike], self._p[alike] * (T[0, 0] + 1j * T[1, 0])
            for turn in TURNS_RAD:
                turned = (shifts + p * (1 - np.exp(1j * turn))) / MAX_BOUND_M
                x, y = np.rint(turned.real).astype(np.int64), np.rint(turned.imag).astype(np.int64)
                _, first, cell_of = np.unique(_ROW * x + y, return_index=True, return_inverse=True)
                votes = np.bincount(cell_of, weights[alike])
                for best in np.argsort(-votes, kind="stable")[:CELLS]:
                    cell = complex(x[first[best]], y[first[best]])
                    fullest.append((float(votes[best]), quarter, float(turn), cell))
        fullest.sort(key=lambda one: -one[0])
        chosen: list[tuple[int, complex]] = []
        found = []
        for _, quarter, turn, cell in fullest:
            if any(quarter == other and abs(cell - place) < 2 for other, place in chosen):
                continue
            chosen.append((quarter, cell))
            moved = one.T_a_b @ transform_from_planar(0, 0, quarter * np.pi / 2 + turn)
            shifts = -self.differences(moved) * self.candidates.bounds_m
            near = shifts[np.abs(shifts / MAX_BOUND_M - cell) < 1]
            # A turn of a few degrees may be what lets headings disagree.
            shift = near.mean() if len(near) else cell * MAX_BOUND_M
            moved[:2, 3] += shift.real, shift.imag
            found.append(self.refit(moved))
            if len(found) == SHIFTS:
                break
        return found

    def rivals(self, best: Hypothesis, other: Hypothesis, *, clearly: bool) -> bool:
        """Say whether a different pose may be the right one instead of the best.

        One with much less support is chance. One with hardly less is a rival unless chance explains it
        clearly better, and so is one with somewhat less where it explains the nodes in the view of both
        agents as well as the best one does: of a row of lamps that goes on beyond both views, each shift
        explains all. Of cars in a car park a shift leaves those unexplained that are where no car should be,
        and an obstacle hides a car under any pose.

        Args:
            best, other: the poses.
            clearly: whether chance gives as much support as that of the other one far more often.
        """
        count, support = len(best.matches), len(other.matches)
        if support <= MAX_RUNNER_UP * count:
            return False
        if not clearly and count - support < EMPTY_PLACES * np.sqrt(count):
            return True
        return self._explained(other) > EXPLAINS_AS_WELL * self._explained(best)

    def _explained(self, one: Hypothesis) -> float:
        """Return the share of the nodes in both views that have found a counterpart, by rarity and error."""
        a, b = self._a.positions[:, :2], transform_points(one.T_a_b, self._b.positions)[:, :2]
        reach_a, reach_b = a @ SIDES, b @ SIDES
        in_b = (reach_a <= reach_b.max(axis=0) + MIN_LENGTH_M).all(axis=1)
        in_a = (reach_b <= reach_a.max(axis=0) + MIN_LENGTH_M).all(axis=1)
        both = np.minimum(
            *(np.bincount(g, minlength=len(NodeClass)) for g in (self._a.groups[in_b], self._b.groups[in_a]))
        )
        matched = np.bincount(self._groups[one.matches], minlength=len(NodeClass)) * (1 - one.error)
        return float(self._rarity @ matched / max(self._rarity @ both, 1.0))

    def false_alarms(self, hypothesis: Hypothesis, poses_tried: float) -> float:
        """Return how many poses with as much support are expected between scenes with nothing in common.

        Args:
            hypothesis: the pose.
            poses_tried: number of consistent pairs of matches: each is a pose, which two matches support by
                construction.
        """
        if hypothesis not in self._by_chance:
            self._by_chance[hypothesis] = self._chance(hypothesis)
        return poses_tried * self._by_chance[hypothesis]

    def _chance(self, hypothesis: Hypothesis) -> float:
        """Return how probable as much support is for one pose."""
        differences = self.differences(hypothesis.T_a_b)
        matched = np.abs(differences[hypothesis.matches])
        metres = differences * self.candidates.bounds_m
        # Candidates that agree with the pose itself are no chance.
        around = (np.abs(metres) < REACH_M) & ~(np.abs(differences) < 1)
        bounds = self.candidates.bounds_m[around]
        near = np.stack([differences[around].real, differences[around].imag]).astype(np.float32)
        across = np.abs(NORMALS @ near)
        bound = float(bounds.mean()) if len(bounds) else MAX_BOUND_M
        fewest = np.inf
        for part in PARTS:
            on_line = np.count_nonzero(across < part, axis=1)
            # The fullest of many lines has more than its share by chance, too.
            lined_up = float((on_line - 2 * np.sqrt(on_line)).max()) * part * bound / REACH_M
            spread = max(len(bounds), 1) * (part * bound / REACH_M) ** 2
            more = int((matched < part).sum()) - 3
            if more >= 0:
                fewest = min(fewest, float(pdtrc(more, max(lined_up, spread))))
        return len(PARTS) * fewest

    def _planar_fit(self, index: NDArray[np.int64]) -> Matrix:
        c = self.candidates
        return planar_fit(c.p[index], c.q[index], c.weights[index])

    def _supported(self, T_a_b: Matrix) -> Hypothesis:
        """Return the pose with its support: similar heights, each place of a and of b once."""
        off = np.abs(self.differences(T_a_b))
        inside = np.flatnonzero(off < 1)
        if len(inside):
            rise = self._rise[inside]
            inside = inside[np.abs(rise - np.sort(rise)[len(rise) // 2]) < HEIGHT_BOUND_M]
        nearest = inside[np.argsort(off[inside], kind="stable")]
        p, q = self._p[nearest], self._q[nearest]
        free, least = np.ones(len(nearest), bool), MIN_LENGTH_M
        taken: list[int] = []
        while free.any():
            row = int(free.argmax())
            taken.append(int(nearest[row]))
            free &= (np.abs(p - p[row]) > least) & (np.abs(q - q[row]) > least)
        return Hypothesis(T_a_b, np.array(taken, np.int64), float((off[taken] ** 2).mean()) if taken else 0.0)
