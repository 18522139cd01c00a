"""The triangles that a node forms with pairs of its neighbours, as SG-Reg describes a node by them.

SG-Reg (arXiv 2504.14440, `spec/sgreg.md` §1.4 and §2.2) takes 20 random pairs of all neighbours within 1 to
6 m and puts the neighbours of a pair in anticlockwise order: nothing of a triangle changes with yaw then, and
a mirror changes it. The order stays; we differ:

- The 20 tightest pairs among the 8 nearest neighbours within 30 m: outdoors things are far apart, and equal
  graphs shall have equal descriptors.
- A node with one neighbour forms a triangle without area with it, instead of none at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

RANGE_M = 30.0
NEIGHBOURS = 8
TRIPLETS = 20


@dataclass(frozen=True)
class Triplets:
    """The triangles of N nodes, K of each: the tightest first, behind them what is none.

    Attributes:
        valid: (N,K) whether there is one; everything else is 0 where there is none.
        n1, n2: (N,K) indices of the two neighbours, n2 anticlockwise of n1 as the node sees them.
        d1, d2: (N,K) their distances in 3D, metres.
        angle: (N,K) between them as the node sees them from above, radians in [0, pi].
    """

    valid: NDArray[np.bool_]
    n1: NDArray[np.int64]
    n2: NDArray[np.int64]
    d1: NDArray[np.float64]
    d2: NDArray[np.float64]
    angle: NDArray[np.float64]


def canonical_order(positions: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order (N,) of nodes that is the same whatever their order was before."""
    return np.lexsort([classes, *positions.T[::-1]])


def find_triplets(positions: NDArray[np.float64]) -> Triplets:
    """Return the triangles of nodes at `positions` (N,3), all of them finite; K is at most `TRIPLETS`."""
    count = len(positions)
    if count < 2:
        none = np.zeros((count, 1))
        index = none.astype(np.int64)
        return Triplets(none.astype(bool), index, index, none, none, none)
    near = min(NEIGHBOURS, count - 1)
    distances, neighbours = cKDTree(positions).query(positions, near + 1, distance_upper_bound=RANGE_M)
    # Not always the first is the node itself: two may share one place.
    own = neighbours == np.arange(count)[:, None]
    own[~own.any(axis=1), -1] = True
    distances, neighbours = distances[~own].reshape(count, near), neighbours[~own].reshape(count, near)
    there = np.isfinite(distances)
    neighbours, distances = np.where(there, neighbours, 0), np.where(there, distances, 0.0)

    first, second = np.triu_indices(near, 1) if near > 1 else (np.zeros(1, np.int64), np.zeros(1, np.int64))
    both = there[:, first] & there[:, second]
    reach = np.where(both, distances[:, first] + distances[:, second], np.inf)
    lonely = there.sum(axis=1) == 1
    if near > 1 and lonely.any():
        first, second = np.append(first, 0), np.append(second, 0)
        reach = np.column_stack([reach, np.where(lonely, 2 * distances[:, 0], np.inf)])
    tightest = np.argsort(reach, axis=1, kind="stable")[:, :TRIPLETS]
    valid = np.isfinite(np.take_along_axis(reach, tightest, axis=1))
    first, second = first[tightest], second[tightest]
    n1, n2 = (np.take_along_axis(neighbours, pick, axis=1) for pick in (first, second))
    d1, d2 = (np.take_along_axis(distances, pick, axis=1) for pick in (first, second))

    v1, v2 = (positions[n, :2] - positions[:, None, :2] for n in (n1, n2))
    turn = v1[..., 0] * v2[..., 1] - v1[..., 1] * v2[..., 0]
    angle = np.abs(np.arctan2(turn, (v1 * v2).sum(axis=2)))
    swap = turn < 0
    n1, n2 = np.where(swap, n2, n1), np.where(swap, n1, n2)
    d1, d2 = np.where(swap, d2, d1), np.where(swap, d1, d2)
    return Triplets(valid, *(np.where(valid, value, 0) for value in (n1, n2, d1, d2, angle)))
