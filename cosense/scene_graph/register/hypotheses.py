"""How many candidates support a pose, and how many would by chance.

SG-Reg (arXiv 2504.14440) accepts a pose by the share of inliers (`spec/sgreg.md` §4C), the outdoor design of
§9.5 by
their number: 5, and 6 of one class. We differ: 6 are a lot among 10 things and nothing among 40 alike that
stand along a street, so the number is held against what agrees by chance (the a-contrario rule of Moisan and
Stival, IJCV 2004). How much that is the two graphs tell themselves: by the candidates that lie near each
other under the
pose without agreeing, all around, and on a line: a wrong pose that slid along the street keeps the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points, yaw_of
from cosense.scene_graph.register.candidates import Candidates, half_turn
from cosense.scene_graph.register.planar_pose import distances, gnc_tls, planar_fit
from cosense.scene_graph.register.result import Settings
from cosense.scene_graph.register.usable_nodes import Nodes

# How far around what would agree by chance is counted: within what both agents see.
REACH_M = 20.0
# Lines along which the pose might have slid, 3 degrees apart: as wide as a lane at the end of the reach.
DIRECTIONS = np.exp(-1j * np.pi * np.arange(60) / 60)
# Of translations that are tried for one direction.
CELLS = 3
# How many fewer matches a shift has that leaves three of ten parked cars on empty places: 2.7 standard
# deviations of that number, in square roots of all.
EMPTY_PLACES = 1.25
EXPLAINS_AS_WELL = 0.85
# Sides of what an agent has a view of.
SIDES = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)])
# Things agree more narrowly than the bound where the pose is right: counted within parts of it, too.
PARTS = (1.0, 0.7, 0.5)


@dataclass(frozen=True)
class Hypothesis:
    """A pose and the candidates that agree with it, nearest first and each thing once.

    Attributes:
        T_a_b: (4,4).
        matches: (K,) indices of candidates.
        error: mean square of their distances, in bounds.
    """

    T_a_b: Matrix
    matches: NDArray[np.int64]
    error: float

    @property
    def rank(self) -> tuple[int, float]:
        """The higher the better."""
        return len(self.matches), -self.error


class Support:
    """The candidates of one registration, ready to be asked about many poses."""

    def __init__(self, candidates: Candidates, a: Nodes, b: Nodes, settings: Settings) -> None:
        self.candidates = candidates
        self.settings = settings
        self._a, self._b = a, b
        self._p = candidates.p[:, 0] + 1j * candidates.p[:, 1]
        self._q = candidates.q[:, 0] + 1j * candidates.q[:, 1]
        self._rise = candidates.q[:, 2] - candidates.p[:, 2]
        self._turn = a.yaws[candidates.a] - b.yaws[candidates.b]

    def differences(self, T_a_b: Matrix) -> NDArray[np.complex128]:
        """Return (M,) from a's node of each candidate to b's, over the bound; NaN where headings disagree."""
        moved = self._p * (T_a_b[0, 0] + 1j * T_a_b[1, 0]) + (T_a_b[0, 3] + 1j * T_a_b[1, 3])
        turned = np.abs(half_turn(self._turn - yaw_of(T_a_b))) > self.settings.heading_bound_rad
        return np.where(turned, np.nan, (moved - self._q) / self.candidates.bounds_m)

    def fit(self, clique: list[int]) -> Hypothesis:
        """Return the pose that the clique tells."""
        return self.again(self._planar_fit(np.array(clique)))

    def again(self, T_a_b: Matrix) -> Hypothesis:
        """Return the pose fitted to all that agrees with a pose."""
        inside = np.flatnonzero(np.abs(self.differences(T_a_b)) < 1)
        return self._supported(self._planar_fit(inside) if len(inside) > 2 else T_a_b)

    def polish(self, best: Hypothesis) -> Hypothesis:
        """Fit by GNC-TLS to all candidates near the pose, those that the clique left out too."""
        near = np.abs(self.differences(best.T_a_b)) < 2
        near[best.matches] = True
        index = np.flatnonzero(near)
        if len(index) < 3:
            return best
        c = self.candidates
        again = self._supported(gnc_tls(c.p[index], c.q[index], c.weights[index], c.bounds_m[index])[0])
        return max(again, best, key=lambda one: one.rank)

    def same(self, one: Hypothesis, other: Hypothesis) -> bool:
        """Say whether both poses put what the other matched at the same places."""
        p = self.candidates.p[other.matches]
        off = distances(one.T_a_b, p, transform_points(other.T_a_b, p))
        return float(off.mean()) < self.settings.max_bound_m

    def slid(self, one: Hypothesis) -> list[Hypothesis]:
        """Return the best poses that are the same but for a translation and quarter turns.

        Things in rows agree with such poses, and where not every pair was looked at, one of them may be the
        right one. The translations that all pairs tell are counted in cells.
        """
        cell_m = self.settings.max_bound_m
        found = []
        for quarter in range(4):
            T = one.T_a_b @ transform_from_planar(0, 0, quarter * np.pi / 2)
            shifts = -self.differences(T) * self.candidates.bounds_m
            shifts = shifts[~np.isnan(shifts) & ((np.abs(shifts) > 2 * cell_m) | (quarter > 0))]
            cells, votes = np.unique(np.round(shifts / cell_m), return_counts=True)
            for cell in cells[np.argsort(-votes, kind="stable")[:CELLS]]:
                near = shifts[np.abs(shifts / cell_m - cell) < 1].mean()
                moved = T.copy()
                moved[:2, 3] += near.real, near.imag
                found.append(self.again(moved))
        return found

    def rivals(self, best: Hypothesis, other: Hypothesis) -> bool:
        """Say whether a different pose may as well be the right one instead of the best.

        One with much less support is chance. One with hardly less is a rival, and so is one with somewhat
        less where it explains what lies in the view of both agents as well as the best one does: of a row of
        lamps that goes on beyond both views, each shift explains all. Of cars in a car park a shift leaves
        those unexplained that stand where no car should be, and what hides a car hides it under any pose.
        """
        count, support = len(best.matches), len(other.matches)
        if support <= self.settings.max_runner_up * count:
            return False
        if count - support < EMPTY_PLACES * np.sqrt(count):
            return True
        return self._explained(other) > EXPLAINS_AS_WELL * self._explained(best)

    def _explained(self, one: Hypothesis) -> float:
        """Return what share of the nodes that lie in both views have found a counterpart."""
        a, b = self._a.positions[:, :2], transform_points(one.T_a_b, self._b.positions)[:, :2]
        reach_a, reach_b = a @ SIDES, b @ SIDES
        in_b = (reach_a <= reach_b.max(axis=0) + self.settings.min_length_m).all(axis=1).sum()
        in_a = (reach_b <= reach_a.max(axis=0) + self.settings.min_length_m).all(axis=1).sum()
        return len(one.matches) / max(int(min(in_a, in_b)), 1)

    def false_alarms(self, hypothesis: Hypothesis, poses_tried: float) -> float:
        """Return how many poses with as much support are expected where two scenes have nothing in common.

        Args:
            hypothesis: the pose.
            poses_tried: each pair of matches that fit together is a pose; two matches support it by
                construction.
        """
        differences = self.differences(hypothesis.T_a_b)
        matched = np.abs(differences[hypothesis.matches])
        metres = differences * self.candidates.bounds_m
        # What agrees with the pose itself is no chance.
        around = (np.abs(metres) < REACH_M) & ~(np.abs(differences) < 1)
        bounds = self.candidates.bounds_m[around]
        across = np.abs((metres[around] * DIRECTIONS[:, None]).imag) / bounds
        bound = float(bounds.mean()) if len(bounds) else self.settings.max_bound_m
        fewest = np.inf
        for part in PARTS:
            on_line = (across < part).sum(axis=1)
            # The fullest of many lines has more than its share by chance, too.
            lined_up = float((on_line - 2 * np.sqrt(on_line)).max()) * part * bound / REACH_M
            spread = max(len(bounds), 1) * (part * bound / REACH_M) ** 2
            more = int((matched < part).sum()) - 3
            if more >= 0:
                fewest = min(fewest, float(pdtrc(more, max(lined_up, spread))))
        return poses_tried * len(PARTS) * fewest

    def _planar_fit(self, index: NDArray[np.int64]) -> Matrix:
        c = self.candidates
        return planar_fit(c.p[index], c.q[index], c.weights[index])

    def _supported(self, T_a_b: Matrix) -> Hypothesis:
        """Return the pose with what agrees: heights alike, each place of a and of b once."""
        off = np.abs(self.differences(T_a_b))
        inside = np.flatnonzero(off < 1)
        if len(inside):
            rise = self._rise[inside]
            inside = inside[np.abs(rise - np.sort(rise)[len(rise) // 2]) < self.settings.height_bound_m]
        nearest = inside[np.argsort(off[inside], kind="stable")]
        p, q = self._p[nearest], self._q[nearest]
        free, least = np.ones(len(nearest), bool), self.settings.min_length_m
        taken: list[int] = []
        while free.any():
            row = int(free.argmax())
            taken.append(int(nearest[row]))
            free &= (np.abs(p - p[row]) > least) & (np.abs(q - q[row]) > least)
        return Hypothesis(T_a_b, np.array(taken, np.int64), float((off[taken] ** 2).mean()) if taken else 0.0)
