"""The learning-free triplet descriptor: what stands around a node, in which direction of turn.

SG-Reg (arXiv 2504.14440, its triplet network; `spec/sgreg.md` §2.2) describes a node by the triangles that it
forms
with pairs of neighbours: cosine of the angle at the node, both distances in 3D, what the two neighbours are.
The neighbours of a pair are put in anticlockwise order, so that the descriptor does not change with yaw and
does change in a mirror. It stays that way here; we differ:

- No network: the triangles are counted in a soft histogram (§9.4). It needs no training and no labels, and it
  only ranks candidates; the clique decides.
- The 20 tightest pairs among the 8 nearest neighbours within 30 m, instead of 20 random pairs of everything
  within
  1 to 6 m: outdoors things are far apart, and equal graphs shall have equal descriptors.
- A node with one neighbour is described by that neighbour (a triangle without area) instead of not at all.
  One
  without neighbours has a zero descriptor: it is as similar to everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.scene_graph.graph import MAP_CLASSES, NodeClass, SceneGraph

SIZE = 64
RANGE_M = 30.0
NEIGHBOURS = 8
TRIPLETS = 20
# Bins of the histogram: what the two neighbours are x the angle x the difference and the sum of the
# distances.
KINDS, ANGLES, NEARER, REACHES = 4, 4, 2, 2
KIND_OF = np.zeros(len(NodeClass), np.int64)
KIND_OF[list(MAP_CLASSES)] = 1


def describe(graph: SceneGraph) -> NDArray[np.float32]:
    """Return (N,64) descriptors of unit length, zero where a node has no neighbour.

    They do not depend on where the agent stands nor on its heading, and not on the order of the nodes.
    """
    order = np.lexsort([graph.classes, *graph.positions.T[::-1]])
    described = np.empty((len(graph), SIZE), np.float32)
    described[order] = describe_nodes(graph.positions[order], graph.classes[order])
    return described


def describe_nodes(positions: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (N,64) for nodes at `positions` (N,3), all of them finite, of `classes` (N,)."""
    count = len(positions)
    if count < 2:
        return np.zeros((count, SIZE), np.float32)
    near = min(NEIGHBOURS, count - 1)
    distances, neighbours = cKDTree(positions).query(positions, near + 1, distance_upper_bound=RANGE_M)
    # Not always the first is the node itself: two may share one place.
    own = neighbours == np.arange(count)[:, None]
    own[~own.any(axis=1), -1] = True
    distances, neighbours = distances[~own].reshape(count, near), neighbours[~own].reshape(count, near)
    there = np.isfinite(distances)
    neighbours = np.where(there, neighbours, 0)

    first, second = np.triu_indices(near, 1) if near > 1 else (np.zeros(1, np.int64), np.zeros(1, np.int64))
    both = there[:, first] & there[:, second]
    reach = np.where(both, distances[:, first] + distances[:, second], np.inf)
    lonely = there.sum(axis=1) == 1
    if near > 1 and lonely.any():
        first, second = np.append(first, 0), np.append(second, 0)
        reach = np.column_stack([reach, np.where(lonely, 2 * distances[:, 0], np.inf)])
    tightest = np.argsort(reach, axis=1, kind="stable")[:, :TRIPLETS]
    reach = np.take_along_axis(reach, tightest, axis=1)
    first, second = first[tightest], second[tightest]
    anchor, triplet = np.nonzero(np.isfinite(reach))
    n1 = neighbours[anchor, first[anchor, triplet]]
    n2 = neighbours[anchor, second[anchor, triplet]]
    d1 = distances[anchor, first[anchor, triplet]]
    d2 = distances[anchor, second[anchor, triplet]]

    v1, v2 = positions[n1, :2] - positions[anchor, :2], positions[n2, :2] - positions[anchor, :2]
    turn = v1[:, 0] * v2[:, 1] - v1[:, 1] * v2[:, 0]
    angle = np.abs(np.arctan2(turn, (v1 * v2).sum(axis=1)))
    swap = turn < 0
    n1, n2, d1, d2 = np.where(swap, [n2, n1, d2, d1], [n1, n2, d1, d2])
    n1, n2 = n1.astype(np.int64), n2.astype(np.int64)

    kind = 2 * KIND_OF[classes[n1]] + KIND_OF[classes[n2]]
    row = anchor * KINDS + kind
    nearer = 0.5 + 1.5 * (d1 - d2) / (d1 + d2 + 1e-6)
    bins, shares = [], []
    for angle_bin, angle_share in _soft(angle / np.pi * (ANGLES - 1), ANGLES):
        for nearer_bin, nearer_share in _soft(nearer, NEARER):
            for reach_bin, reach_share in _soft((d1 + d2) / RANGE_M, REACHES):
                bins.append(((row * ANGLES + angle_bin) * NEARER + nearer_bin) * REACHES + reach_bin)
                shares.append(angle_share * nearer_share * reach_share)
    flat = np.bincount(np.concatenate(bins), np.concatenate(shares), count * SIZE).reshape(count, SIZE)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return (flat / np.where(norm > 0, norm, 1)).astype(np.float32)


def _soft(place: NDArray[np.float64], bins: int) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return bins and shares of values between the centres 0 ... `bins` - 1: two bins have a part of each."""
    place = np.clip(place, 0, bins - 1)
    low = np.minimum(place.astype(np.int64), bins - 2)
    return [(low, 1 - (place - low)), (low + 1, place - low)]
