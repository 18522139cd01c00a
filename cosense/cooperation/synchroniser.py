"""Collects the messages of one moment: complete or out of time, whichever comes first.

The reference is when the ego itself measured. Each sender contributes the message whose stamp is nearest to
it within the window that the fusion accepts, and likewise its scene graph where poses are corrected by these.
The collection is complete when every sender that is waited for has them within the synchronisation tolerance.

peers.py says who is waited for, and whose clock is wrong.

No clock and no ROS 2 in here: the caller says what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cosense.cooperation.admission import Received, receive
from cosense.cooperation.gate import Window
from cosense.cooperation.peers import Peer, Peers, SynchroniserSettings, Traffic
from cosense.messages.envelope import Message, MessageError, PayloadKind
from cosense.messages.reports import PeerReport
from cosense.trust.identity.membership import Membership

# Unreadable messages are handed on so that the fusion reports them; a flood of them is not.
_KEPT_BESIDE = 16
_EGO = "ego"


@dataclass(frozen=True)
class Collection:
    """What is fused for one moment.

    Attributes:
        own: the ego's own message, whose stamp is the moment.
        received: messages of others: one of each sender that has one, then those that nobody waits for (they
            cannot be read, are of a kind that is not fused, or of too many senders), then the scene graph of
            each sender that has one.
        refused: reports of messages that are not even fused, because their clock is wrong or because another
            sender has their name.
        missing: senders whose messages were waited for in vain.
        waited_ms: time since the ego's message arrived.
        own_graph: the ego's own SCENE_GRAPH message, None where there is none.
        missing_graphs: senders whose scene graphs were waited for in vain, the ego itself as "ego".
        behind_ms: by how much the ego is late, as far as the messages of others show, 0 if it is not.
    """

    own: Message
    received: list[Received]
    refused: list[PeerReport]
    missing: list[str]
    waited_ms: float
    own_graph: Message | None = None
    missing_graphs: list[str] = field(default_factory=list)
    behind_ms: float = 0.0

    @property
    def stamp_ns(self) -> int:
        """Measurement time of the ego's cloud."""
        return self.own.stamp_ns


@dataclass(frozen=True)
class _Open:
    own: Message
    arrived_ns: int


