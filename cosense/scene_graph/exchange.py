"""Who sends what to whom, coarse to fine: the protocol of one agent without ROS and without a clock.

    every 500 ms            GRAPH, for everybody: 80 nodes in less than two kilobytes
    each registration       RESULT, for the peer: how the two graphs fit, or why they do not
    after 4 in a row        REQUEST, for the peer: the points of the nodes that agreed
    on a REQUEST            REPLY, for who has asked

SG-Reg sends one wish without an address, and whoever hears it broadcasts all points once. Here a request has
a number, an addressee, a deadline and further tries; each peer gets so many answers in a time; a graph that
is not kept any more is said to be gone; and what is remembered of others is bounded, whoever they are and
whatever they send. The caller gives the time, puts payloads into envelopes and sends them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosense.messages.envelope import Message, MessageError, PayloadKind
from cosense.messages.scene_graph import (
    COARSE_NODES,
    Part,
    SceneGraph,
    decode_scene_graph,
    encode_scene_graph,
    part_of,
)
from cosense.messages.scene_graph_requests import (
    MAX_REQUESTED_NODES,
    Reply,
    Request,
    Result,
    addressee_of,
    decode_reply,
    decode_request,
    decode_result,
    encode_reply,
    encode_request,
    encode_result,
)
from cosense.scene_graph.dense import points_on

_MS = 1_000_000


@dataclass(frozen=True)
class ExchangeSettings:
    """When an agent sends what, and how much it remembers.

    Attributes:
        graph_period_ms: between two GRAPHs.
        max_nodes: of a GRAPH, the best by score.
        with_descriptors: whether nodes carry descriptors; the receiver can make them itself.
        registrations_before_request: that many in a row before a peer is asked for points.
        request_timeout_ms: for the answer to one try; also the deadline that is sent.
        request_tries: how often one request is sent.
        request_period_ms: between two requests to one peer, and in which a peer gets `request_tries` answers.
        max_points: asked for per node.
        peer_max_age_ms: a peer that was not heard for so long is forgotten.
        max_peers: more than these are not remembered: who was heard longest ago goes.
        kept_graphs: own graphs, with their clouds, whose points can be asked for.
    """

    graph_period_ms: int = 500
    max_nodes: int = COARSE_NODES
    with_descriptors: bool = False
    registrations_before_request: int = 4
    request_timeout_ms: int = 500
    request_tries: int = 3
    request_period_ms: int = 5000
    max_points: int = 64
    peer_max_age_ms: int = 2000
    max_peers: int = 16
    kept_graphs: int = 4


@dataclass
class _Pending:
    request: Request
    sent_ns: int
    tries: int = 1


@dataclass
class Peer:
    """What is known of another agent.

    Attributes:
        heard_ns: when the newest message came.
        graph, graph_id: its newest graph; None before the first.
        points: by node id, as it has replied, (n,3) metres from the node's position; of `points_graph_id`.
        points_graph_id: the peer's graph that `points` belong to.
        result: what it has found out about the agent's own graph.
    """

    heard_ns: int
    graph: SceneGraph | None = None
    graph_id: int = 0
    points: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    points_graph_id: int = 0
    result: Result | None = None
    registrations: int = 0
    pending: _Pending | None = None
    requested_ns: int | None = None
    answered_ns: deque[int] = field(default_factory=deque)


class Exchange:
    """The protocol of one agent; times are the caller's, in ns, and never go back."""

    def __init__(self, agent_id: str, settings: ExchangeSettings | None = None) -> None:
        self.agent_id = agent_id
        self.settings = settings or ExchangeSettings()
        self.peers: dict[str, Peer] = {}
        self._own: dict[int, tuple[SceneGraph, NDArray[np.float32]]] = {}
        self._published_ns: int | None = None
        self._requests = 0

    def graph_due(self, now_ns: int) -> bool:
        """Tell whether it is time for a GRAPH."""
        return _passed(self._published_ns, self.settings.graph_period_ms, now_ns)

    def publish(self, graph: SceneGraph, points: NDArray[np.float32], sequence: int, now_ns: int) -> bytes:
        """Return the GRAPH payload, and keep graph and cloud for questions about it.

        Args:
            graph: of the agent itself.
            points: (N,>=3) the cloud that it was built from.
            sequence: of the message that the payload will travel in.

        Raises:
            MessageError: the graph cannot be written.
        """
        payload = encode_scene_graph(graph, self.settings.with_descriptors, self.settings.max_nodes)
        self._published_ns = now_ns
        self._own[sequence] = graph, points
        while len(self._own) > self.settings.kept_graphs:
            del self._own[next(iter(self._own))]
        return payload

    def received(self, message: Message, now_ns: int) -> list[bytes]:
        """Take in a SCENE_GRAPH message; returns payloads to send at once.

        Raises:
            MessageError: the payload is none; nothing has changed then.
        """
        if message.kind != PayloadKind.SCENE_GRAPH:
            raise MessageError(f"kind is {message.kind.name}, expected SCENE_GRAPH")
        part = part_of(message.payload)
        if message.sender == self.agent_id:
            return []
        if part is Part.GRAPH:
            self._take_graph(decode_scene_graph(message), message.sequence, now_ns)
            return []
        if addressee_of(message.payload) != self.agent_id:
            return []
        if part is Part.REQUEST:
            return self._answer(message, decode_request(message.payload), now_ns)
        if part is Part.REPLY:
            self._take_reply(message.sender, decode_reply(message.payload))
            return []
        result = decode_result(message.payload)
        self._heard(message.sender, now_ns).result = result
        return []

    def registered(self, result: Result, node_ids: list[int], now_ns: int) -> list[bytes]:
        """Return what to send after a registration with a peer: the RESULT, and a REQUEST when it is time.

        Args:
            result: with the peer as addressee.
            node_ids: of the peer's nodes that agreed, best first.

        Raises:
            MessageError: the result cannot be written.
        """
        payloads = [encode_result(result)]
        peer = self.peers.get(result.addressee)
        if peer is None:
            return payloads
        peer.registrations = peer.registrations + 1 if result.status == "registered" else 0
        wanted = tuple(dict.fromkeys(node_ids))[:MAX_REQUESTED_NODES]
        enough = peer.registrations >= self.settings.registrations_before_request
        rested = _passed(peer.requested_ns, self.settings.request_period_ms, now_ns)
        if not (enough and wanted and rested and peer.pending is None):
            return payloads
        self._requests = (self._requests + 1) % (1 << 32)
        request = Request(
            addressee=result.addressee,
            request_id=self._requests,
            graph_id=result.peer_graph_id,
            max_points=self.settings.max_points,
            deadline_ms=self.settings.request_timeout_ms,
            node_ids=wanted,
        )
        payloads.append(encode_request(request))
        peer.pending, peer.requested_ns, peer.registrations = _Pending(request, now_ns), now_ns, 0
        return payloads

    def due(self, now_ns: int) -> list[bytes]:
        """Return requests to send again; give up those without an answer, and forget who is silent."""
        longest_ns = self.settings.peer_max_age_ms * _MS
        self.peers = {name: peer for name, peer in self.peers.items() if now_ns - peer.heard_ns <= longest_ns}
        payloads = []
        for peer in self.peers.values():
            pending = peer.pending
            if pending is None or not _passed(pending.sent_ns, self.settings.request_timeout_ms, now_ns):
                continue
            if pending.tries < self.settings.request_tries:
                pending.tries, pending.sent_ns = pending.tries + 1, now_ns
                payloads.append(encode_request(pending.request))
            else:
                peer.pending = None
        return payloads

    def _heard(self, name: str, now_ns: int) -> Peer:
        """Return the peer of that name; a new one may cost the one that was heard longest ago its place."""
        peer = self.peers.get(name)
        if peer is None:
            if len(self.peers) >= self.settings.max_peers:
                del self.peers[min(self.peers, key=lambda other: self.peers[other].heard_ns)]
            peer = self.peers[name] = Peer(now_ns)
        peer.heard_ns = now_ns
        return peer

    def _take_graph(self, graph: SceneGraph, graph_id: int, now_ns: int) -> None:
        """Keep a peer's graph unless a newer one is known: messages may overtake each other."""
        peer = self._heard(graph.agent_id, now_ns)
        if peer.graph is None or graph.stamp_ns > peer.graph.stamp_ns:
            peer.graph, peer.graph_id = graph, graph_id

    def _answer(self, message: Message, request: Request, now_ns: int) -> list[bytes]:
        """Return the REPLY, or nothing where it would be late or the peer has had its share."""
        if now_ns > message.stamp_ns + request.deadline_ms * _MS:
            return []
        peer = self._heard(message.sender, now_ns)
        while peer.answered_ns and _passed(peer.answered_ns[0], self.settings.request_period_ms, now_ns):
            peer.answered_ns.popleft()
        if len(peer.answered_ns) >= self.settings.request_tries:
            return []
        peer.answered_ns.append(now_ns)
        points: dict[int, NDArray[np.float64]] = {}
        if request.graph_id in self._own:
            graph, cloud = self._own[request.graph_id]
            points = points_on(graph, cloud, request.node_ids, request.max_points)
        return [encode_reply(Reply(message.sender, request.request_id, request.graph_id, points))]

    def _take_reply(self, sender: str, reply: Reply) -> None:
        """Keep the points that were asked for; nobody can send others."""
        peer = self.peers.get(sender)
        if peer is None or peer.pending is None:
            return
        request = peer.pending.request
        if (reply.request_id, reply.graph_id) != (request.request_id, request.graph_id):
            return
        peer.pending = None
        if reply.points:
            peer.points = {node: reply.points[node] for node in request.node_ids if node in reply.points}
            peer.points_graph_id = reply.graph_id


def _passed(since_ns: int | None, period_ms: int, now_ns: int) -> bool:
    return since_ns is None or now_ns - since_ns >= period_ms * _MS
