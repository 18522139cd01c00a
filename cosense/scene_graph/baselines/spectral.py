"""Spectral matching of objects, as VIPS (MobiCom 2022) does it, from its description in `spec/sgreg.md` §9.1.

Every pair of nodes of one class is a possible match. How alike two nodes are stands on the diagonal of a
matrix, how alike two pairs of nodes on the rest of it; the leading eigenvector says how much each match
belongs to the rest, and an assignment takes one for each node. We differ:

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
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.baselines.matched import registration_of
from cosense.scene_graph.register.result import Prior, Registration, Settings
from cosense.scene_graph.register.usable_nodes import Nodes, prepare

# 40 x 40 of one class make a matrix of 1600 x 1600.
MAX_NODES = 40
KEEP = 0.5
ITERATIONS = 100


def register_spectral(graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior) -> Registration:
    """Return the pose of b in a's frame by spectral matching near the prior, with a status."""
    start = time.perf_counter()
    settings = Settings(max_nodes=MAX_NODES)
    stamp_ns = max(graph_a.stamp_ns, graph_b.stamp_ns)
    a, b = (prepare(graph, stamp_ns, settings, False) for graph in (graph_a, graph_b))
    i, j = np.nonzero(a.classes[:, None] == b.classes[None, :])
    if len(i):
        strength = leading_eigenvector(affinity(a, b, i, j, prior))
        low, high = float(strength.min()), float(strength.max())
        table = np.zeros((len(a), len(b)))
        table[i, j] = (strength - low) / (high - low) if high > low else 1.0
        rows, columns = linear_sum_assignment(-table)
        keep = table[rows, columns] >= KEEP
        i, j = rows[keep], columns[keep]
    return replace(registration_of(a, b, i, j), time_ms=(time.perf_counter() - start) * 1e3)


def affinity(
    a: Nodes, b: Nodes, i: NDArray[np.int64], j: NDArray[np.int64], prior: Prior
) -> NDArray[np.float64]:
    """Return (M,M) how well the matches `i`, `j` (M,) of nodes of a and b go together, 0 to 1."""
    sizes_a, sizes_b = np.nan_to_num(a.sizes), np.nan_to_num(b.sizes)
    mapped = transform_points(prior.T_a_b, b.positions)
    different = np.minimum(((sizes_a[i] - sizes_b[j]) ** 2).sum(axis=1), 1e3)
    off = np.linalg.norm(a.positions[i, :2] - mapped[j, :2], axis=1)
    alone = 0.5 * np.exp(-0.5 * different) + 0.5 * np.exp(-0.1 * off)

    def lengths(nodes: Nodes) -> NDArray[np.float64]:
        return np.linalg.norm(nodes.positions[:, None, :2] - nodes.positions[None, :, :2], axis=2)

    def turns(nodes: Nodes) -> NDArray[np.float64]:
        return np.sin(nodes.yaws[:, None] - nodes.yaws[None, :])

    length = lengths(a)[np.ix_(i, i)] - lengths(b)[np.ix_(j, j)]
    # A node without heading says nothing against a pair.
    turn = np.nan_to_num(turns(a)[np.ix_(i, i)] - turns(b)[np.ix_(j, j)])
    together = 0.5 * np.exp(-0.5 * length**2) + 0.5 * np.exp(-0.1 * np.abs(turn))
    np.fill_diagonal(together, alone)
    return together


def leading_eigenvector(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvector (M,) of the largest eigenvalue of a matrix without negative entries."""
    vector = np.full(len(matrix), len(matrix) ** -0.5)
    for _ in range(ITERATIONS):
        following = matrix @ vector
        following /= np.linalg.norm(following)
        if np.abs(following - vector).max() < 1e-9:
            break
        vector = following
    return vector
