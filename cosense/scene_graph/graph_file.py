"""Scene graphs of other front ends: a JSON file (docs/registration.md), and the meaning of its labels.

SG-Reg (arXiv 2504.14440) embeds labels with BERT and tells floors by whether a label is part of a list
written as one text, so that an empty label is a floor. We differ: `labels.yaml` lists what a label means,
only whole labels match, and a label that is not there becomes UNKNOWN and is named.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path

import numpy as np

from cosense.config import from_mapping, load_yaml
from cosense.errors import CosenseError, counted, parse_json, read_file
from cosense.messages.fields import MAX_NAME_BYTES
from cosense.messages.scene_graph import MAP_CLASSES, MAX_NODES, MAX_POSITION_M, NodeClass, SceneGraph
from cosense.scene_graph.nodes import Nodes, graph_of

SUFFIX = ".json"
_MAX_STAMP_NS = (1 << 63) - 1
TABLE = Path(__file__).with_name("labels.yaml")
_BETWEEN_WORDS = re.compile(r"[\s_\-./,:;'’]+")
_CAPITAL_INSIDE = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True)
class NodeEntry:
    """One node of a file, in the frame and units of `SceneGraph`.

    Attributes:
        label: free text, see `labels.yaml`.
        position: x, y, z in metres, within 327.67 m as in a message.
        size: length, width, height in metres; vehicles need it.
        yaw: radians; null where there is none.
        velocity: x, y in m/s; null where not known.
        sigma_m: standard deviation of the position per axis.
        score: confidence in [0, 1].
    """

    label: str
    position: tuple[float, float, float]
    size: tuple[float, float, float] = (0.0, 0.0, 0.0)
    yaw: float | None = None
    velocity: tuple[float, float] | None = None
    sigma_m: float = 0.3
    score: float = 1.0

    def __post_init__(self) -> None:
        for name in ("position", "size", "yaw", "velocity", "sigma_m", "score"):
            value = getattr(self, name)
            numbers = () if value is None else value if isinstance(value, tuple) else (value,)
            if not all(map(isfinite, numbers)):
                raise ValueError(f"{name} is {value}, expected finite numbers")
        if max(map(abs, self.position)) > MAX_POSITION_M:
            raise ValueError(f"position is {self.position}, expected numbers within {MAX_POSITION_M} m")
        if min(self.size) < 0:
            raise ValueError(f"size is {self.size}, expected no negative number")
        if not self.sigma_m > 0:
            raise ValueError(f"sigma_m is {self.sigma_m:g}, expected more than 0")
        if not 0 <= self.score <= 1:
            raise ValueError(f"score is {self.score:g}, expected a number in [0, 1]")


@dataclass(frozen=True)
class GraphFile:
    """The content of a file.

    Attributes:
        nodes: nodes in any order, at most as many as a message holds.
        agent: name of the agent, printable and short enough for a message.
        stamp_ns: measurement time; two graphs without it count as of one moment.
    """

    nodes: tuple[NodeEntry, ...]
    agent: str = ""
    stamp_ns: int = 0

    def __post_init__(self) -> None:
        if len(self.nodes) > MAX_NODES:
            raise ValueError(f"nodes: there are {len(self.nodes)}, the limit is {MAX_NODES}")
        if not self.agent.isprintable():
            raise ValueError(f"agent {self.agent!r} has characters that cannot be printed")
        if len(self.agent.encode()) > MAX_NAME_BYTES:
            raise ValueError(
                f"agent has {counted(len(self.agent.encode()), 'byte')}, "
                f"the limit is {MAX_NAME_BYTES}: '{self.agent}'"
            )
        if not 0 <= self.stamp_ns <= _MAX_STAMP_NS:
            raise ValueError(f"stamp_ns is {self.stamp_ns}, expected 0 to {_MAX_STAMP_NS}")


def read_graph(path: Path) -> tuple[SceneGraph, Counter[str]]:
    """Read a scene graph.

    Args:
        path: JSON file with the content of `GraphFile`.

    Returns:
        The graph with nodes in the order of the file, numbered from 0, an identity pose without covariance;
        and the count of each label that is not in the table: these nodes are UNKNOWN.

    Raises:
        CosenseError: there is no such file, it is no JSON, or a key or value is wrong, named by its place in
            the file.
    """
    try:
        file = from_mapping(GraphFile, parse_json(read_file(path)), where=str(path))
    except (ValueError, OverflowError) as error:
        raise CosenseError(f"{path}: not readable as a scene graph in JSON: {error}") from None
    classes, unknown = classes_of(node.label for node in file.nodes)
    for index, (node, kind) in enumerate(zip(file.nodes, classes, strict=True)):
        if kind is NodeClass.VEHICLE and not min(node.size[:2]) > 0:
            raise CosenseError(f"{path}: nodes[{index}]: a vehicle ('{node.label}') needs its size [l, w, h]")
    count, nan = len(file.nodes), float("nan")
    static = np.isin(np.array(classes, np.int64), MAP_CLASSES)
    nodes = Nodes(
        classes=np.array(classes, np.int64),
        positions=np.array([node.position for node in file.nodes], np.float64).reshape(count, 3),
        sizes=np.array([node.size for node in file.nodes], np.float64).reshape(count, 3),
        yaws=np.array([nan if node.yaw is None else node.yaw for node in file.nodes], np.float64),
        velocities=np.where(
            static[:, None],
            0.0,
            np.array([node.velocity or (nan, nan) for node in file.nodes], np.float64).reshape(count, 2),
        ),
        sigmas_m=np.array([node.sigma_m for node in file.nodes], np.float64),
        scores=np.array([node.score for node in file.nodes], np.float64),
    )
    graph = graph_of(nodes, np.arange(count), file.agent, file.stamp_ns, np.eye(4), np.zeros((3, 3)))
    return graph, unknown


def ground_height_of(graph: SceneGraph) -> float:
    """Return z of the ground, metres: the median of the lower ends of all nodes, 0 without nodes."""
    if not len(graph):
        return 0.0
    from_centre = ~np.isin(graph.classes, MAP_CLASSES)
    return float(np.median(graph.positions[:, 2] - np.where(from_centre, graph.sizes[:, 2] / 2, 0.0)))


def normalised(label: str) -> str:
    """Return a label in lower case, with one space between words; "TrafficLight" has two words."""
    return _BETWEEN_WORDS.sub(" ", _CAPITAL_INSIDE.sub(" ", label)).strip().lower()


@cache
def label_table() -> dict[str, NodeClass]:
    """Return the class of each known label, normalised; not to be changed."""
    known: dict[str, NodeClass] = {}
    for name, labels in load_yaml(TABLE).items():
        for label in (*labels, name):
            known[label] = NodeClass[name.upper()]
    return known


def classes_of(labels: Iterable[str]) -> tuple[list[NodeClass], Counter[str]]:
    """Return the class of each label, UNKNOWN if not in the table, and the count of each such label."""
    classes, unknown = [], Counter[str]()
    for label in labels:
        found = label_table().get(normalised(label))
        classes.append(NodeClass.UNKNOWN if found is None else found)
        if found is None:
            unknown[label] += 1
    return classes, unknown
