"""Pairs of scene graphs of one place: what a node encoder learns from.

The scenes are those of `training.cooperative_samples`, the boxes those of a detector, never ground truth. A
graph takes some hundred milliseconds to build and a few kilobytes to keep: each scene is built once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.detectors.base import Detector
from cosense.geometry.transforms import Matrix, invert, transform_points
from cosense.messages.scene_graph import SceneGraph, transmitted
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.nodes import GROUP_OF, Nodes, graph_of
from cosense.simulation import SCENES_VERSION
from cosense.training.config import SceneConfig
from cosense.training.cooperative_samples import frame_of, load_cooperative_samples

# Raised whenever `build` comes to give other graphs.
_CACHE_VERSION = 1
# Two nodes of one group this near under the true pose are one thing.
SAME_M = 1.0


@dataclass(frozen=True)
class GraphPair:
    """Two agents at one moment.

    Attributes:
        name: of the scene and the two agents.
        a: the receiver's own graph.
        b: the sender's graph as it comes out of a message.
        T_a_b: (4,4) where b truly is.
    """

    name: str
    a: SceneGraph
    b: SceneGraph
    T_a_b: Matrix


def same_things(a: SceneGraph, b: SceneGraph, T_a_b: Matrix, within_m: float = SAME_M) -> NDArray[np.int64]:
    """Return (K,2) indices of nodes that are one thing: of one group, each the other's nearest, ascending.

    Args:
        a, b: the graphs.
        T_a_b: (4,4) the true pose of b in a's frame.
        within_m: how far apart at most, seen from above; two agents do not agree about heights.
    """
    if not len(a) or not len(b):
        return np.zeros((0, 2), np.int64)
    of_b = transform_points(T_a_b, b.positions)[:, :2]
    apart = np.linalg.norm(a.positions[:, None, :2] - of_b[None], axis=2)
    apart[GROUP_OF[a.classes][:, None] != GROUP_OF[b.classes][None]] = np.inf
    mutual = (apart == apart.min(axis=1, keepdims=True)) & (apart == apart.min(axis=0, keepdims=True))
    return np.argwhere(mutual & (apart <= within_m))


def load_graph_pairs(
    scenes: Sequence[SceneConfig],
    cache: Path,
    detector: Detector,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> list[GraphPair]:
    """Return a pair for each two agents of each sequence, building what is not in the cache yet.

    Args:
        scenes: what to simulate; one moment of each sequence is used.
        cache: folder of samples and graphs, created where it is missing.
        detector: whose boxes the graphs have.
        progress: called with what is going on, how much is done, of how much.
    """
    total = sum(entry.sequences for entry in scenes)
    pairs: list[GraphPair] = []
    done = 0
    for entry in scenes:
        for number in range(entry.sequences):
            family = entry.families[number % len(entry.families)]
            one = replace(entry, families=(family,), first_seed=entry.first_seed + number, sequences=1)
            pairs += _pairs(f"{family}/{one.first_seed}", _graphs(one, cache, detector))
            done += 1
            progress("build or read graphs", done, total)
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


def _graphs(scene: SceneConfig, cache: Path, detector: Detector) -> list[SceneGraph]:
    """Return the graphs of all agents of one sequence, from its file where there is one."""
    family, seed = scene.families[0], scene.first_seed
    key = json.dumps(
        [_CACHE_VERSION, SCENES_VERSION, family, seed, scene.vehicles, detector.fingerprint.hex()]
    )
    path = cache / f"graphs-{family}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npz"
    if not path.exists():
        (sample,) = load_cooperative_samples([scene], cache)
        views = [(view, build(view.points, detector.detect(frame_of(view)))) for view in sample.views]
        _write(path, [replace(g, agent_id=v.agent_id, T_world_agent=v.T_world_agent) for v, g in views])
    return _read(path)


def _write(path: Path, graphs: list[SceneGraph]) -> None:
    arrays: dict[str, NDArray] = {"agents": np.array([graph.agent_id for graph in graphs])}
    for index, graph in enumerate(graphs):
        arrays[f"{index}.pose"] = graph.T_world_agent
        for field in fields(Nodes):
            arrays[f"{index}.{field.name}"] = getattr(graph, field.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def _read(path: Path) -> list[SceneGraph]:
    graphs = []
    with np.load(path) as arrays:
        for index, agent in enumerate(arrays["agents"]):
            nodes = Nodes(*(arrays[f"{index}.{field.name}"] for field in fields(Nodes)))
            ids = np.arange(len(nodes))
            pose = arrays[f"{index}.pose"]
            graphs.append(graph_of(nodes, ids, str(agent), 0, pose, np.zeros((3, 3))))
    return graphs
