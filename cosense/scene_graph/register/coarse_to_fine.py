"""Two agents register coarse to fine, each knowing of the other what its messages have said.

    b ── GRAPH ──► a      registers
    b ◄── RESULT ── a
    b ◄── REQUEST ── a    the points of what agrees
    b ── REPLY ──► a      refines

Every payload travels through `Exchange` and as the bytes of a whole message. On the air four registrations in
a row come before a request; here the first one is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.messages.envelope import FINGERPRINT_BYTES, Message, PayloadKind, decode, encode
from cosense.messages.scene_graph import SceneGraph, part_of
from cosense.messages.scene_graph_requests import Result
from cosense.scene_graph.describe.descriptors import Register
from cosense.scene_graph.exchange import Exchange, ExchangeSettings
from cosense.scene_graph.register.pipeline import register
from cosense.scene_graph.register.refinement import refined
from cosense.scene_graph.register.result import Prior, Registration

_GRAPH_ID = 0


@dataclass(frozen=True)
class Dialogue:
    """What came out of it.

    Attributes:
        coarse: of the graphs alone.
        result: the same, refined where the points fit better then.
        graph_b: as a has read it.
        sent_bytes: by part, of all messages with their envelopes: GRAPH and REPLY from b, RESULT and REQUEST
            from a.
    """

    coarse: Registration
    result: Registration
    graph_b: SceneGraph
    sent_bytes: dict[str, int]


def register_and_refine(
    graph_a: SceneGraph,
    points_a: NDArray[np.float32],
    graph_b: SceneGraph,
    points_b: NDArray[np.float32],
    prior: Prior | None = None,
    register: Register = register,
) -> Dialogue:
    """Find the pose of b in the frame of a, by graphs and then by the points of what agrees.

    Args:
        graph_a, graph_b: of these clouds, in their frames.
        points_a, points_b: (N,>=3) metres, z up, the sensor at the origin.
        prior: what is believed of the pose before.
        register: how the graphs are registered.

    Raises:
        MessageError: a graph cannot be written.
    """
    settings = ExchangeSettings(registrations_before_request=1)
    a, b = (_Side(name, graph, settings) for name, graph in (("a", graph_a), ("b", graph_b)))
    now_ns = max(graph_a.stamp_ns, graph_b.stamp_ns)
    a.exchange.publish(a.graph, points_a, _GRAPH_ID, now_ns)
    b.send(b.exchange.publish(b.graph, points_b, _GRAPH_ID, now_ns), b.graph.stamp_ns, a, now_ns)
    peer = a.exchange.peers["b"]
    assert peer.graph is not None
    coarse = register(graph_a, peer.graph, prior)
    answer = Result(
        "b",
        _GRAPH_ID,
        peer.graph_id,
        coarse.status.value,
        len(coarse.inliers),
        coarse.T_a_b,
        coarse.covariance,
    )
    wanted = [int(peer.graph.ids[row]) for row in coarse.inliers[:, 1]]
    for payload in a.exchange.registered(answer, wanted, now_ns):
        for reply in a.send(payload, now_ns, b, now_ns):
            b.send(reply, now_ns, a, now_ns)
    result = refined(coarse, graph_a, points_a, peer.graph, peer.points)
    return Dialogue(coarse, result, peer.graph, {**b.sent_bytes, **a.sent_bytes})


class _Side:
    """One agent, under a name that the other one does not have."""

    def __init__(self, name: str, graph: SceneGraph, settings: ExchangeSettings) -> None:
        self.exchange = Exchange(name, settings)
        self.graph = replace(graph, agent_id=name)
        self.sent_bytes: dict[str, int] = {}

    def send(self, payload: bytes, stamp_ns: int, other: _Side, now_ns: int) -> list[bytes]:
        """Send a payload as a message; returns what the other one answers."""
        message = Message(
            kind=PayloadKind.SCENE_GRAPH,
            sender=self.exchange.agent_id,
            sequence=_GRAPH_ID,
            stamp_ns=stamp_ns,
            T_world_agent=self.graph.T_world_agent,
            pose_covariance=self.graph.pose_covariance,
            fingerprint=bytes(FINGERPRINT_BYTES),
            payload=payload,
        )
        data = encode(message)
        self.sent_bytes[part_of(payload).name] = len(data)
        return other.exchange.received(decode(data), now_ns)
