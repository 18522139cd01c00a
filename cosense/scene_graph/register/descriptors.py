"""Registration of graphs by either kind of descriptors: learned ones, or those without learning.

The better the true pairs are ranked, the fewer pairs need to be looked at, and a pair that is not looked at
cannot agree by chance. So the number of candidates depends on the descriptors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from cosense.errors import CosenseError, nearest
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.describe.node_encoder import load_encoder
from cosense.scene_graph.register.candidates import MAX_CANDIDATES
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior, RegistrationResult

DescriptorKind = Literal["learned", "triplets"]
DESCRIPTORS: tuple[DescriptorKind, ...] = get_args(DescriptorKind)
# From a graph to the same graph with descriptors; both graphs of a registration need the same kind.
Describe = Callable[[SceneGraph], SceneGraph]
# From both graphs and a prior to the result, as `register_graphs` does.
GraphRegistration = Callable[[SceneGraph, SceneGraph, "Prior | None"], RegistrationResult]
# Chosen on scenes of the trained families, seeds 410000 to 410039, see the card of models/node-encoder.
_LEARNED_CANDIDATES = 150


def describer(kind: str) -> Describe:
    """Return the function that prepares a graph for `register_graphs`; call this once, it may load weights.

    Args:
        kind: one of `DESCRIPTORS`: "learned" of `node_encoder`, or "triplets" of `triplets`.

    Raises:
        CosenseError: there is no such kind, or the weights are missing.
    """
    if kind == "learned":
        return load_encoder().described
    if kind == "triplets":
        return _undescribed
    raise CosenseError(f"descriptors '{kind}': {nearest(kind, DESCRIPTORS)}")


def graph_registration(kind: str) -> GraphRegistration:
    """Return `register_graphs` by one kind of descriptors, computed for both graphs; `time_ms` includes that.

    Args:
        kind: one of `DESCRIPTORS`.

    Raises:
        CosenseError: there is no such kind, or the weights are missing.
    """
    describe, max_candidates = describer(kind), max_candidates_of(kind)

    def registration(
        graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior | None = None
    ) -> RegistrationResult:
        start = time.perf_counter()
        result = register_graphs(describe(graph_a), describe(graph_b), prior, max_candidates)
        return replace(result, time_ms=(time.perf_counter() - start) * 1e3)

    return registration


def max_candidates_of(kind: str) -> int:
    """Return the number of candidates with which descriptors of a kind register best."""
    return _LEARNED_CANDIDATES if kind == "learned" else MAX_CANDIDATES


def _undescribed(graph: SceneGraph) -> SceneGraph:
    """Return the graph without descriptors, which `register_graphs` then computes."""
    return replace(graph, descriptors=None)
