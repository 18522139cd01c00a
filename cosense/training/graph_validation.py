"""How many true matches are among the candidates of a registration: what descriptors are there for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosense.scene_graph.register.candidates import find_candidates
from cosense.scene_graph.register.descriptors import Describe
from cosense.scene_graph.register.usable_nodes import usable_nodes
from cosense.training.graph_pairs import GraphPair, same_things


@dataclass(frozen=True)
class CandidateFigures:
    """Means over pairs of graphs that have true matches.

    Attributes:
        pairs: how many have.
        recall: share of the true matches that are candidates.
        precision: share of the candidates that are true.
        candidates: how many there are.
    """

    pairs: int
    recall: float
    precision: float
    candidates: float


def candidate_figures(
    pairs: Sequence[GraphPair], describe: Describe, max_candidates: int
) -> CandidateFigures:
    """Choose candidates without a prior and count the true matches among them.

    Args:
        pairs: what is registered.
        describe: gives the graphs descriptors, see `descriptors.describer`.
        max_candidates: how many are chosen.
    """
    rows = []
    for pair in pairs:
        true = {(int(i), int(j)) for i, j in same_things(pair.a, pair.b, pair.T_a_b)}
        if not true:
            continue
        graphs = describe(pair.a), describe(pair.b)
        a, b = (usable_nodes(graph, 0, with_descriptors=graph.descriptors is not None) for graph in graphs)
        found = find_candidates(a, b, None, max_candidates)
        hits = len(true & set(zip(a.index[found.a].tolist(), b.index[found.b].tolist(), strict=True)))
        rows.append((hits / len(true), hits / max(1, len(found)), len(found)))
    recall, precision, candidates = np.mean(rows, axis=0) if rows else (0.0, 0.0, 0.0)
    return CandidateFigures(len(rows), float(recall), float(precision), float(candidates))
