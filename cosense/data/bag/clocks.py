"""Whether two topics of a recording tell the time by one clock.

Their stamps lie in other ranges, as where a LiDAR counts from its boot. Or the recorder got both at once and
their stamps are far apart, as those of GPS time and UTC are by 18 s, and those of TAI and UTC by 37 s. Or it
got one of them before it was measured, and not the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cosense.data.bag.timeline import Timeline
from cosense.geometry.timed_pose import seconds

# No recorder is so much later with one topic than with another.
_TWO_CLOCKS_NS = 5_000_000_000
# Nothing is recorded so long before it is measured, unless the recorder has a third clock.
_TOO_EARLY_NS = 500_000_000
_CURE = "give all sensors one clock (PTP or NTP, or the driver's choice of time stamps)"


def clock_note(name: str, timeline: Timeline[Any], other_name: str, other: Timeline[Any]) -> Iterator[str]:
    """Yield a line if two topics have two clocks.

    Args:
        name, other_name: what the topics give, for the line.
        timeline, other: their messages.
    """
    (first, last), (other_first, other_last) = timeline.span_ns, other.span_ns
    away_ns = max(other_first - last, first - other_last)
    if away_ns > _TWO_CLOCKS_NS:
        unset = any(timeline.span_ns == (0, 0) for timeline in (timeline, other))
        reason = "no stamps are set" if unset else "two clocks, or not recorded at one time"
        yield f"{name} are {span(timeline)}, {other_name} {span(other)}: {reason}; {_CURE}"
        return
    apart_ns = other.delay_ns - timeline.delay_ns
    is_too_early = min(timeline.delay_ns, other.delay_ns) < -_TOO_EARLY_NS
    if abs(apart_ns) > (_TOO_EARLY_NS if is_too_early else _TWO_CLOCKS_NS):
        yield (
            f"{name} were recorded {timeline.delay_ns / 1e9:.1f} s after their stamps, {other_name} "
            f"{other.delay_ns / 1e9:.1f} s: if these are two clocks, {_CURE}"
        )


def span(timeline: Timeline[Any]) -> str:
    """Return from when to when a topic is stamped, for people."""
    first, last = timeline.span_ns
    return f"of {seconds(first)} to {seconds(last)}"
