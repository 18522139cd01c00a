"""Collects the messages of one moment: complete or out of time, whichever comes first.

The reference is when the ego itself measured. Each sender contributes the message whose stamp is nearest to
it within the window that the fusion accepts, and likewise its scene graph where poses are set right by these.
The collection is complete when every sender that is waited for has them within the synchronisation tolerance;
who is waited for says `senders.py`.

No clock and no ROS 2 in here: the caller says what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cosense.cooperation.receiver import FusionSettings
from cosense.cooperation.senders import CollectorSettings, Senders, Traffic
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode
from cosense.messages.reports import PeerReport

# Unreadable messages are handed on so that the fusion reports them; a flood of them is not.
_KEPT_UNREADABLE = 16
_EGO = "ego"


@dataclass(frozen=True)
class Collection:
    """What is fused for one moment.

    Attributes:
        stamp_ns: of the ego's message.
        ego_message: the ego's own.
        messages: one of each sender that has one, then what could not be read.
        refused: what is not even fused: messages with a wrong clock.
        missing: senders whose messages were waited for in vain.
        waited_ms: from the arrival of the ego's message.
        own_graph: SCENE_GRAPH message of the ego itself, None where there is none.
        graphs: SCENE_GRAPH messages, one of each other sender that has one.
        missing_graphs: who was waited for in vain with those, the ego itself as "ego".
    """

    stamp_ns: int
    ego_message: bytes
    messages: list[bytes]
    refused: list[PeerReport]
    missing: list[str]
    waited_ms: float
    own_graph: bytes | None = None
    graphs: list[bytes] = field(default_factory=list)
    missing_graphs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Open:
    stamp_ns: int
    message: bytes
    arrived_ns: int


class Collector:
    """Holds messages until their moment is complete or out of time.

    Attributes:
        settings: how long to wait and for whom; may be set at any time.
        window: which messages are of use at all; may be set at any time.
    """

    def __init__(
        self,
        peers: Sequence[str],
        settings: CollectorSettings,
        window: FusionSettings,
        *,
        with_graphs: bool = False,
    ) -> None:
        """Start.

        Args:
            peers: senders that are expected from the beginning; others join when they are heard.
            settings: how long to wait and for whom.
            window: which messages are of use at all.
            with_graphs: whether scene graphs are waited for as well, also the ego's own.
        """
        self.settings = settings
        self.window = window
        self._messages = Senders(peers)
        self._graphs = Senders(peers if with_graphs else ())
        # Its only sender is the ego, under whichever name it sends.
        self._own_graphs = Senders([_EGO] if with_graphs else ())
        self._with_graphs = with_graphs
        self._unreadable: deque[bytes] = deque(maxlen=_KEPT_UNREADABLE)
        self._refused: dict[str, PeerReport] = {}
        self._open: list[_Open] = []
        self._closed: list[Collection] = []
        self._newest_ego_ns: int | None = None

    @property
    def silent(self) -> list[str]:
        """Senders that were waited for once and are not at present."""
        return self._messages.silent(self.settings)

    @property
    def traffic(self) -> dict[str, Traffic]:
        """What has come of each sender so far."""
        messages, graphs = self._messages.traffic, self._graphs.traffic
        return {
            name: messages.get(name, Traffic()) + graphs.get(name, Traffic())
            for name in dict.fromkeys([*messages, *graphs])
        }

    def add_ego(self, data: bytes, now_ns: int) -> None:
        """Take a message of the ego itself: its scene graph is kept, any other one opens a moment.

        Raises:
            MessageError: the ego's own message cannot be read.
        """
        message = decode(data)
        if message.kind is PayloadKind.SCENE_GRAPH:
            if self._with_graphs:
                self._keep(self._own_graphs, replace(message, sender=_EGO), data)
            return
        stamp_ns = message.stamp_ns
        if self._newest_ego_ns is not None and stamp_ns <= self._newest_ego_ns:
            self._closed += [self._close(moment, now_ns) for moment in self._open]
            self._open.clear()
            for senders in (self._messages, self._graphs, self._own_graphs):
                senders.follow_ego()
        self._newest_ego_ns = stamp_ns
        self._open.append(_Open(stamp_ns, data, now_ns))

    def add(self, data: bytes, clock_ns: int = 0) -> None:
        """Take a message of another agent; scene graphs are left alone where nobody wants them.

        What was measured later than now has a wrong stamp. It would soon pass for a fresh message of another
        moment, so it is refused here and not by its age in the fusion.

        Args:
            data: encoded.
            clock_ns: what time it is, on the clock that the ego's stamps are of; 0 where nobody knows.
        """
        try:
            message = decode(data)
        except MessageError:
            self._unreadable.append(data)
            return
        ahead_ms = (message.stamp_ns - clock_ns) / 1e6
        if clock_ns and ahead_ms > self.window.max_ahead_ms:
            if message.sender in self._refused or len(self._refused) < self.window.max_senders:
                reason = f"its clock is {ahead_ms:.0f} ms ahead, the limit is {self.window.max_ahead_ms:.0f}"
                self._refused[message.sender] = PeerReport(
                    message.sender, len(data), "nothing", reason, kind=message.kind.name
                )
            return
        is_graph = message.kind is PayloadKind.SCENE_GRAPH
        if is_graph and not self._with_graphs:
            return
        if not self._keep(self._graphs if is_graph else self._messages, message, data):
            self._unreadable.append(data)

    def ready(self, now_ns: int) -> list[Collection]:
        """Return and forget the moments that are complete or out of time, in the order in which they came."""
        closed, self._closed = self._closed, []
        # Strictly in order: a later moment never overtakes an earlier one that still waits.
        while self._open and (
            len(self._open) > self.settings.max_open or self._is_done(self._open[0], now_ns)
        ):
            closed.append(self._close(self._open.pop(0), now_ns))
        return closed

    def _keep(self, senders: Senders, message: Message, data: bytes) -> bool:
        return senders.add(message, data, self._newest_ego_ns, self.settings, self.window.max_senders)

    def _is_done(self, moment: _Open, now_ns: int) -> bool:
        if now_ns - moment.arrived_ns >= self.settings.timeout_ms * 1e6:
            return True
        return not any(
            senders.missing(moment.stamp_ns, self.settings)
            for senders in (self._messages, self._graphs, self._own_graphs)
        )

    def _close(self, moment: _Open, now_ns: int) -> Collection:
        def taken(senders: Senders) -> tuple[list[bytes], list[str]]:
            return senders.take(moment.stamp_ns, self.settings, self.window)

        messages, missing = taken(self._messages)
        messages += self._unreadable
        self._unreadable.clear()
        refused = list(self._refused.values())
        self._refused.clear()
        waited_ms = (now_ns - moment.arrived_ns) / 1e6
        own_graphs, own_missing = taken(self._own_graphs)
        graphs, missing_graphs = taken(self._graphs)
        return Collection(
            moment.stamp_ns,
            moment.message,
            messages,
            refused,
            missing,
            waited_ms,
            own_graphs[0] if own_graphs else None,
            graphs,
            own_missing + missing_graphs,
        )
