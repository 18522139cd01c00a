"""Joins what an agent's sensors measured at one moment; each sensor has a topic of its own, in any order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

_KEPT = 200


@dataclass
class _Stream:
    """The newest messages of a stream beside the leading one."""

    tolerance_ns: int
    messages: deque[tuple[int, Any]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    newest_ns: int | None = None
    # Which of the two is of the next recording already, while the other is not.
    ahead: Literal["lead", "stream"] | None = None

    def add(self, stamp_ns: int, message: Any) -> None:
        """Keep a message; one that goes back in time forgets those before it."""
        if self.newest_ns is not None and stamp_ns <= self.newest_ns:
            self.messages.clear()
            self.ahead = None if self.ahead == "lead" else "stream"
        self.newest_ns = stamp_ns
        self.messages.append((stamp_ns, message))

    def follow_lead(self) -> None:
        """Forget what belongs to the recording that the leading stream has left."""
        if self.ahead == "stream":
            self.ahead = None
        else:
            self.messages.clear()
            self.ahead = "lead"

    def nearest(self, stamp_ns: int) -> tuple[int, Any] | None:
        """Return the nearest message with its stamp, None while a nearer one may still come."""
        found = min(self.messages, key=lambda item: abs(item[0] - stamp_ns), default=None)
        if found is None or found[0] == stamp_ns or max(ns for ns, _ in self.messages) > stamp_ns:
            return found
        return None


class StreamJoin:
    """Gives each message of a leading stream the nearest message of every other stream.

    A message with the very stamp of the leading one is taken at once. Otherwise the leading message waits
    until a later one has come and takes the nearest, if that is within the stream's tolerance; else it is
    dropped.

    Stamps that go back or stand still start another recording: its messages are never joined with those of
    the recording before, whose stamps may be the same.

    Attributes:
        dropped: how many leading messages were dropped for want of each stream.
    """

    def __init__(self, lead: str, tolerances_ns: Mapping[str, int], max_waiting: int) -> None:
        """Start without any message.

        Args:
            lead: name of the leading stream.
            tolerances_ns: largest difference of stamps, by the name of each other stream.
            max_waiting: leading messages that may wait at a time; the oldest makes room.
        """
        self.dropped = dict.fromkeys(tolerances_ns, 0)
        self._lead = lead
        self._streams = {name: _Stream(tolerance_ns) for name, tolerance_ns in tolerances_ns.items()}
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, Any]] = deque()
        self._newest_lead_ns: int | None = None

    def add(self, stream: str, stamp_ns: int, message: Any) -> list[dict[str, Any]]:
        """Take a message of any stream and return all moments that are complete now, oldest first.

        Returns:
            a message of every stream for each moment, by the name of the stream.
        """
        if stream != self._lead:
            self._streams[stream].add(stamp_ns, message)
            return self._complete()
        if self._newest_lead_ns is not None and stamp_ns <= self._newest_lead_ns:
            while self._waiting:
                self._drop_oldest()
            for other in self._streams.values():
                other.follow_lead()
        self._newest_lead_ns = stamp_ns
        self._waiting.append((stamp_ns, message))
        complete = self._complete()
        while len(self._waiting) > self._max_waiting:
            self._drop_oldest()
        return complete

    def _drop_oldest(self) -> None:
        """Drop the leading message that waits longest, on the account of the streams that it waits for."""
        stamp_ns, _ = self._waiting.popleft()
        for name, stream in self._streams.items():
            if stream.nearest(stamp_ns) is None:
                self.dropped[name] += 1

    def _complete(self) -> list[dict[str, Any]]:
        complete: list[dict[str, Any]] = []
        waiting: deque[tuple[int, Any]] = deque()
        for stamp_ns, message in self._waiting:
            nearest = {name: stream.nearest(stamp_ns) for name, stream in self._streams.items()}
            too_far = [
                name
                for name, found in nearest.items()
                if found is not None and abs(found[0] - stamp_ns) > self._streams[name].tolerance_ns
            ]
            found_all = {name: found[1] for name, found in nearest.items() if found is not None}
            if too_far:
                for name in too_far:
                    self.dropped[name] += 1
            elif len(found_all) < len(nearest):
                waiting.append((stamp_ns, message))
            else:
                complete.append({self._lead: message, **found_all})
                for stream in self._streams.values():
                    stream.ahead = None
        self._waiting = waiting
        return complete
