"""Triangles of a node with pairs of its neighbours, and the learning-free descriptor that counts them.

SG-Reg (arXiv 2504.14440, triplet graph network) describes a node by 20 random pairs of all neighbours within
1 to 6 m: the angle at the node, both distances in 3D, and what both neighbours are. The neighbours of a pair
come in anticlockwise order: no triangle changes with yaw then, and a mirror image changes it. This stays; we
differ:

- Triangles are those of the 20 tightest pairs among the 8 nearest neighbours within 30 m: outdoors objects
  are far apart, and equal graphs shall have equal descriptors.
- A node with one neighbour forms a triangle without area with it, instead of none at all.
- Without a network (that is in `node_encoder`) the triangles are counted in a soft histogram. It needs no
  training and no labels, and it only ranks candidates; the clique decides.
- A node without neighbours has a zero descriptor: it is equally similar to every node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.messages.scene_graph import MAP_CLASSES, NodeClass, SceneGraph

RANGE_M = 30.0
NEIGHBOURS = 8
TRIPLETS = 20
SIZE = 64
# Bins of the histogram: static or dynamic neighbours x angle x difference x sum of the distances.
KINDS, ANGLES, NEARER, REACHES = 4, 4, 2, 2
KIND_OF = np.zeros(len(NodeClass), np.int64)
KIND_OF[list(MAP_CLASSES)] = 1


@dataclass(frozen=True)
class Triplets:
    """K triangles for each of N nodes, the tightest first, padded at the end.

    Attributes:
        valid: (N,K) False for padding, where everything else is 0.
        n1, n2: (N,K) indices of the two neighbours, n2 anticlockwise of n1 as the node sees them.
        d1, d2: (N,K) distances of both neighbours in 3D, metres.
        angle: (N,K) angle between both neighbours seen from above, radians in [0, pi].
    """

    valid: NDArray[np.bool_]
    n1: NDArray[np.int64]
    n2: NDArray[np.int64]
    d1: NDArray[np.float64]
    d2: NDArray[np.float64]
    angle: NDArray[np.float64]


def canonical_order(positions: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return an order (N,) of nodes that does not depend on the order in which they are given."""
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
    # The first neighbour is not always the node itself: two nodes may share one place.
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


def describe_graph(graph: SceneGraph) -> NDArray[np.float32]:
    """Return the histogram descriptors (N,64) of a graph, of unit length, zero where a node has no neighbour.

    They depend neither on the pose of the agent nor on the order of the nodes.
    """
    order = canonical_order(graph.positions, graph.classes)
    described = np.empty((len(graph), SIZE), np.float32)
    described[order] = describe_nodes(graph.positions[order], graph.classes[order])
    return described


def describe_nodes(positions: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (N,64) histogram descriptors of nodes at finite `positions` (N,3) and of `classes` (N,)."""
    count = len(positions)
    triplets = find_triplets(positions)
    anchor, triplet = np.nonzero(triplets.valid)
    n1, n2, d1, d2, angle = (
        values[anchor, triplet]
        for values in (triplets.n1, triplets.n2, triplets.d1, triplets.d2, triplets.angle)
    )
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
    """Return two bins with their shares for each value between the bin centres 0 ... `bins` - 1."""
    place = np.clip(place, 0, bins - 1)
    low = np.minimum(place.astype(np.int64), bins - 2)
    return [(low, 1 - (place - low)), (low + 1, place - low)]
