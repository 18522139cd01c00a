"""Who has sent what lately: what the synchroniser knows of each sender, and for whom it waits.

A sender that is missing too often is not waited for until it has been in time for a while: a dead agent costs
a few time-outs, not one a frame, and so does one that comes and goes. No message makes up for a miss, only
being in time does, and that by a part.

Stamps that go back or stand still start another recording, and what belongs to the one before is forgotten:
its stamps may be the same. Either the ego or another agent is the first to go back; who has gone back keeps
what it sent since then. A message that was merely overtaken has a lower sequence number than the last one.

A message from the future has a wrong stamp, or the ego is late: a busy machine reads its clock late. One
message proves nothing and is kept; a sender whose last messages all come from the future has a clock that is
ahead. The ego is late where all the others show it.

Numbers that go back again and again while the stamps go on are those of two senders with one name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cosense.cooperation.gate import Window
from cosense.messages.envelope import Message

if TYPE_CHECKING:
    # Scenarios hold these settings, and who only plays or records needs no PyTorch.
    from cosense.cooperation.admission import Received

# A message that comes later than this many newer ones of its sender is forgotten.
_KEPT_PER_SENDER = 8
# So many messages from the future in a row are the sender's clock, not a moment in which the ego was late.
_EVIDENCE = 3
# So many numbers that go back, among the last messages, are no new start.
_NUMBERS_BACK = 3
# With its stamp, and by how much (ms) that was ahead of the ego's time when the message came.
_Kept = tuple[int, "Received", float]
# After a wait in vain for somebody whom nobody expected, nobody but the expected is waited for in so many
# moments: made-up names delay few of them, however many there are.
_WARY_MOMENTS = 10
# How much of a miss each moment makes up for in which a sender was in time: one that is missing in more than
# a quarter of them is not waited for in the end.
_MADE_UP = 1 / 3
# More messages than this in a row are not lost by a radio.
_LARGEST_GAP = 1000


@dataclass(frozen=True)
class SynchroniserSettings:
    """How long to wait and for whom.

    Attributes:
        timeout_ms: longest wait after the arrival of the ego's message.
        sync_tolerance_ms: largest difference to the ego's stamp of the message that is waited for. Half a
            period of the sensors: farther ones belong to another moment, but are used when the time is up.
        misses_until_silent: a sender that has been missing this often lately is not waited for until it has
            been in time for a while; a new one is waited for when it has been there as often.
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
class Peer:
    """One sender, with its last messages."""

    is_expected: bool = False
    messages: deque[_Kept] = field(default_factory=lambda: deque(maxlen=_KEPT_PER_SENDER))
    moments: int = 0
    misses: float = 0.0
    latest: Message | None = None
    traffic: Traffic = field(default_factory=Traffic)
    # By how much what came since the last moment was ahead of the ego's time at most.
    lately_ahead_ms: float | None = None
    # For each of the last messages whether its number went back and its stamp did not.
    went_back: deque[bool] = field(default_factory=lambda: deque(maxlen=_KEPT_PER_SENDER))
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
        self.went_back.append(self.latest is not None and _contradicts(message, self.latest))
        self.latest = message
        self.messages.append((message.stamp_ns, received, ahead_ms))
        earlier_ms = ahead_ms if self.lately_ahead_ms is None else self.lately_ahead_ms
        self.lately_ahead_ms = max(ahead_ms, earlier_ms)

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

    def ego_late_ms(self, stamp_ns: int, settings: SynchroniserSettings, max_ahead_ms: float) -> float | None:
        """Return by how much the ego is late as far as this sender shows, None where it shows nothing."""
        if beyond_ms := self.beyond_ms(stamp_ns, settings):
            return beyond_ms
        if self.lately_ahead_ms is not None and len(self.messages) >= _EVIDENCE:
            return self.lately_ahead_ms if self.lately_ahead_ms > max_ahead_ms else 0.0
        return 0.0 if self.has_sent(stamp_ns, settings) else None

    def has_wrong_clock(self, max_ahead_ms: float) -> bool:
        """Return whether its clock is ahead by more than it may be."""
        return (self.clock_ahead_ms or 0.0) > max_ahead_ms

    def fault(self, max_ahead_ms: float) -> str:
        """Return what is wrong with the sender, whatever its messages say, "" for nothing."""
        if self.has_wrong_clock(max_ahead_ms):
            return f"its clock is {self.clock_ahead_ms:.0f} ms ahead, the limit is {max_ahead_ms:.0f}"
        if sum(self.went_back) >= _NUMBERS_BACK:
            return "two senders have this name, only one of them is used; name each agent once"
        return ""

    def has_sent(self, stamp_ns: int, settings: SynchroniserSettings) -> bool:
        return any(abs(sent_ns - stamp_ns) <= settings.tolerance_ns for sent_ns, *_ in self.messages)

    def is_known(self, settings: SynchroniserSettings) -> bool:
        return self.is_expected or self.moments >= settings.misses_until_silent

    def is_waited_for(self, settings: SynchroniserSettings) -> bool:
        return self.is_known(settings) and self.misses < settings.misses_until_silent


