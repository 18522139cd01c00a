"""Which nodes of two graphs might be one object, and which pairs of such matches are consistent.

Candidates: SG-Reg (arXiv 2504.14440, node matching) takes P = softmax over rows x softmax over columns of the
similarity and keeps pairs that are among the best three of both their row and their column. We differ:

- There is no threshold on P and no fixed three: the pairs with the best mutual rank are kept, up to a number
  that can be looked at. An object that both agents see among many that only one sees rarely has rank three
  without learning; with few nodes every pair of one class is a candidate.
- Class, size of vehicles and, with a prior, position and heading exclude pairs beforehand.

Consistency: two matches are consistent where the distance between their nodes is the same in both graphs
(SG-Reg, pruning of node matches), with a bound from the covariances instead of 2 m for all. We differ: with
gravity known, two matches also tell the yaw between the graphs. It must agree with the headings of the four
nodes (up to pi), and each of `YAW_BINS` searches is among the pairs that tell about the same yaw. A mirror
image keeps every distance, but no two of its pairs tell the same yaw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from cosense.geometry.transforms import transform_points, yaw_of
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.register.result import Prior
from cosense.scene_graph.register.usable_nodes import UsableNodes

# Pairs of nodes that are looked at: all pairs of one class of 24 x 24 nodes.
MAX_CANDIDATES = 600
# Temperature of the softmax over descriptors of unit length.
TEMPERATURE = 0.1
# Two lengths or positions agree within this many standard deviations, but the bound is never stricter than
# the centres of a detector repeat, and never wider than a parked car.
_BOUND_SIGMAS, _MIN_BOUND_M, MAX_BOUND_M = 3.0, 0.4, 1.2
# Two heights agree within this: boxes seen from far are a metre off, storeys are three.
HEIGHT_BOUND_M = 2.0
# Two nodes nearer to each other than this are one place and count once.
MIN_LENGTH_M = 1.0
# Headings, which are known up to pi, agree within this.
HEADING_BOUND_RAD = np.deg2rad(30)
# Bins of 20 degrees: a pair is searched in every bin that its own uncertainty reaches.
YAW_BINS = 18
HALF_BIN_RAD = np.pi / YAW_BINS
# Two near nodes tell the yaw no better than this.
MAX_YAW_TOLERANCE_RAD = np.deg2rad(40)
ROWS = 64
SIZE_RATIO = (0.6, 1.6)
CHI_SQUARE_2_99 = 9.21


@dataclass(frozen=True)
class Candidates:
    """M pairs of nodes that might be one object, the likeliest first.

    Attributes:
        a, b: (M,) indices into the usable nodes of a and b.
        p, q: (M,3) positions in b and in a.
        weights: (M,) inverse variance of the difference of the positions, per axis.
        bounds_m: (M,) largest distance between both nodes under the right pose.
    """

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]
    weights: NDArray[np.float64]
    bounds_m: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.a)


@dataclass(frozen=True)
class Consistency:
    """E consistent pairs of candidates.

    Attributes:
        edges: (E,2) indices of candidates, the smaller first, ascending.
        yaws: (E,) yaw of b in a by each pair, radians.
        tolerances_rad: (E,) uncertainty of these yaws.
    """

    edges: NDArray[np.int64]
    yaws: NDArray[np.float32]
    tolerances_rad: NDArray[np.float32]

    def in_bin(self, number: int) -> NDArray[np.bool_]:
        """Return (E,) whether a pair may tell a yaw within half a bin of the centre of bin `number`."""
        return (
            np.abs(_wrapped(self.yaws - np.float32(2 * HALF_BIN_RAD * number)))
            <= HALF_BIN_RAD + self.tolerances_rad
        )


def half_turn(angle_rad: NDArray) -> NDArray:
    """Wrap angles that are known up to pi into [-pi/2, pi/2]."""
    return angle_rad - np.pi * np.rint(angle_rad / np.pi)


def _wrapped(angle_rad: NDArray) -> NDArray:
    """Wrap angles into [-pi, pi] in their own type; `wrap_angle` is exact at the border and slower."""
    return angle_rad - np.float32(2 * np.pi) * np.rint(angle_rad / np.float32(2 * np.pi))


def find_candidates(
    a: UsableNodes, b: UsableNodes, prior: Prior | None, max_candidates: int = MAX_CANDIDATES
) -> Candidates:
    """Return at most `max_candidates` pairs of nodes, the same for the same nodes."""
    possible = a.groups[:, None] == b.groups[None, :]
    possible &= _sizes_fit(a, b)
    if prior is not None:
        possible &= _near_prior(a, b, prior)
    scores = match_scores(a.descriptors, b.descriptors, possible, TEMPERATURE)
    i, j = np.nonzero(possible)
    if len(i) > max_candidates:
        hidden = np.where(possible, scores, -np.inf)
        rank_in_row = np.argsort(np.argsort(-hidden, axis=1, kind="stable"), axis=1, kind="stable")
        rank_in_column = np.argsort(np.argsort(-hidden, axis=0, kind="stable"), axis=0, kind="stable")
        mutual = np.maximum(rank_in_row, rank_in_column)[i, j]
        best = np.lexsort([j, i, -scores[i, j], mutual])[:max_candidates]
        i, j = i[best], j[best]
    variances = a.sigmas_m[i] ** 2 + b.sigmas_m[j] ** 2
    bounds = np.clip(_BOUND_SIGMAS * np.sqrt(variances), _MIN_BOUND_M, MAX_BOUND_M)
    return Candidates(i, j, b.positions[j], a.positions[i], 1 / variances, bounds)


def match_scores(
    a: NDArray[np.float32], b: NDArray[np.float32], possible: NDArray[np.bool_], temperature: float
) -> NDArray[np.float64]:
    """Return log P (Na,Nb) of the double softmax over `possible` pairs of descriptors (Na,D) and (Nb,D)."""
    similarity = np.where(
        possible, np.asarray(a, np.float64) @ np.asarray(b, np.float64).T / temperature, -1e9
    )
    if not similarity.size:
        return similarity
    return log_softmax(similarity, axis=1) + log_softmax(similarity, axis=0)


def _sizes_fit(a: UsableNodes, b: UsableNodes) -> NDArray[np.bool_]:
    """Return (Na,Nb) whether vehicles are of one size; other classes have no size that both agents see."""
    with np.errstate(all="ignore"):
        ratios = a.sizes[:, None, :2] / b.sizes[None, :, :2]
        # An unknown or missing size (NaN, or zero by zero) excludes nothing.
        fits = ~((ratios < SIZE_RATIO[0]) | (ratios > SIZE_RATIO[1])).any(axis=2)
    return fits | (a.groups[:, None] != NodeClass.VEHICLE)


def _near_prior(a: UsableNodes, b: UsableNodes, prior: Prior) -> NDArray[np.bool_]:
    """Return (Na,Nb) whether position and heading agree under the prior and all covariances."""
    mapped = transform_points(prior.T_a_b, b.positions)
    difference = mapped[None, :, :2] - a.positions[:, None, :2]
    # The position of a node moves with x and y of the pose, and with its yaw at right angles to its
    # direction.
    lever = np.stack([-(mapped[:, 1] - prior.T_a_b[1, 3]), mapped[:, 0] - prior.T_a_b[0, 3]], axis=1)
    jacobian = np.zeros((len(b), 2, 3))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = 1
    jacobian[:, :, 2] = lever
    covariance = jacobian @ prior.covariance @ np.swapaxes(jacobian, 1, 2)
    variance = a.sigmas_m[:, None] ** 2 + b.sigmas_m[None, :] ** 2
    xx, yy, xy = covariance[:, 0, 0] + variance, covariance[:, 1, 1] + variance, covariance[:, 0, 1]
    dx, dy = difference[..., 0], difference[..., 1]
    distance = (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / (xx * yy - xy**2)
    height = np.abs(mapped[None, :, 2] - a.positions[:, None, 2]) <= HEIGHT_BOUND_M
    turn = half_turn(b.yaws[None, :] + yaw_of(prior.T_a_b) - a.yaws[:, None])
    too_far = np.abs(turn) > HEADING_BOUND_RAD + 3 * np.sqrt(prior.covariance[2, 2])
    return (distance <= CHI_SQUARE_2_99) & height & ~too_far


def find_consistency(
    candidates: Candidates, a: UsableNodes, b: UsableNodes, prior: Prior | None
) -> Consistency:
    """Return the pairs of candidates that are consistent."""
    i, j = candidates.a, candidates.b
    length_a, direction_a = _lengths(a)
    length_b, direction_b = _lengths(b)
    k, m, square_bounds = _of_one_length(candidates, length_a, length_b)
    ik, im, jk, jm = i[k], i[m], j[k], j[m]
    # Two matches of one node have a length of zero in one graph.
    shorter = np.minimum(length_a[ik, im], length_b[jk, jm])
    rise = candidates.p[:, 2] - candidates.q[:, 2]
    keep = (shorter > MIN_LENGTH_M) & (np.abs(rise[k] - rise[m]) < HEIGHT_BOUND_M)
    k, m, shorter, ik, im, jk, jm = (array[keep] for array in (k, m, shorter, ik, im, jk, jm))
    yaws = _wrapped(direction_a[ik, im] - direction_b[jk, jm])
    tolerances = np.minimum(
        np.arcsin(np.minimum(np.sqrt(square_bounds[keep]) / shorter, 1.0)), MAX_YAW_TOLERANCE_RAD
    )
    keep = np.ones(len(k), bool)
    for first, second in ((ik, jk), (im, jm)):
        off = np.abs(half_turn(b.yaws[second] + yaws - a.yaws[first]))
        keep &= ~(off > HEADING_BOUND_RAD + tolerances)
    if prior is not None:
        off = np.abs(_wrapped(yaws - np.float32(yaw_of(prior.T_a_b))))
        keep &= off <= tolerances + 3 * np.sqrt(prior.covariance[2, 2]) + HALF_BIN_RAD
    edges = np.stack([k, m], axis=1)
    return Consistency(edges[keep], yaws[keep], tolerances[keep])


def _of_one_length(
    candidates: Candidates, length_a: NDArray[np.float32], length_b: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return pairs k < m that are as far apart in one graph as in the other, and their squared bounds."""
    i, j = candidates.a, candidates.b
    variances = (_BOUND_SIGMAS**2 / candidates.weights).astype(np.float32)
    firsts, seconds, square_bounds = [], [], []
    # A block of rows stays in the cache, and half of the square is not looked at.
    for start in range(0, len(i), ROWS):
        rows, columns = slice(start, start + ROWS), slice(start, None)
        difference = length_a[i[rows]][:, i[columns]]
        difference -= length_b[j[rows]][:, j[columns]]
        difference *= difference
        square_bound = variances[rows, None] + variances[columns]
        np.clip(square_bound, _MIN_BOUND_M**2, MAX_BOUND_M**2, out=square_bound)
        k, m = np.nonzero(difference < square_bound)
        k, m = k[k < m], m[k < m]
        firsts.append(k + start)
        seconds.append(m + start)
        square_bounds.append(square_bound[k, m])
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(square_bounds)


def _lengths(nodes: UsableNodes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return distances (N,N) seen from above, and directions from the row's node to the column's, radians."""
    place = nodes.positions[:, 0] + 1j * nodes.positions[:, 1]
    between = place[None, :] - place[:, None]
    return np.abs(between).astype(np.float32), np.angle(between).astype(np.float32)
