"""Collects the messages of one moment: complete or out of time, whichever comes first.

The reference is when the ego itself measured. Each sender contributes the message whose stamp is nearest to
it within the window that the fusion accepts, and likewise its scene graph where poses are corrected by these.
The collection is complete when every sender that is waited for has them within the synchronisation tolerance.

A sender that is missing several times in a row is not waited for until it is received in time again: a dead
agent costs a few time-outs, not one a frame.

Stamps that go back or stand still start another recording, and what belongs to the one before is forgotten:
its stamps may be the same. Either the ego or another agent is the first to go back; who has gone back keeps
what it sent since then. A message that was merely overtaken has a lower sequence number than the last one.

A message from the future has a wrong stamp, or the ego is late: a busy machine reads its clock late. The
stamp of the ego's newest frame has passed, too. One message proves nothing and is kept; a sender whose last
messages all come from the future has a clock that is ahead.

No clock and no ROS 2 in here: the caller says what time it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from cosense.cooperation.admission import Received, receive
from cosense.cooperation.gate import Window
from cosense.messages.envelope import Message, MessageError, PayloadKind
from cosense.messages.reports import PeerReport

# Unreadable messages are handed on so that the fusion reports them; a flood of them is not.
_KEPT_BESIDE = 16
_EGO = "ego"
# A message that comes later than this many newer ones of its sender is forgotten.
_KEPT_PER_SENDER = 8
# So many messages from the future in a row are the sender's clock, not a moment in which the ego was late.
_EVIDENCE = 3
# With its stamp, and by how much (ms) that was ahead of the ego's time when the message came.
_Kept = tuple[int, Received, float]
# More messages than this in a row are not lost by a radio.
_LARGEST_GAP = 1000


@dataclass(frozen=True)
class SynchroniserSettings:
    """How long to wait and for whom.

    Attributes:
        timeout_ms: longest wait after the arrival of the ego's message.
        sync_tolerance_ms: largest difference to the ego's stamp of the message that is waited for. Half a
            period of the sensors: farther ones belong to another moment, but are used when the time is up.
        misses_until_silent: a sender that is missing this often in a row is not waited for until it sends
            again; a new one is waited for when it has been there as often.
        max_open: more moments than this at a time are not kept open; the oldest is closed.
    """

    timeout_ms: float = 100.0
    sync_tolerance_ms: float = 50.0
    misses_until_silent: int = 3
    max_open: int = 8

    def __post_init__(self) -> None:
        if self.timeout_ms < 0 or self.sync_tolerance_ms < 0:
            raise ValueError(
                f"timeout_ms {self.timeout_ms} and sync_tolerance_ms {self.sync_tolerance_ms} must be >= 0"
            )
        if self.misses_until_silent < 1 or self.max_open < 1:
            raise ValueError(
                f"misses_until_silent {self.misses_until_silent} and max_open {self.max_open} must be above 0"
            )

    @property
    def tolerance_ns(self) -> float:
        """`sync_tolerance_ms` in nanoseconds."""
        return self.sync_tolerance_ms * 1e6


@dataclass(frozen=True)
class Traffic:
    """What was received from one sender so far.

    Attributes:
        messages: number of messages received.
        lost: number of messages that are missing in the sequence numbers.
        bytes: length of all messages received.
    """

    messages: int = 0
    lost: int = 0
    bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.messages + other.messages, self.lost + other.lost, self.bytes + other.bytes)


@dataclass
class _Sender:
    is_expected: bool = False
    messages: deque[_Kept] = field(default_factory=lambda: deque(maxlen=_KEPT_PER_SENDER))
    moments: int = 0
    misses: int = 0
    latest: Message | None = None
    traffic: Traffic = field(default_factory=Traffic)
    # Which of the two is of the next recording already, while the other is not.
    ahead: Literal["sender", "ego"] | None = None

    def add(self, message: Message, received: Received, ahead_ms: float) -> None:
        """Keep a message; one that goes back forgets those before it."""
        if (
            self.latest is not None
            and message.stamp_ns <= self.latest.stamp_ns
            and message.sequence > self.latest.sequence
        ):
            self.messages.clear()
            self.ahead = None if self.ahead == "ego" else "sender"
        gap = 0 if self.latest is None else message.sequence - self.latest.sequence - 1
        # A larger gap, or a number that goes back, is a sender that has started anew.
        self.traffic += Traffic(1, gap if 0 < gap < _LARGEST_GAP else 0, received.bytes)
        self.latest = message
        self.messages.append((message.stamp_ns, received, ahead_ms))

    def follow_ego(self) -> None:
        """Forget what is of the recording that the ego has left."""
        if self.ahead == "sender":
            self.ahead = None
        else:
            self.messages.clear()
            self.ahead = "ego"

    @property
    def clock_ahead_ms(self) -> float | None:
        """By how much its clock is ahead, as far as its last messages prove; None where they are too few."""
        return min(ms for *_, ms in self.messages) if len(self.messages) >= _EVIDENCE else None

    def beyond_ms(self, stamp_ns: int, settings: SynchroniserSettings) -> float:
        """Return by how much the ego is late where what was sent of a moment is forgotten already, else 0."""
        oldest_ns = min((sent_ns for sent_ns, *_ in self.messages), default=stamp_ns) - stamp_ns
        is_beyond = len(self.messages) == _KEPT_PER_SENDER and oldest_ns > settings.tolerance_ns
        return oldest_ns / 1e6 if is_beyond else 0.0

    def has_sent(self, stamp_ns: int, settings: SynchroniserSettings) -> bool:
        return any(abs(sent_ns - stamp_ns) <= settings.tolerance_ns for sent_ns, *_ in self.messages)

    def is_known(self, settings: SynchroniserSettings) -> bool:
        return self.is_expected or self.moments >= settings.misses_until_silent

    def is_waited_for(self, settings: SynchroniserSettings) -> bool:
        return self.is_known(settings) and self.misses < settings.misses_until_silent


class _Senders:
    """All senders on one topic."""

    def __init__(self, expected: Sequence[str]) -> None:
        """Start with those that are expected from the beginning; others join with their first message."""
        self._senders = {name: _Sender(is_expected=True) for name in expected}

    @property
    def traffic(self) -> dict[str, Traffic]:
        """What was received from each sender so far."""
        return {name: sender.traffic for name, sender in self._senders.items()}

    def silent(self, settings: SynchroniserSettings) -> list[str]:
        """Return the senders that were waited for once and are not at present."""
        return sorted(
            name
            for name, sender in self._senders.items()
            if sender.is_known(settings) and not sender.is_waited_for(settings)
        )

    def add(
        self,
        message: Message,
        received: Received,
        newest_ego_ns: int | None,
        settings: SynchroniserSettings,
        max_senders: int,
        ahead_ms: float,
    ) -> _Sender | None:
        """Keep a message and return its sender, None where there are too many senders already."""
        if message.sender not in self._senders and not self._make_room(settings, max_senders):
            return None
        sender = self._senders.setdefault(message.sender, _Sender())
        sender.add(message, received, ahead_ms)
        if newest_ego_ns is None or message.stamp_ns >= newest_ego_ns - settings.tolerance_ns:
            sender.misses = 0
        return sender

    def follow_ego(self) -> None:
        """Forget what is of the recording that the ego has left."""
        for sender in self._senders.values():
            sender.follow_ego()

    def missing(self, stamp_ns: int, settings: SynchroniserSettings) -> list[str]:
        """Return the senders that are waited for and have no message of this moment yet."""
        return [
            name
            for name, sender in self._senders.items()
            if sender.is_waited_for(settings)
            and not sender.has_sent(stamp_ns, settings)
            and not sender.beyond_ms(stamp_ns, settings)
        ]

    def behind_ms(self, stamp_ns: int, settings: SynchroniserSettings) -> float:
        """Return by how much the ego is behind those who are beyond a moment, else 0."""
        return max((each.beyond_ms(stamp_ns, settings) for each in self._senders.values()), default=0.0)

    def take(
        self, stamp_ns: int, settings: SynchroniserSettings, window: Window
    ) -> tuple[list[Received], list[str]]:
        """Close a moment.

        Returns:
            the message of each sender that is nearest to the moment and in the window, and who is missing.
        """
        missing = self.missing(stamp_ns, settings)
        messages: list[Received] = []
        for name, sender in self._senders.items():
            sender.misses = sender.misses + 1 if name in missing else sender.misses
            if sender.has_sent(stamp_ns, settings):
                sender.moments += 1
                sender.ahead = None
            is_wrong = (sender.clock_ahead_ms or 0.0) > window.max_ahead_ms
            usable = [
                item
                for item in sender.messages
                if not is_wrong and -window.max_ahead_ms <= (stamp_ns - item[0]) / 1e6 <= window.max_age_ms
            ]
            if usable:
                messages.append(min(usable, key=lambda item: abs(item[0] - stamp_ns))[1])
        return messages, missing

    def _make_room(self, settings: SynchroniserSettings, max_senders: int) -> bool:
        """Forget a stranger or a silent sender if there are too many; False if all of them are alive."""
        if len(self._senders) < max_senders:
            return True
        strangers = [name for name, sender in self._senders.items() if not sender.is_known(settings)]
        for name in (strangers or self.silent(settings))[:1]:
            del self._senders[name]
            return True
        return False


@dataclass(frozen=True)
class Collection:
    """What is fused for one moment.

    Attributes:
        own: the ego's own message, whose stamp is the moment.
        received: messages of others: one of each sender that has one, then those that nobody waits for (they
            cannot be read, are of a kind that is not fused, or of too many senders), then the scene graph of
            each sender that has one.
        refused: reports of messages that are not even fused because their clock is wrong.
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
    ) -> None:
        """Start.

        Args:
            peers: senders that are expected from the beginning; others join with their first message.
            settings: limits of the waiting.
            window: ages of messages that the fusion admits.
            with_graphs: whether scene graphs are waited for as well, also the ego's own.
        """
        self.settings = settings
        self.window = window
        self._messages = _Senders(peers)
        self._graphs = _Senders(peers if with_graphs else ())
        # Its only sender is the ego, under whichever name it sends.
        self._own_graphs = _Senders([_EGO] if with_graphs else ())
        self._with_graphs = with_graphs
        self._beside: deque[Received] = deque(maxlen=_KEPT_BESIDE)
        self._refused: dict[str, PeerReport] = {}
        self._open: list[_Open] = []
        self._closed: list[Collection] = []
        self._newest_ego_ns: int | None = None
        self._ego_arrived_ns = 0
        self._behind_ms = 0.0

    @property
    def silent(self) -> list[str]:
        """Senders that were waited for once and are not at present."""
        return self._messages.silent(self.settings)

    @property
    def traffic(self) -> dict[str, Traffic]:
        """What was received from each sender so far."""
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
        received = receive(data)
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
        received = receive(data)
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
            self._judge_clock(message, received, sender)

    def _present_ns(self, clock_ns: int, now_ns: int | None) -> int:
        """Return the ego's time: its clock, or what its newest frame shows if that is later."""
        if self._newest_ego_ns is None:
            return clock_ns
        passed_ns = 0 if now_ns is None else now_ns - self._ego_arrived_ns
        return max(clock_ns, self._newest_ego_ns + passed_ns)

    def _judge_clock(self, message: Message, received: Received, sender: _Sender) -> None:
        """Note who is to blame for a message from the future: its sender's clock, or the ego."""
        clock_ahead_ms, limit_ms = sender.clock_ahead_ms, self.window.max_ahead_ms
        self._refused.pop(message.sender, None)
        if clock_ahead_ms is not None and clock_ahead_ms > limit_ms:
            reason = f"its clock is {clock_ahead_ms:.0f} ms ahead, the limit is {limit_ms:.0f}"
            self._refused[message.sender] = PeerReport(
                message.sender, received.bytes, "nothing", reason, kind=message.kind.name
            )
        elif clock_ahead_ms is not None and (ahead_ms := sender.messages[-1][2]) > limit_ms:
            self._behind_ms = max(self._behind_ms, ahead_ms)

    def ready(self, now_ns: int) -> list[Collection]:
        """Return and forget the moments that are complete or out of time, in the order in which they came."""
        closed, self._closed = self._closed, []
        # Strictly in order: a later moment never overtakes an earlier one that still waits.
        while self._open and (
            len(self._open) > self.settings.max_open or self._is_done(self._open[0], now_ns)
        ):
            closed.append(self._close(self._open.pop(0), now_ns))
        return closed

    def _keep(self, senders: _Senders, message: Message, got: Received, ahead_ms: float) -> _Sender | None:
        limits = self.settings, self.window.max_senders
        return senders.add(message, got, self._newest_ego_ns, *limits, ahead_ms)

    def _is_done(self, moment: _Open, now_ns: int) -> bool:
        if now_ns - moment.arrived_ns >= self.settings.timeout_ms * 1e6:
            return True
        return not any(
            senders.missing(moment.own.stamp_ns, self.settings)
            for senders in (self._messages, self._graphs, self._own_graphs)
        )

    def _close(self, moment: _Open, now_ns: int) -> Collection:
        def taken(senders: _Senders) -> tuple[list[Received], list[str]]:
            return senders.take(moment.own.stamp_ns, self.settings, self.window)

        behind_ms = max(self._behind_ms, self._messages.behind_ms(moment.own.stamp_ns, self.settings))
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
        self._behind_ms = 0.0
        self._beside.clear()
        self._refused.clear()
        return collection
