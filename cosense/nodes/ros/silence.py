"""How long nothing has come: by the clock on the wall, but not faster than the time of what is played.

Played in slow motion, frames that are 100 ms apart come seconds apart, and nobody is silent. A node with
`use_sim_time` knows that time from /clock. Where /clock itself stands still, because it is paused, at its end
or was never there, only the clock on the wall is left.
"""

from __future__ import annotations

import time

from rclpy.node import Node

# /clock that has not moved for so long stands still.
_STILL_S = 5.0


class Silence:
    """See the module.

    Attributes:
        was_ended: whether anything has come at all.
    """

    def __init__(self, node: Node) -> None:
        """Begin; the node is the one that listens."""
        self._node = node
        self._moved_s = time.monotonic()
        self._clock_ns = self._now_ns()
        self.end()
        self.was_ended = False

    def end(self) -> None:
        """Something has come: the next silence begins."""
        self.was_ended = True
        self._since_s, self._since_ns = time.monotonic(), self._now_ns()

    @property
    def lasts_s(self) -> float:
        """Length of the silence so far; to be asked again and again."""
        by_wall_s = time.monotonic() - self._since_s
        if not self._is_simulated or self.clock_stands_still:
            return by_wall_s
        now_ns = self._now_ns()
        # Played from its beginning again.
        self._since_ns = min(self._since_ns, now_ns)
        return min(by_wall_s, (now_ns - self._since_ns) / 1e9)

    @property
    def clock_stands_still(self) -> bool:
        """Whether the node goes by /clock, which has not moved for a while."""
        now_ns = self._now_ns()
        if now_ns != self._clock_ns:
            self._clock_ns, self._moved_s = now_ns, time.monotonic()
        return self._is_simulated and time.monotonic() - self._moved_s > _STILL_S

    @property
    def _is_simulated(self) -> bool:
        return bool(self._node.get_parameter("use_sim_time").value)

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)