def _contradicts(message: Message, latest: Message) -> bool:
    """Whether a message cannot come from where the latest one does, unless that has started anew."""
    if message.sequence == latest.sequence and message.stamp_ns == latest.stamp_ns:
        return message.payload != latest.payload
    return message.sequence <= latest.sequence and message.stamp_ns >= latest.stamp_ns


class Peers:
    """All senders on one topic."""

    def __init__(self, expected: Sequence[str]) -> None:
        """Start with those that are expected from the beginning; others join with their first message."""
        self._senders = {name: Peer(is_expected=True) for name in expected}
        self._wary_for = 0

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
        settings: SynchroniserSettings,
        max_senders: int,
        ahead_ms: float,
    ) -> Peer | None:
        """Keep a message and return its sender, None where there are too many senders already."""
        if message.sender not in self._senders and not self._make_room(settings, max_senders):
            return None
        sender = self._senders.setdefault(message.sender, Peer())
        sender.add(message, received, ahead_ms)
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
            and (sender.is_expected or not self._wary_for)
            and not sender.has_sent(stamp_ns, settings)
            and not sender.beyond_ms(stamp_ns, settings)
        ]

    def behind_ms(self, stamp_ns: int, settings: SynchroniserSettings, max_ahead_ms: float) -> float:
        """Return by how much the ego is late: 0 where one who is waited for shows that it is not."""
        shown_ms = [
            sender.ego_late_ms(stamp_ns, settings, max_ahead_ms)
            for sender in self._senders.values()
            if sender.is_waited_for(settings) and not sender.has_wrong_clock(max_ahead_ms)
        ]
        return min((ms for ms in shown_ms if ms is not None), default=0.0)

    def take(
        self, stamp_ns: int, settings: SynchroniserSettings, window: Window
    ) -> tuple[list[Received], list[str]]:
        """Close a moment.

        Returns:
            the message of each sender that is nearest to the moment and in the window, and who is missing.
        """
        missing = self.missing(stamp_ns, settings)
        is_in_vain = any(not self._senders[name].is_expected for name in missing)
        self._wary_for = _WARY_MOMENTS if is_in_vain else max(0, self._wary_for - 1)
        messages: list[Received] = []
        for name, sender in self._senders.items():
            sender.misses += name in missing
            if sender.has_sent(stamp_ns, settings):
                sender.misses = max(sender.misses - _MADE_UP, 0.0)
                sender.moments += 1
                sender.ahead = None
            sender.lately_ahead_ms = None
            has_wrong_clock = sender.has_wrong_clock(window.max_ahead_ms)
            usable = [
                item
                for item in sender.messages
                if not has_wrong_clock
                and -window.max_ahead_ms <= (stamp_ns - item[0]) / 1e6 <= window.max_age_ms
            ]
            if usable:
                messages.append(min(usable, key=lambda item: abs(item[0] - stamp_ns))[1])
        return messages, missing

    def _make_room(self, settings: SynchroniserSettings, max_senders: int) -> bool:
        """Forget a stranger or a silent sender if there are too many; False if all are alive or expected."""
        if len(self._senders) < max_senders:
            return True
        strangers = [name for name, sender in self._senders.items() if not sender.is_known(settings)]
        silent = [name for name in self.silent(settings) if not self._senders[name].is_expected]
        for name in (strangers or silent)[:1]:
            del self._senders[name]
            return True
        return False
