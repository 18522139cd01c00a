"""Spectral matching of objects, after the description of VIPS (MobiCom 2022).

Every pair of nodes of one class is a possible match. The diagonal of a matrix holds how alike two nodes are,
the rest of it how alike two pairs of nodes are; the leading eigenvector says how much each match belongs to
the rest, and an assignment takes one for each node. We differ:

- Power iteration instead of a general optimiser from a zero start: the matrix has no negative entry, so it
  converges.
- The pose is the planar fit of the centres instead of box corners: poles have none that two agents see alike.
- Fewer than three matches are a status, and so is a pose that they do not agree on.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from cosense.geometry.transforms import transform_points
from cosense.messages.envelope import PayloadKind
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.baselines.base import result_of_matches
from cosense.scene_graph.register.result import Prior, RegistrationResult
from cosense.scene_graph.register.usable_nodes import UsableNodes, usable_nodes

PAYLOAD = PayloadKind.SCENE_GRAPH
# 40 x 40 nodes of one class make a matrix of 1600 x 1600.
_MAX_NODES = 40
_KEEP = 0.5
_ITERATIONS = 100


def register(a: SceneGraph, b: SceneGraph, prior: Prior) -> RegistrationResult:
    """Return the pose of b in a's frame by spectral matching near the prior, with a status."""
    start = time.perf_counter()
    stamp_ns = max(a.stamp_ns, b.stamp_ns)
    nodes_a, nodes_b = (usable_nodes(graph, stamp_ns, max_nodes=_MAX_NODES) for graph in (a, b))
    i, j = np.nonzero(nodes_a.classes[:, None] == nodes_b.classes[None, :])
    if len(i):
        strength = leading_eigenvector(affinity(nodes_a, nodes_b, i, j, prior))
        low, high = float(strength.min()), float(strength.max())
        table = np.zeros((len(nodes_a), len(nodes_b)))
        table[i, j] = (strength - low) / (high - low) if high > low else 1.0
        rows, columns = linear_sum_assignment(-table)
        keep = table[rows, columns] >= _KEEP
        i, j = rows[keep], columns[keep]
    return replace(result_of_matches(nodes_a, nodes_b, i, j), time_ms=(time.perf_counter() - start) * 1e3)


def affinity(
    a: UsableNodes, b: UsableNodes, i: NDArray[np.int64], j: NDArray[np.int64], prior: Prior
) -> NDArray[np.float64]:
    """Return the affinity (M,M) of M matches of nodes `i` of a and `j` of b, 0 to 1."""
    sizes_a, sizes_b = np.nan_to_num(a.sizes), np.nan_to_num(b.sizes)
    mapped = transform_points(prior.T_a_b, b.positions)
    different = np.minimum(((sizes_a[i] - sizes_b[j]) ** 2).sum(axis=1), 1e3)
    off = np.linalg.norm(a.positions[i, :2] - mapped[j, :2], axis=1)
    alone = 0.5 * np.exp(-0.5 * different) + 0.5 * np.exp(-0.1 * off)

    def lengths(nodes: UsableNodes) -> NDArray[np.float64]:
        return np.linalg.norm(nodes.positions[:, None, :2] - nodes.positions[None, :, :2], axis=2)

    def turns(nodes: UsableNodes) -> NDArray[np.float64]:
        return np.sin(nodes.yaws[:, None] - nodes.yaws[None, :])

    length = lengths(a)[np.ix_(i, i)] - lengths(b)[np.ix_(j, j)]
    # A node without heading does not count against a pair.
    turn = np.nan_to_num(turns(a)[np.ix_(i, i)] - turns(b)[np.ix_(j, j)])
    together = 0.5 * np.exp(-0.5 * length**2) + 0.5 * np.exp(-0.1 * np.abs(turn))
    np.fill_diagonal(together, alone)
    return together


def leading_eigenvector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvector (M,) of the largest eigenvalue of a matrix without negative entries."""
    vector = np.full(len(matrix), len(matrix) ** -0.5)
    for _ in range(_ITERATIONS):
        following = matrix @ vector
        following /= np.linalg.norm(following)
        if np.abs(following - vector).max() < 1e-9:
            break
        vector = following
    return vector
