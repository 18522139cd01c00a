"""Graphs that are made by hand."""

from __future__ import annotations

import numpy as np

from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import Message, PayloadKind
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.scene_graph.nodes import Nodes, graph_of


def graph(places, classes=None, ids=None, agent_id="unit", stamp_ns=7) -> SceneGraph:
    """Return a graph of poles, or of other classes, at places (N,2) or (N,3)."""
    places = np.asarray(places, dtype=np.float64).reshape(len(places), -1 if len(places) else 2)
    positions = np.zeros((len(places), 3))
    positions[:, : places.shape[1]] = places
    count = len(places)
    nodes = Nodes.static(
        np.full(count, NodeClass.POLE) if classes is None else np.asarray(classes),
        positions,
        np.tile([0.2, 0.2, 3.0], (count, 1)),
        np.full(count, 0.1),
        np.full(count, 0.8),
    )
    return graph_of(
        nodes,
        np.arange(count) if ids is None else np.asarray(ids),
        agent_id,
        stamp_ns,
        transform_from_planar(100.0, 200.0, 0.5, 20.0),
        np.diag([0.04, 0.09, 0.01]),
    )


def message(payload: bytes, of: SceneGraph | None = None, sequence: int = 3) -> Message:
    """Return the message in which a payload travels."""
    of = graph([]) if of is None else of
    return Message(
        kind=PayloadKind.SCENE_GRAPH,
        sender=of.agent_id,
        sequence=sequence,
        stamp_ns=of.stamp_ns,
        T_world_agent=of.T_world_agent,
        pose_covariance=of.pose_covariance,
        fingerprint=bytes(8),
        payload=payload,
    )
