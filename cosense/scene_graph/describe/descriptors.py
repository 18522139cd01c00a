"""Registration by either kind of descriptors: learned ones, or those without learning.

The better true pairs are ranked, the fewer need to be looked at, and a pair that is not looked at cannot
agree by chance. So how many candidates there are belongs to the descriptors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from cosense.errors import CosenseError, nearest
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.describe.node_encoder import load_encoder
from cosense.scene_graph.register.pipeline import register
from cosense.scene_graph.register.result import Prior, Registration, Settings

DescriptorKind = Literal["learned", "triplets"]
DESCRIPTORS: tuple[DescriptorKind, ...] = get_args(DescriptorKind)
# From a graph to the same graph with descriptors; both graphs of a registration need the same.
Describe = Callable[[SceneGraph], SceneGraph]
# From both graphs and a prior, as `register` takes them.
Register = Callable[[SceneGraph, SceneGraph, "Prior | None"], Registration]
# Chosen on scenes of the trained families, seeds 410000 to 410039, see the card of models/node-encoder.
LEARNED_CANDIDATES = 150


def describer(kind: str) -> Describe:
    """Return what prepares a graph for `register`; open it once, it may load weights.

    Args:
        kind: one of `DESCRIPTORS`: "learned" of `encoder.py`, or "triplets" of `describe.py`.

    Raises:
        CosenseError: there is no such kind, or the weights are missing.
    """
    if kind == "learned":
        return load_encoder().described
    if kind == "triplets":
        return _undescribed
    raise CosenseError(f"descriptors '{kind}': {nearest(kind, DESCRIPTORS)}")


def registrar(kind: str) -> Register:
    """Return `register` by descriptors of a kind, computed for both graphs; `time_ms` counts that too.

    Args:
        kind: as `describer` takes it.

    Raises:
        CosenseError: as `describer` does.
    """
    describe, settings = describer(kind), settings_for(kind)

    def register_by(graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior | None = None) -> Registration:
        start = time.perf_counter()
        result = register(describe(graph_a), describe(graph_b), prior, settings)
        return replace(result, time_ms=(time.perf_counter() - start) * 1e3)

    return register_by


def settings_for(kind: str) -> Settings:
    """Return the settings with which descriptors of a kind register best."""
    return replace(Settings(), max_candidates=LEARNED_CANDIDATES) if kind == "learned" else Settings()


def _undescribed(graph: SceneGraph) -> SceneGraph:
    """Return the graph without descriptors, which `register` then computes."""
    return replace(graph, descriptors=None)
