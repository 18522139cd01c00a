"""Two agents register coarse to fine, each knowing of the other only what its messages say.

    b ── GRAPH ──► a      registers
    b ◄── RESULT ── a
    b ◄── REQUEST ── a    for the points of the nodes that agree
    b ── REPLY ──► a      refines the pose

SG-Reg (arXiv 2504.14440, communication) sends one wish without an address, and whoever receives it broadcasts
all points once. We differ: a request names the addressee, the graph and the nodes. Every payload is written
and read back as a whole message.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosense.messages.envelope import FINGERPRINT_BYTES, Message, PayloadKind, decode, encode
from cosense.messages.scene_graph import (
    SceneGraph,
    coarse_nodes,
    decode_scene_graph,
    encode_scene_graph,
    part_of,
)
from cosense.messages.scene_graph_requests import (
    MAX_REQUESTED_NODES,
    Reply,
    Request,
    Result,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    encode_result,
)
from cosense.scene_graph.register.descriptors import GraphRegistration
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.refinement import points_on, refined
from cosense.scene_graph.register.result import Prior, RegistrationResult

_GRAPH_ID, _REQUEST_ID = 0, 1
_MAX_POINTS_PER_NODE = 64
_DEADLINE_MS = 500


@dataclass(frozen=True)
class CoarseToFine:
    """The outcome of a conversation between a and b.

    Attributes:
        coarse: result of the graphs alone.
        result: the same, refined where the points fit better afterwards.
        graph_b: graph of b as a has read it.
        sent_bytes: bytes of each whole message by part: GRAPH and REPLY of b, RESULT and REQUEST of a.
    """

    coarse: RegistrationResult
    result: RegistrationResult
    graph_b: SceneGraph
    sent_bytes: dict[str, int]


def register_and_refine(
    graph_a: SceneGraph,
    points_a: NDArray[np.float32],
    graph_b: SceneGraph,
    points_b: NDArray[np.float32],
    prior: Prior | None = None,
    registration: GraphRegistration = register_graphs,
) -> CoarseToFine:
    """Find the pose of b in the frame of a, by graphs and then by the points of the nodes that agree.

    Args:
        graph_a, graph_b: graphs of both clouds, in their frames.
        points_a, points_b: (N,>=3) clouds: metres, z up, the sensor at the origin.
        prior: pose that is known before.
        registration: function that registers the graphs.

    Raises:
        MessageError: a graph cannot be written.
    """
    now_ns = max(graph_a.stamp_ns, graph_b.stamp_ns)
    a, b = _Sender("a", graph_a), _Sender("b", graph_b)
    payload = encode_scene_graph(graph_b, coarse_nodes(b.name))
    received_b = decode_scene_graph(b.send(payload, graph_b.stamp_ns))
    coarse = registration(graph_a, received_b, prior)
    answer = Result(
        "b", _GRAPH_ID, _GRAPH_ID, coarse.status.value, len(coarse.inliers), coarse.T_a_b, coarse.covariance
    )
    a.send(encode_result(answer), now_ns)
    points: dict[int, NDArray[np.float64]] = {}
    if coarse.registered:
        wanted = tuple(dict.fromkeys(received_b.ids[coarse.inliers[:, 1]].tolist()))[:MAX_REQUESTED_NODES]
        request = Request("b", _REQUEST_ID, _GRAPH_ID, _MAX_POINTS_PER_NODE, _DEADLINE_MS, wanted)
        asked = decode_request(a.send(encode_request(request), now_ns).payload)
        found = points_on(graph_b, points_b, asked.node_ids, asked.max_points)
        reply = Reply("a", asked.request_id, asked.graph_id, found)
        points = decode_reply(b.send(encode_reply(reply), now_ns).payload).points
    result = refined(coarse, graph_a, points_a, received_b, points)
    return CoarseToFine(coarse, result, received_b, {**b.sent_bytes, **a.sent_bytes})


@dataclass
class _Sender:
    """One agent, under a name that the other one does not have."""

    name: str
    graph: SceneGraph
    sent_bytes: dict[str, int] = field(default_factory=dict)

    def send(self, payload: bytes, stamp_ns: int) -> Message:
        """Return a payload as the message that the other one reads, and count its bytes."""
        message = Message(
            kind=PayloadKind.SCENE_GRAPH,
            sender=self.name,
            sequence=_GRAPH_ID,
            stamp_ns=stamp_ns,
            T_world_agent=self.graph.T_world_agent,
            pose_covariance=self.graph.pose_covariance,
            fingerprint=bytes(FINGERPRINT_BYTES),
            payload=payload,
        )
        data = encode(message)
        self.sent_bytes[part_of(payload).name] = len(data)
        return decode(data)