class Synchroniser:
    """Holds messages until their moment is complete or out of time.

    Attributes:
        settings: limits of the waiting; may be set at any time.
        window: ages of messages that the fusion admits; may be set at any time.
    """

    def __init__(
        self,
        peers: Sequence[str],
        settings: SynchroniserSettings,
        window: Window,
        *,
        with_graphs: bool = False,
        membership: Membership | None = None,
    ) -> None:
        """Start.

        Args:
            peers: senders that are expected from the beginning; others join with their first message.
            settings: limits of the waiting.
            window: ages of messages that the fusion admits.
            with_graphs: whether scene graphs are waited for as well, also the ego's own.
            membership: knows the keys of others and of the ego; None to believe names.
        """
        self._membership = membership
        self.settings = settings
        self.window = window
        self._messages = Peers(peers)
        self._graphs = Peers(peers if with_graphs else ())
        # Its only sender is the ego, under whichever name it sends.
        self._own_graphs = Peers([_EGO] if with_graphs else ())
        self._with_graphs = with_graphs
        self._beside: deque[Received] = deque(maxlen=_KEPT_BESIDE)
        self._refused: dict[str, PeerReport] = {}
        self._open: list[_Open] = []
        self._closed: list[Collection] = []
        self._newest_ego_ns: int | None = None
        self._ego_arrived_ns = 0

    @property
    def silent(self) -> list[str]:
        """Peers that were waited for once and are not at present."""
        return self._messages.silent(self.settings)

    @property
    def traffic(self) -> dict[str, Traffic]:
        """What was received from each sender so far."""
        messages, graphs = self._messages.traffic, self._graphs.traffic
        return {
            name: messages.get(name, Traffic()) + graphs.get(name, Traffic())
            for name in dict.fromkeys([*messages, *graphs])
        }

    def add_ego(self, data: bytes, now_ns: int, clock_ns: int = 0) -> None:
        """Take a message of the ego itself: its scene graph is kept, any other one opens a moment.

        Args:
            data: encoded.
            now_ns: present time on a clock that only goes forward.
            clock_ns: present time on the clock of the stamps; 0 where it is not known.

        Raises:
            MessageError: the ego's own message cannot be read, or is not the ego's own.
        """
        received = receive(data, self._membership, clock_ns)
        message = received.message
        if message is None:
            raise MessageError(received.fault)
        if message.kind is PayloadKind.SCENE_GRAPH:
            if self._with_graphs:
                self._keep(self._own_graphs, replace(message, sender=_EGO), received, 0.0)
            return
        stamp_ns = message.stamp_ns
        if self._newest_ego_ns is not None and stamp_ns <= self._newest_ego_ns:
            self._closed += [self._close(moment, now_ns) for moment in self._open]
            self._open.clear()
            for senders in (self._messages, self._graphs, self._own_graphs):
                senders.follow_ego()
        self._newest_ego_ns, self._ego_arrived_ns = stamp_ns, now_ns
        self._open.append(_Open(message, now_ns))

    def add(self, data: bytes, clock_ns: int = 0, now_ns: int | None = None) -> None:
        """Take a message of another agent; scene graphs are left alone where nobody wants them.

        Args:
            data: encoded.
            clock_ns: present time on the clock of the ego's stamps; 0 where it is not known.
            now_ns: present time as of `add_ego`, where it goes as fast as that clock; else None.
        """
        received = receive(data, self._membership, clock_ns)
        message = received.message
        if message is None:
            self._beside.append(received)
            return
        is_graph = message.kind is PayloadKind.SCENE_GRAPH
        if is_graph and not self._with_graphs:
            return
        senders = self._graphs if is_graph else self._messages
        sender = None
        # Another kind must not stand for the message of its sender, nor be counted with it.
        if is_graph or message.kind in self.window.kinds:
            ahead_ms = (message.stamp_ns - self._present_ns(clock_ns, now_ns)) / 1e6 if clock_ns else 0.0
            sender = self._keep(senders, message, received, ahead_ms)
        if sender is None:
            self._beside.append(received)
        else:
            self._judge(message, received, sender)

    def _present_ns(self, clock_ns: int, now_ns: int | None) -> int:
        """Return the ego's time: its clock, or what its newest frame shows if that is later."""
        if self._newest_ego_ns is None:
            return clock_ns
        passed_ns = 0 if now_ns is None else now_ns - self._ego_arrived_ns
        return max(clock_ns, self._newest_ego_ns + passed_ns)

    def _judge(self, message: Message, received: Received, sender: Peer) -> None:
        """Note what is wrong with a sender as such, whatever its message says."""
        self._refused.pop(message.sender, None)
        if reason := sender.fault(self.window.max_ahead_ms):
            self._refused[message.sender] = PeerReport(
                message.sender, received.bytes, "nothing", reason, kind=message.kind.name
            )

    def ready(self, now_ns: int) -> list[Collection]:
        """Return and forget the moments that are complete or out of time, in the order in which they came."""
        closed, self._closed = self._closed, []
        # Strictly in order: a later moment never overtakes an earlier one that still waits.
        while self._open and (
            len(self._open) > self.settings.max_open or self._is_done(self._open[0], now_ns)
        ):
            closed.append(self._close(self._open.pop(0), now_ns))
        return closed

    def _keep(self, senders: Peers, message: Message, got: Received, ahead_ms: float) -> Peer | None:
        limits = self.settings, self.window.max_senders
        return senders.add(message, got, *limits, ahead_ms)

    def _is_done(self, moment: _Open, now_ns: int) -> bool:
        if now_ns - moment.arrived_ns >= self.settings.timeout_ms * 1e6:
            return True
        return not any(
            senders.missing(moment.own.stamp_ns, self.settings)
            for senders in (self._messages, self._graphs, self._own_graphs)
        )

    def _close(self, moment: _Open, now_ns: int) -> Collection:
        def taken(senders: Peers) -> tuple[list[Received], list[str]]:
            return senders.take(moment.own.stamp_ns, self.settings, self.window)

        limit_ms = self.window.max_ahead_ms
        behind_ms = self._messages.behind_ms(moment.own.stamp_ns, self.settings, limit_ms)
        messages, missing = taken(self._messages)
        own_graphs, own_missing = taken(self._own_graphs)
        graphs, missing_graphs = taken(self._graphs)
        collection = Collection(
            own=moment.own,
            received=[*messages, *self._beside, *graphs],
            refused=list(self._refused.values()),
            missing=missing,
            waited_ms=(now_ns - moment.arrived_ns) / 1e6,
            own_graph=own_graphs[0].message if own_graphs else None,
            missing_graphs=own_missing + missing_graphs,
            behind_ms=behind_ms,
        )
        self._beside.clear()
        self._refused.clear()
        return collection
