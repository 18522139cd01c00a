"""The numbers and stamps of each key: a message counts once, and only near the time of its stamp.

What cannot be told apart by its signature is a message that somebody has recorded and sends again. By key and
kind of message, in the order of the checks:

- where there is a clock: a stamp that is further from it than the window is refused, in both directions;
- the same number with the same stamp came before: refused as replayed;
- the same number with another stamp, or one much lower than the highest, without a newer stamp: refused;
- anything else counts: numbers that begin again with newer stamps are a sender that was started anew, stamps
  that begin again with higher numbers are another recording.

Without a clock (offline, and where recordings are played as fast as they are fused) only what was received
before, or is long over, is known to be replayed.
"""

from __future__ import annotations

from collections import OrderedDict

# Numbers of each kind that are remembered: at 20 Hz those of more time than admission has use for.
_REMEMBERED = 256


class ReplayWindow:
    """What one key has sent of one kind of message."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._newest: tuple[int, int] | None = None

    def objection(self, sequence: int, stamp_ns: int) -> str:
        """Return why a message of this number and stamp is not new, "" if it is."""
        if self._newest is None:
            return ""
        highest, newest_ns = self._newest
        if (sequence, stamp_ns) in self._seen:
            return f"number {sequence} with this stamp came before: it is replayed"
        if sequence == highest or (stamp_ns <= newest_ns and any(seen == sequence for seen, _ in self._seen)):
            return f"number {sequence} came before with another stamp"
        if stamp_ns <= newest_ns and sequence <= highest - _REMEMBERED:
            return f"number {sequence} is long over, the last one was {highest}: it is replayed"
        return ""

    def add(self, sequence: int, stamp_ns: int) -> None:
        """Note a message that counts."""
        self._seen[sequence, stamp_ns] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        if self._newest is None or sequence > self._newest[0] or stamp_ns > self._newest[1]:
            self._newest = (sequence, stamp_ns)


def clock_objection(stamp_ns: int, clock_ns: int, window_ns: int) -> str:
    """Return why a stamp does not fit the clock, "" if it does or where there is no clock or window (0)."""
    ahead_ns = stamp_ns - clock_ns
    if not clock_ns or not window_ns or abs(ahead_ns) <= window_ns:
        return ""
    where = "ahead of" if ahead_ns > 0 else "behind"
    what = "a clock is wrong" if ahead_ns > 0 else "it is replayed, or a clock is wrong"
    limit_ms = window_ns / 1e6
    return f"its stamp is {abs(ahead_ns) / 1e6:.0f} ms {where} the clock, the limit is {limit_ms:.0f}: {what}"
