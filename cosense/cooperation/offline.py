"""Agents that work together offline: N senders and an ego in a loop, with or without a radio between them.

The same `Sender` and `Ego` as in the live nodes, with the same bytes, without topics. As live, the ego fuses
the newest message of each sender that the radio has delivered, as old as it may be: where one is lost that is
the one before. The message and the scene graph of one frame are two messages, and either may come alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cosense.cooperation.admission import Received, receive
from cosense.cooperation.ego import Ego, Screen
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.merge import MergeSettings
from cosense.cooperation.outcome import FusionResult
from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.cooperation.radio import MessageRole, Radio, RadioSettings
from cosense.cooperation.sender import SelectionMaps, Sender
from cosense.messages.envelope import PayloadKind
from cosense.messages.reports import PeerReport, with_requests
from cosense.methods.model import Model
from cosense.scene_graph.registrations import NONE
from cosense.sensing.frame import AgentFrame

# Stamps of sensors at 10 Hz are off by some of this: 99 ms are as good as 100.
STAMP_TOLERANCE_NS = 5_000_000


@dataclass(frozen=True)
class Exchange:
    """What one frame was like.

    Attributes:
        result: what the ego knows.
        sent: messages that were written in this frame, with their senders, whether they arrive or not.
        requests: what the ego has asked for in turn.
        fuse_ms: how long the ego took for what it received.
        maps: by sender why its features are what they are, empty where nobody asked; see `Cooperation`.
    """

    result: FusionResult
    sent: Sequence[tuple[str, bytes]]
    requests: Sequence[bytes] = ()
    fuse_ms: float = float("nan")
    maps: Mapping[str, SelectionMaps] = field(default_factory=dict)

    @property
    def messages(self) -> list[bytes]:
        """All messages of the frame, requests last."""
        return [*(data for _, data in self.sent), *self.requests]

    @property
    def bytes_per_sender(self) -> dict[str, int]:
        """Length of what each sender has sent and of its share of the requests, lost or not."""
        reports = [PeerReport(sender, len(data), "nothing") for sender, data in self.sent]
        return with_requests(reports, self.result.request_bytes)


class Cooperation:
    """The agents of one sequence; call `step` once a frame, in the order of time.

    What is remembered from frame to frame is what the agents remember live: what the ego wanted a frame ago,
    how the boxes of each sender move, what surrounds each agent, and by what a pose is wrong for long.
    """

    def __init__(
        self,
        model: Model,
        fusion: FusionKind,
        *,
        budget_bytes: int | None = None,
        selection: str | None = None,
        registration: str = NONE,
        admission: AdmissionSettings | None = None,
        merging: MergeSettings | None = None,
        trust: Sequence[str] = (),
        own_eyes: bool = True,
        evidence: bool = True,
        screen: Screen | None = None,
        radio: RadioSettings | None = None,
        spoil: Callable[[str, bytes], Sequence[bytes]] | None = None,
        explains: bool = False,
    ) -> None:
        """Start a sequence.

        Args:
            model: what all agents run.
            fusion: how they work together; with "none" the ego is alone, through the same bytes, so that
                rounding is no difference.
            budget_bytes: limit of what each of the others sends in a frame, None for those of the formats.
            selection: rule by which cells are chosen; None for that of the method.
            registration: how the poses of others are corrected before fusing.
            admission: what the ego accepts; None for the defaults.
            merging: how it merges boxes; None for the defaults.
            trust: names of the checks of `cosense.trust` that a message has to pass.
            own_eyes, evidence, screen: see `Ego`.
            radio: what happens to messages on their way; None where each arrives in its own frame.
            spoil: returns what a sender, given by name, sends instead of an honest message, its own first;
                None where all are honest.
            explains: whether each exchange says with maps why the features that were sent are what they are.

        Raises:
            CosenseError: an unknown kind of fusion, registration or check, or a model that shares nothing.
        """
        self._ego = Ego(
            model,
            fusion,
            registration=registration,
            admission=admission,
            merging=merging,
            trust=trust,
            own_eyes=own_eyes,
            evidence=evidence,
            screen=screen,
        )
        self._model = model
        self._fusion = fusion
        self._budget_bytes = budget_bytes
        self._selection = selection
        self._registration = registration
        self._spoil = spoil
        self._explains = explains
        self._maps: dict[str, SelectionMaps] = {}
        self._radio = None if radio is None else Radio(radio)
        self._perceivers: dict[str, Perceiver] = {}
        self._senders: dict[str, Sender] = {}
        # By sender, role and number, with the time of arrival: the message that arrived last, and those on
        # their way.
        self._messages: dict[tuple[str, MessageRole, int], deque[tuple[int, Received]]] = {}
        # By receiver, likewise.
        self._requests: dict[str, deque[tuple[int, Sequence[bytes]]]] = {}

    def step(self, agents: Sequence[AgentFrame], sequence: int) -> Exchange:
        """Let the agents of one frame work together.

        Args:
            agents: what they have measured, the ego first.
            sequence: counts the frames.

        Raises:
            CosenseError: a budget that no message fits, or a cloud that cannot be used.
        """
        return self.step_perceived([self._perceive(frame) for frame in agents], sequence)

    def step_perceived(self, agents: Sequence[Perceived], sequence: int) -> Exchange:
        """Let the agents of one frame work together whose sight is known already; see `step`."""
        ego, *others = agents
        sent: list[tuple[str, bytes]] = []
        self._maps = {}
        if self._radio is None:
            self._messages.clear()
        for role in ("message", "graph"):
            for agent in others:
                data = self._write(agent, role, sequence)
                if data is None:
                    continue
                name = agent.frame.agent_id
                for number, written in enumerate([data] if self._spoil is None else self._spoil(name, data)):
                    sent.append((name, written))
                    self._transmit(written, role, number, agent.frame, ego.frame, sequence)
        received = self._arrived(ego.frame.stamp_ns)
        view = self._ego.view(ego, sequence)
        start_ns = time.perf_counter_ns()
        result, requests = self._ego.fuse(view, received)
        fuse_ms = (time.perf_counter_ns() - start_ns) / 1e6
        if requests:
            self._pass_on(list(requests.values()), ego.frame, others, sequence)
        return Exchange(result, sent, list(requests.values()), fuse_ms, self._maps)

    def _perceive(self, frame: AgentFrame) -> Perceived:
        if frame.agent_id not in self._perceivers:
            self._perceivers[frame.agent_id] = Perceiver(self._model.detector)
        return self._perceivers[frame.agent_id].perceive(frame)

    def _write(self, agent: Perceived, role: MessageRole, sequence: int) -> bytes | None:
        """Return what an agent that is not the ego sends in one role, None where it sends nothing."""
        agent_id = agent.frame.agent_id
        if agent_id not in self._senders:
            self._senders[agent_id] = Sender(
                agent_id,
                self._model,
                self._fusion,
                registration=self._registration,
                budget_bytes=self._budget_bytes,
                selection=self._selection,
            )
        sender = self._senders[agent_id]
        if role == "graph":
            return sender.surroundings(agent, sequence)
        request = sender.request
        data = sender.message(agent, sequence, request)
        if self._explains and data is not None and sender.kind == PayloadKind.FEATURES:
            self._maps[agent_id] = sender.explain(agent, request, data)
        return data

    def _transmit(
        self,
        data: bytes,
        role: MessageRole,
        number: int,
        sender: AgentFrame,
        ego: AgentFrame,
        sequence: int,
    ) -> None:
        """Send one message to the ego, the one with this number of those that a sender has in one role."""
        at_ns: int | None = ego.stamp_ns
        if self._radio is not None:
            at_ns = self._radio.transmit(
                sender.agent_id,
                ego.agent_id,
                role,
                len(data),
                ego.stamp_ns,
                frame_index=sequence,
                distance_m=_distance_m(sender, ego),
            ).at_ns
        if at_ns is not None:
            kept = self._messages.setdefault((sender.agent_id, role, number), deque())
            kept.append((at_ns, receive(data)))

    def _arrived(self, now_ns: int) -> list[Received]:
        """Return the newest message of each sender and role that has arrived, and forget those before it."""
        newest = []
        for role in ("message", "graph"):
            for (_, sent_role, _), queue in self._messages.items():
                if sent_role != role:
                    continue
                while len(queue) > 1 and _is_there(queue[1][0], now_ns):
                    queue.popleft()
                if _is_there(queue[0][0], now_ns):
                    newest.append(queue[0][1])
        return newest

    def _pass_on(
        self, requests: Sequence[bytes], ego: AgentFrame, others: Sequence[Perceived], sequence: int
    ) -> None:
        """Send the requests to all senders, who take those that have arrived by now."""
        distances_m = {agent.frame.agent_id: _distance_m(ego, agent.frame) for agent in others}
        for receiver, sender in self._senders.items():
            at_ns: int | None = ego.stamp_ns
            if self._radio is not None:
                # One transmission a frame, so that one number decides about all of them.
                at_ns = self._radio.transmit(
                    ego.agent_id,
                    receiver,
                    "request",
                    sum(len(data) for data in requests),
                    ego.stamp_ns,
                    frame_index=sequence,
                    distance_m=distances_m.get(receiver),
                ).at_ns
            queue = self._requests.setdefault(receiver, deque())
            if at_ns is not None:
                queue.append((at_ns, requests))
            while queue and _is_there(queue[0][0], ego.stamp_ns):
                for data in queue.popleft()[1]:
                    sender.receive_request(data)


def cooperate(
    agents: Sequence[AgentFrame],
    model: Model,
    fusion: FusionKind,
    *,
    sequence: int = 0,
    budget_bytes: int | None = None,
) -> FusionResult:
    """Let the agents of a single frame, the ego first, work together without a frame before.

    See `Cooperation`.
    """
    return Cooperation(model, fusion, budget_bytes=budget_bytes).step(agents, sequence).result


def _distance_m(a: AgentFrame, b: AgentFrame) -> float:
    return float(np.linalg.norm((a.T_world_agent - b.T_world_agent)[:3, 3]))


def _is_there(at_ns: int, now_ns: int) -> bool:
    return at_ns <= now_ns + STAMP_TOLERANCE_NS
