"""Which descriptors rank the candidates of a registration: learned ones, or those without learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from cosense.errors import CosenseError, nearest
from cosense.scene_graph.encoder import load_encoder
from cosense.scene_graph.graph import SceneGraph

DescriptorKind = Literal["learned", "triplets"]
DESCRIPTORS: tuple[DescriptorKind, ...] = get_args(DescriptorKind)
# From a graph to the same graph with descriptors; both graphs of a registration need the same.
Describe = Callable[[SceneGraph], SceneGraph]


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


def _undescribed(graph: SceneGraph) -> SceneGraph:
    """Return the graph without descriptors, which `register` then computes."""
    return replace(graph, descriptors=None)
