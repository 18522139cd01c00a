"""The newest messages of each sender on one topic: which of them belong to a moment, and who is waited for.

A sender that is missing several times in a row is not waited for any more until it is heard in time again: a
dead agent costs a few time-outs, not one a frame.

Stamps that go back or stand still start another recording, and what belongs to the one before is forgotten:
its stamps may be the same. Either the ego or another agent is the first to go back; who has gone back keeps
what it sent since then. A message that was merely overtaken has a lower sequence number than the last one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cosense.cooperation.receiver import FusionSettings
from cosense.messages.envelope import Message

# A message that comes later than this many newer ones of its sender has no use any more.
_KEPT_PER_SENDER = 8
# More messages than this in a row are not lost by a radio.
_LARGEST_GAP = 1000


@dataclass(frozen=True)
class CollectorSettings:
    """How long to wait and for whom.

    Attributes:
        timeout_ms: from the arrival of the ego's message.
        sync_tolerance_ms: a message this near to the ego's stamp is the one that is waited for. Half a period
            of the sensors: farther ones belong to another moment, but are used when the time is up.
        misses_until_silent: a sender missing this often in a row is not waited for until it is heard again; a
            new one is waited for when it has been there as often.
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
    """What has come of one sender so far.

    Attributes:
        messages: that came.
        lost: that did not, by the gaps in their numbers.
        bytes: of those that came.
    """

    messages: int = 0
    lost: int = 0
    bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.messages + other.messages, self.lost + other.lost, self.bytes + other.bytes)


@dataclass
class _Sender:
    is_expected: bool = False
    messages: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=_KEPT_PER_SENDER))
    moments: int = 0
    misses: int = 0
    latest: Message | None = None
    traffic: Traffic = field(default_factory=Traffic)
    # Which of the two is of the next recording already, while the other is not.
    ahead: Literal["sender", "ego"] | None = None

    def add(self, message: Message, data: bytes) -> None:
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
        self.traffic += Traffic(1, gap if 0 < gap < _LARGEST_GAP else 0, len(data))
        self.latest = message
        self.messages.append((message.stamp_ns, data))

    def follow_ego(self) -> None:
        """Forget what is of the recording that the ego has left."""
        if self.ahead == "sender":
            self.ahead = None
        else:
            self.messages.clear()
            self.ahead = "ego"

    def has_sent(self, stamp_ns: int, settings: CollectorSettings) -> bool:
        return any(abs(sent_ns - stamp_ns) <= settings.tolerance_ns for sent_ns, _ in self.messages)

    def is_known(self, settings: CollectorSettings) -> bool:
        return self.is_expected or self.moments >= settings.misses_until_silent

    def is_waited_for(self, settings: CollectorSettings) -> bool:
        return self.is_known(settings) and self.misses < settings.misses_until_silent


class Senders:
    """All senders on one topic."""

    def __init__(self, expected: Sequence[str]) -> None:
        """Start with those that are expected from the beginning; others join when they are heard."""
        self._senders = {name: _Sender(is_expected=True) for name in expected}

    @property
    def traffic(self) -> dict[str, Traffic]:
        """What has come of each sender so far."""
        return {name: sender.traffic for name, sender in self._senders.items()}

    def silent(self, settings: CollectorSettings) -> list[str]:
        """Return the senders that were waited for once and are not at present."""
        return sorted(
            name
            for name, sender in self._senders.items()
            if sender.is_known(settings) and not sender.is_waited_for(settings)
        )

    def add(
        self,
        message: Message,
        data: bytes,
        newest_ego_ns: int | None,
        settings: CollectorSettings,
        max_senders: int,
    ) -> bool:
        """Keep a message; returns False where there are too many senders already."""
        if message.sender not in self._senders and not self._make_room(settings, max_senders):
            return False
        sender = self._senders.setdefault(message.sender, _Sender())
        sender.add(message, data)
        if newest_ego_ns is None or message.stamp_ns >= newest_ego_ns - settings.tolerance_ns:
            sender.misses = 0
        return True

    def follow_ego(self) -> None:
        """Forget what is of the recording that the ego has left."""
        for sender in self._senders.values():
            sender.follow_ego()

    def missing(self, stamp_ns: int, settings: CollectorSettings) -> list[str]:
        """Return the senders that are waited for and have no message of this moment yet."""
        return [
            name
            for name, sender in self._senders.items()
            if sender.is_waited_for(settings) and not sender.has_sent(stamp_ns, settings)
        ]

    def take(
        self, stamp_ns: int, settings: CollectorSettings, window: FusionSettings
    ) -> tuple[list[bytes], list[str]]:
        """Close a moment.

        Returns:
            the message of each sender that is nearest to the moment and in the window, and who is missing.
        """
        missing = self.missing(stamp_ns, settings)
        messages: list[bytes] = []
        for name, sender in self._senders.items():
            sender.misses = sender.misses + 1 if name in missing else sender.misses
            if sender.has_sent(stamp_ns, settings):
                sender.moments += 1
                sender.ahead = None
            usable = [
                item
                for item in sender.messages
                if -window.max_ahead_ms <= (stamp_ns - item[0]) / 1e6 <= window.max_age_ms
            ]
            if usable:
                messages.append(min(usable, key=lambda item: abs(item[0] - stamp_ns))[1])
        return messages, missing

    def _make_room(self, settings: CollectorSettings, max_senders: int) -> bool:
        """Forget a stranger or a silent sender if there are too many; False if all of them are alive."""
        if len(self._senders) < max_senders:
            return True
        strangers = [name for name, sender in self._senders.items() if not sender.is_known(settings)]
        for name in (strangers or self.silent(settings))[:1]:
            del self._senders[name]
            return True
        return False
