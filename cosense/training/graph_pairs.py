"""Pairs of scene graphs of one place, from which a node encoder learns, and how good its candidates are.

The scenes are the moments of `training.samples`, the boxes those of a detector, never ground truth. A graph
takes some hundred milliseconds to build and a few kilobytes to keep: each scene is built once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix, invert, transform_points
from cosense.messages.scene_graph import SceneGraph, transmitted
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.nodes import GROUP_OF, Nodes, graph_of
from cosense.scene_graph.register.candidates import find_candidates
from cosense.scene_graph.register.descriptors import Describe
from cosense.scene_graph.register.usable_nodes import usable_nodes
from cosense.sensing.levelling import levelled
from cosense.simulation import SCENES_VERSION
from cosense.training.cached import Cached, Show, fill, silent
from cosense.training.encoded_moments import loaded_detector
from cosense.training.run_config import SceneConfig
from cosense.training.samples import simulated_moment

# Raised whenever `build` comes to give other graphs.
_CACHE_VERSION = 2
# Two nodes of one group this near under the true pose are one thing.
SAME_M = 1.0


@dataclass(frozen=True)
class GraphPair:
    """Two agents at one moment.

    Attributes:
        name: family, seed and the two agents.
        a: the receiver's own graph.
        b: the sender's graph as it comes out of a message.
        T_a_b: (4,4) true pose of b in a's frame.
    """

    name: str
    a: SceneGraph
    b: SceneGraph
    T_a_b: Matrix


def same_things(a: SceneGraph, b: SceneGraph, T_a_b: Matrix, within_m: float = SAME_M) -> NDArray[np.int64]:
    """Return (K,2) indices of nodes that are one thing: in one group, each the other's nearest, ascending.

    Args:
        a, b: the graphs.
        T_a_b: (4,4) the true pose of b in a's frame.
        within_m: largest distance, seen from above; two agents do not agree about heights.
    """
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.int64)
    of_b = transform_points(T_a_b, b.positions)[:, :2]
    apart = np.linalg.norm(a.positions[:, None, :2] - of_b[None], axis=2)
    apart[GROUP_OF[a.classes][:, None] != GROUP_OF[b.classes][None]] = np.inf
    mutual = (apart == apart.min(axis=1, keepdims=True)) & (apart == apart.min(axis=0, keepdims=True))
    return np.argwhere(mutual & (apart <= within_m))


def load_graph_pairs(
    scenes: Sequence[SceneConfig], cache: Path, model: str, device: str = "cpu", show: Show = silent
) -> list[GraphPair]:
    """Return a pair for each two agents of each sequence, built by all cores where not in the cache yet.

    Args:
        scenes: scenes to simulate; one moment of each sequence is used.
        cache: folder of samples and graphs, created where it is missing.
        model: name or folder of the model that finds the boxes in the graphs.
        device: where its detector runs.
        show: sees the progress.
    """
    each = [(*sequence, entry) for entry in scenes for sequence in entry.each()]
    fingerprint = loaded_detector(model, device).fingerprint.hex()
    files = []
    for family, seed, entry in each:
        key = [_CACHE_VERSION, SCENES_VERSION, family, seed, *entry.sensors, fingerprint]
        make = partial(_build_graphs, entry, family, seed, cache, model, device)
        files.append(Cached.of(cache, f"graphs-{family}-{seed}", key, make))
    fill(files, show)
    pairs: list[GraphPair] = []
    for number, (file, (family, seed, _)) in enumerate(zip(files, each, strict=True)):
        pairs += _pairs(f"{family}/{seed}", _from_arrays(file.read()))
        show("read graphs", number + 1, len(files))
    return pairs


def _pairs(name: str, graphs: list[SceneGraph]) -> list[GraphPair]:
    return [
        GraphPair(
            f"{name}/{a.agent_id}-{b.agent_id}",
            a,
            transmitted(b)[0],
            invert(a.T_world_agent) @ b.T_world_agent,
        )
        for a, b in combinations(graphs, 2)
    ]


def _build_graphs(
    scenes: SceneConfig, family: str, seed: int, cache: Path, model: str, device: str
) -> dict[str, NDArray]:
    """Return the graphs of all agents of one sequence as arrays."""
    detector = loaded_detector(model, device)
    levels = [levelled(view, detector.site) for view in simulated_moment(scenes, family, seed, cache).views]
    return _to_arrays([build(view, detector.detect(view), detector.site) for view in levels])


def _to_arrays(graphs: list[SceneGraph]) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {"agents": np.array([graph.agent_id for graph in graphs])}
    for index, graph in enumerate(graphs):
        arrays[f"{index}.pose"] = graph.T_world_agent
        for field in fields(Nodes):
            arrays[f"{index}.{field.name}"] = getattr(graph, field.name)
    return arrays


def _from_arrays(arrays: dict[str, NDArray]) -> list[SceneGraph]:
    graphs = []
    for index, agent in enumerate(arrays["agents"]):
        nodes = Nodes(*(arrays[f"{index}.{field.name}"] for field in fields(Nodes)))
        ids = np.arange(len(nodes))
        pose = arrays[f"{index}.pose"]
        graphs.append(graph_of(nodes, ids, str(agent), 0, pose, np.zeros((3, 3))))
    return graphs


@dataclass(frozen=True)
class CandidateFigures:
    """Means over pairs of graphs that have true matches.

    Attributes:
        pairs: number of pairs with true matches.
        recall: share of the true matches that are candidates.
        precision: share of the candidates that are true.
        candidates: number of candidates.
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
        pairs: graphs to register.
        describe: gives the graphs descriptors, see `descriptors.describer`.
        max_candidates: number of candidates.
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
