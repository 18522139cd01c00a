"""A radio between the agents that takes time and loses messages, the same ones in every run.

One uniform number is drawn for each frame, sender and kind of message; a message is lost where it is below
the rate. What is lost at 10 % is so at 50 % too, whatever else is different, and settings can be compared
frame by frame. As live, the ego fuses the newest message of each sender that has arrived, as old as it may
be: where one is lost that is the one before. A graph and the features of one frame are two messages, and
either may come alone.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from cosense.cooperation.cooperate import Cooperation, FusionKind
from cosense.cooperation.receiver import FusionResult
from cosense.detectors.base import Encoded
from cosense.messages.reports import PeerReport, with_demand
from cosense.methods.model import Model
from cosense.sensing.frame import AgentFrame

# Stamps of sensors at 10 Hz are off by some of this: 99 ms are as good as 100.
JITTER_NS = 5_000_000
_FEATURES, _DEMAND, _GRAPH = 0, 1, 2


@dataclass(frozen=True)
class Channel:
    """What happens to messages on their way.

    Attributes:
        delay_ms: the ego fuses the newest messages that were measured at least this long before its cloud,
            and what it wants is heard as much later.
        loss: fraction of the messages that get lost, in either direction.
        seed: of which ones.
    """

    delay_ms: float = 0.0
    loss: float = 0.0
    seed: int = 0

    def is_old_enough(self, age_ns: int) -> bool:
        """Say whether what was measured so long ago has arrived."""
        return age_ns >= self.delay_ms * 1e6 - JITTER_NS

    def loses_message(self, frame_index: int, sender: str) -> bool:
        """Say whether the message is lost that a sender sends in a frame."""
        return _uniform(self.seed, frame_index, sender, _FEATURES) < self.loss

    def loses_graph(self, frame_index: int, sender: str) -> bool:
        """Say whether the graph is lost that goes with this message."""
        return _uniform(self.seed, frame_index, sender, _GRAPH) < self.loss

    def loses_demand(self, frame_index: int, sender: str) -> bool:
        """Say whether a sender misses what the ego wants, told after this frame."""
        return _uniform(self.seed, frame_index, sender, _DEMAND) < self.loss


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
    """The agents of one sequence with a channel between them; call `exchange` once a frame, in time order."""

    def __init__(self, model: Model, fusion: FusionKind, channel: Channel, **options: Any) -> None:
        """Start a sequence; `options` are those of `Cooperation`."""
        super().__init__(model, fusion, **options)
        self._channel = channel
        # By sender, with the ego's stamp: what has arrived last, and what may still arrive.
        self._sent: dict[str, deque[tuple[int, bytes]]] = {}
        self._sent_graphs: dict[str, deque[tuple[int, bytes]]] = {}
        self._asked: deque[tuple[int, Mapping[str, bytes]]] = deque()
        self._frame_index, self._now_ns = 0, 0

    def exchange(
        self, agents: Sequence[AgentFrame], sequence: int, features: Mapping[str, Encoded]
    ) -> Exchange:
        """Let the agents of one frame work together; arguments as for `Cooperation.step`."""
        ego, *others = agents
        self._frame_index, self._now_ns = sequence, ego.stamp_ns
        sent, graphs = {}, {}
        for agent in others:
            data = self.send(agent, sequence, features.get(agent.agent_id))
            if data is None:
                continue
            sent[agent.agent_id] = data
            if not self._channel.loses_message(sequence, agent.agent_id):
                self._sent.setdefault(agent.agent_id, deque()).append((ego.stamp_ns, data))
            graph = self.send_graph(agent, sequence, features.get(agent.agent_id))
            if graph is not None:
                graphs[agent.agent_id] = graph
                if not self._channel.loses_graph(sequence, agent.agent_id):
                    self._sent_graphs.setdefault(agent.agent_id, deque()).append((ego.stamp_ns, graph))
        arrived = (self._newest(sent) for sent in (*self._sent.values(), *self._sent_graphs.values()))
        messages = [data for data in arrived if data is not None]
        return Exchange(self.fuse(ego, messages, sequence, features.get(ego.agent_id)), sent, graphs)

    def tell(self, demands: Mapping[str, bytes]) -> None:
        """Let the senders hear what the ego wanted a delay ago; those that lose it keep what they knew."""
        self._asked.append((self._now_ns, demands))
        while self._asked and self._has_arrived(self._asked[0][0]):
            for demand in self._asked.popleft()[1].values():
                for sender in self._senders:
                    if not self._channel.loses_demand(self._frame_index, sender):
                        self.hear(sender, demand)

    def _newest(self, sent: deque[tuple[int, bytes]]) -> bytes | None:
        """Return the newest message of one sender that is old enough, and forget those before it."""
        while len(sent) > 1 and self._has_arrived(sent[1][0]):
            sent.popleft()
        stamp_ns, data = sent[0]
        return data if self._has_arrived(stamp_ns) else None

    def _has_arrived(self, stamp_ns: int) -> bool:
        return self._channel.is_old_enough(self._now_ns - stamp_ns)


@lru_cache(maxsize=1024)
def _uniform(seed: int, frame_index: int, sender: str, direction: int) -> float:
    """Return a number in [0, 1) that depends on nothing else."""
    return float(np.random.default_rng([seed, frame_index, zlib.crc32(sender.encode()), direction]).random())
