"""What became of the messages on the radio: in numbers for the diagnostics, one by one in a file."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import UInt8MultiArray

from cosense.errors import counted
from cosense.json_lines import LineWriter
from cosense.nodes.ros import process

# The diagnostics speak of the delays of so many messages.
_MESSAGES = 100
# A channel that is later than this with a delivery, at the 95th percentile, adds a delay of its own.
_LATE_MS = 10.0


@dataclass(frozen=True)
class Transit:
    """A message on its way to one receiver; all times are of `time.monotonic_ns`.

    Attributes:
        sender: id of the sender.
        receiver: id of the receiver.
        topic: topic that carries it where there is no channel.
        number: count of what the sender has sent.
        n_bytes: length of the message.
        offered_ns: time at which the channel took it.
        due_ns: time at which it is to arrive.
        message: the message itself.
    """

    sender: str
    receiver: str
    topic: str
    number: int
    n_bytes: int
    offered_ns: int
    due_ns: int
    message: UInt8MultiArray


@dataclass
class _Counts:
    """What became of the messages on one link."""

    offered: int = 0
    delivered: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    new_bytes: int = 0
    delays_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_MESSAGES))


class ChannelLog:
    """Counts and writes; one thread may offer while another delivers."""

    def __init__(self, links: Iterable[tuple[str, str]], player_rate: float, journal: Path | None) -> None:
        """Start.

        Args:
            links: sender and receiver of each.
            player_rate: speed of the player, in multiples of the recording's.
            journal: where to write each fate, None for nowhere.

        Raises:
            CosenseError: the file cannot be written.
        """
        self._counts = {link: _Counts() for link in links}
        self._player_rate = player_rate
        self._journal = LineWriter(journal) if journal else None
        self._lateness_ms: deque[float] = deque(maxlen=_MESSAGES)
        self._since_ns = time.monotonic_ns()
        self._lock = threading.Lock()

    def offer(self, transit: Transit) -> None:
        """Count a message that was sent."""
        with self._lock:
            self._counts[transit.sender, transit.receiver].offered += 1

    def lose(self, transit: Transit, reason: str) -> None:
        """Count and write a message that never arrives."""
        with self._lock:
            self._counts[transit.sender, transit.receiver].lost[reason] += 1
            self._write(transit, {"lost": reason})

    def deliver(self, transit: Transit, now_ns: int) -> None:
        """Count and write a message that arrives now."""
        with self._lock:
            counts = self._counts[transit.sender, transit.receiver]
            counts.delivered += 1
            counts.new_bytes += transit.n_bytes
            counts.delays_ms.append((now_ns - transit.offered_ns) / 1e6 * self._player_rate)
            self._lateness_ms.append((now_ns - transit.due_ns) / 1e6)
            self._write(transit, {"delivered_ns": now_ns})

    def statuses(self) -> list[DiagnosticStatus]:
        """Return lines for the diagnostics; bytes a second are since the last call."""
        with self._lock:
            now_ns = time.monotonic_ns()
            period_s = (now_ns - self._since_ns) / 1e9 * self._player_rate
            self._since_ns = now_ns
            return [self._own_status(), *(self._link_status(link, period_s) for link in self._counts)]

    def close(self) -> None:
        """Complete the file."""
        if self._journal is not None:
            self._journal.close()

    def _own_status(self) -> DiagnosticStatus:
        p50_ms, p95_ms = _percentiles(self._lateness_ms)
        refused = sum(counts.lost["too much on its way"] for counts in self._counts.values())
        level, message = process.OK, "passes messages on"
        if refused:
            level, message = process.WARN, "more is on its way than it can hold"
        elif p95_ms > _LATE_MS:
            level, message = process.WARN, "is late itself"
        values = {"late itself ms, p50 / p95": f"{p50_ms:.1f} / {p95_ms:.1f}", "too much on its way": refused}
        return process.status("channel", "channel", level, message, values)

    def _link_status(self, link: tuple[str, str], period_s: float) -> DiagnosticStatus:
        counts = self._counts[link]
        p50_ms, p95_ms = _percentiles(counts.delays_ms)
        values = {
            "messages": counts.offered,
            "delivered": counts.delivered,
            **{f"lost, {reason}": count for reason, count in counts.lost.items()},
            "bytes/s": round(counts.new_bytes / period_s),
            "delay ms, p50 / p95": f"{p50_ms:.1f} / {p95_ms:.1f}",
        }
        counts.new_bytes = 0
        message = f"{counts.delivered} of {counted(counts.offered, 'message')} delivered"
        return process.status(f"channel/{'/'.join(link)}", "channel", process.OK, message, values)

    def _write(self, transit: Transit, fate: dict[str, object]) -> None:
        if self._journal is not None:
            self._journal.write(
                {
                    "from": transit.sender,
                    "to": transit.receiver,
                    "topic": transit.topic.rsplit("/", 1)[1],
                    "number": transit.number,
                    "bytes": transit.n_bytes,
                    "offered_ns": transit.offered_ns,
                    **fate,
                }
            )


def _percentiles(values_ms: Iterable[float]) -> tuple[float, float]:
    """Return median and 95th percentile, zeros where there is nothing yet."""
    values = list(values_ms) or [0.0]
    return float(np.percentile(values, 50)), float(np.percentile(values, 95))
