"""Candidates and which of them fit together."""

from __future__ import annotations

import numpy as np

from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.register.candidates import MAX_BOUND_M, ROWS, find_candidates, find_consistency
from cosense.scene_graph.register.usable_nodes import usable_nodes
from tests.scene_graph.scenes import pair


def test_true_matches_are_edges_and_every_edge_keeps_its_length():
    a, b, _ = pair(np.random.default_rng(3), 16, 4, sigma_m=0.0, classes=(NodeClass.POLE,))
    nodes = [usable_nodes(graph, 0) for graph in (a, b)]
    candidates = find_candidates(*nodes, None)
    assert len(candidates) == 20 * 20 > 5 * ROWS
    edges = find_consistency(candidates, *nodes, None).edges
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(np.unique(edges, axis=0)) == len(edges)
    k, m = edges.T
    length_a, length_b = (
        np.linalg.norm((places[k] - places[m])[:, :2], axis=1) for places in (candidates.q, candidates.p)
    )
    assert np.abs(length_a - length_b).max() <= MAX_BOUND_M
    # Noise free: of 16 things, which are 2 m apart, each pair of matches is an edge; chance adds others.
    of_a, of_b = nodes[0].index[candidates.a], nodes[1].index[candidates.b]
    rows = np.flatnonzero(_one_thing(a, b)[of_a, of_b]).tolist()
    assert len(rows) == 16
    found = set(map(tuple, edges.tolist()))
    assert all((one, other) in found for one in rows for other in rows if one < other)


def _one_thing(a, b):
    """Return (Na,Nb) which nodes are one thing: one rise is that of all of them, and no other pair has it."""
    rise = a.positions[:, None, 2] - b.positions[None, :, 2]
    values, counts = np.unique(np.round(rise, 9), return_counts=True)
    return np.abs(rise - values[counts.argmax()]) < 1e-8
