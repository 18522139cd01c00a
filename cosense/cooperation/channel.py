"""Agents of one sequence with a radio between them that takes time and loses messages.

As live, the ego fuses the newest message of each sender that has arrived, as old as it may be: where one is
lost that is the one before. A graph and the features of one frame are two messages, and either may come
alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosense.cooperation.cooperate import Cooperation, FusionKind
from cosense.cooperation.radio import Radio, RadioSettings
from cosense.cooperation.receiver import FusionResult
from cosense.detectors.base import Encoded
from cosense.messages.reports import PeerReport, with_demand
from cosense.methods.model import Model
from cosense.sensing.frame import AgentFrame

# Stamps of sensors at 10 Hz are off by some of this: 99 ms are as good as 100.
STAMP_TOLERANCE_NS = 5_000_000


@dataclass(frozen=True)
class Exchange:
    """What one frame was like.

    Attributes:
        result: what the ego knows.
        sent: what each sender has written in this frame, whether it arrives or not.
        graphs: likewise the SCENE_GRAPH message that went with it.
    """

    result: FusionResult
    sent: Mapping[str, bytes]
    graphs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def bytes_per_sender(self) -> dict[str, int]:
        """Length of what each sender has sent and of its share of what it was asked with, lost or not."""
        messages = [*self.sent.items(), *self.graphs.items()]
        reports = [PeerReport(sender, len(data), "nothing") for sender, data in messages]
        return with_demand(reports, self.result.demand_bytes)


class DistantCooperation(Cooperation):
    """The agents of one sequence with a radio between them; call `exchange` once a frame, in time order."""

    def __init__(self, model: Model, fusion: FusionKind, radio: RadioSettings, **options: Any) -> None:
        """Start a sequence; `options` are those of `Cooperation`."""
        super().__init__(model, fusion, **options)
        self._radio = Radio(radio)
        # By sender, with the time of arrival: the message that has arrived last, and those on their way.
        self._messages: dict[str, deque[tuple[int, bytes]]] = {}
        self._graphs: dict[str, deque[tuple[int, bytes]]] = {}
        # By receiver, likewise.
        self._requests: dict[str, deque[tuple[int, Sequence[bytes]]]] = {}
        self._frame_index, self._now_ns, self._ego_id = 0, 0, ""
        self._distances_m: dict[str, float] = {}

    def exchange(
        self, agents: Sequence[AgentFrame], sequence: int, features: Mapping[str, Encoded]
    ) -> Exchange:
        """Let the agents of one frame work together; arguments as for `Cooperation.step`."""
        ego, *others = agents
        self._frame_index, self._now_ns, self._ego_id = sequence, ego.stamp_ns, ego.agent_id
        self._distances_m = {
            agent.agent_id: float(np.linalg.norm((agent.T_world_agent - ego.T_world_agent)[:3, 3]))
            for agent in others
        }
        sent, graphs = {}, {}
        for agent in others:
            data = self.send(agent, sequence, features.get(agent.agent_id))
            if data is None:
                continue
            sent[agent.agent_id] = data
            self._transmit(agent.agent_id, data, self._messages, is_graph=False)
            graph = self.send_graph(agent, sequence, features.get(agent.agent_id))
            if graph is not None:
                graphs[agent.agent_id] = graph
                self._transmit(agent.agent_id, graph, self._graphs, is_graph=True)
        arrived = (self._newest(queue) for queue in (*self._messages.values(), *self._graphs.values()))
        messages = [data for data in arrived if data is not None]
        return Exchange(self.fuse(ego, messages, sequence, features.get(ego.agent_id)), sent, graphs)

    def tell(self, demands: Mapping[str, bytes]) -> None:
        """Send all senders what the ego wants; they receive what has arrived by now and keep the rest."""
        requests = list(demands.values())
        for receiver in self._senders:
            # One transmission a frame, so that one number decides about all of them.
            delivery = self._radio.transmit(
                self._ego_id,
                receiver,
                "request",
                sum(len(data) for data in requests),
                self._now_ns,
                frame_index=self._frame_index,
                distance_m=self._distances_m.get(receiver),
            )
            queue = self._requests.setdefault(receiver, deque())
            if delivery.at_ns is not None:
                queue.append((delivery.at_ns, requests))
            while queue and self._has_arrived(queue[0][0]):
                for data in queue.popleft()[1]:
                    self.hear(receiver, data)

    def _transmit(
        self, sender: str, data: bytes, queues: dict[str, deque[tuple[int, bytes]]], *, is_graph: bool
    ) -> None:
        delivery = self._radio.transmit(
            sender,
            self._ego_id,
            "graph" if is_graph else "message",
            len(data),
            self._now_ns,
            frame_index=self._frame_index,
            distance_m=self._distances_m[sender],
        )
        if delivery.at_ns is not None:
            queues.setdefault(sender, deque()).append((delivery.at_ns, data))

    def _newest(self, queue: deque[tuple[int, bytes]]) -> bytes | None:
        """Return the newest message of one sender that has arrived, and forget those before it."""
        while len(queue) > 1 and self._has_arrived(queue[1][0]):
            queue.popleft()
        at_ns, data = queue[0]
        return data if self._has_arrived(at_ns) else None

    def _has_arrived(self, at_ns: int) -> bool:
        return at_ns <= self._now_ns + STAMP_TOLERANCE_NS
