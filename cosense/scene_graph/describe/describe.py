"""The learning-free triplet descriptor: what stands around a node, in which direction of turn.

SG-Reg (arXiv 2504.14440, its triplet network; `spec/sgreg.md` §2.2) describes a node by the triangles of
`triplets.py`: the angle at the node, both distances in 3D, what the two neighbours are. It stays that way
here; we differ:

- No network: the triangles are counted in a soft histogram (§9.4). It needs no training and no labels, and it
  only ranks candidates; the clique decides. The network is in `encoder.py`.
- A node without neighbours has a zero descriptor: it is as similar to everything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.messages.scene_graph import MAP_CLASSES, NodeClass, SceneGraph
from cosense.scene_graph.describe.triplets import RANGE_M, canonical_order, find_triplets

SIZE = 64
# Bins of the histogram: what the two neighbours are x the angle x the difference and the sum of the
# distances.
KINDS, ANGLES, NEARER, REACHES = 4, 4, 2, 2
KIND_OF = np.zeros(len(NodeClass), np.int64)
KIND_OF[list(MAP_CLASSES)] = 1


def describe(graph: SceneGraph) -> NDArray[np.float32]:
    """Return (N,64) descriptors of unit length, zero where a node has no neighbour.

    They do not depend on where the agent stands nor on its heading, and not on the order of the nodes.
    """
    order = canonical_order(graph.positions, graph.classes)
    described = np.empty((len(graph), SIZE), np.float32)
    described[order] = describe_nodes(graph.positions[order], graph.classes[order])
    return described


def describe_nodes(positions: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (N,64) for nodes at `positions` (N,3), all of them finite, of `classes` (N,)."""
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
    """Return bins and shares of values between the centres 0 ... `bins` - 1: two bins have a part of each."""
    place = np.clip(place, 0, bins - 1)
    low = np.minimum(place.astype(np.int64), bins - 2)
    return [(low, 1 - (place - low)), (low + 1, place - low)]
