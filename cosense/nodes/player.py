"""Plays a data set or a simulation as if its sensors were there; sensors.py says what becomes of a frame.

Mode "drain" publishes the next frame when the fusion has answered the one before, so that nothing is lost
however slow the machine is; mode "rate" keeps the time of the recording. It starts when everybody who has to
listen listens, and ends with the last frame. Each frame becomes one line of the journal.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64

from cosense import topics
from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError, counted
from cosense.json_lines import LineWriter
from cosense.nodes.player_parameters import (
    declare_bounded,
    declare_lost,
    declare_pose_error,
    declare_pose_errors,
    declare_skews_ns,
    declare_source,
)
from cosense.nodes.ros import conversions, process, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.sensors import SensorOutputs
from cosense.runs.frame_source import frames_of, open_source

_FRAMES_AHEAD = 2
_POLL_S = 0.05
_CLOCK_S = 0.01
_DELIVERY_S = 2.0
_DEPTH = 16
# Answers to frames that were played longer ago do not count.
_AWAITED = 64
# A longer gap between two frames, or a jump back, is the seam between two recordings.
_LONGEST_GAP_S = 1.0
_USUAL_GAP_S = 0.1
# Lateness that is worth a word.
_LATE_S = 1.0


class PlayerNode(ManagedNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("player")
        self._source = declare_source(self)
        self._frames = process.declare(self, "frames", 0, "how many to play, 0 for all", low=0, high=10**9)
        self._agents = process.needed(self, "agents", "who is played, with commas between").split(",")
        self._ego = process.needed(self, "ego", "whose ground truth is published")
        self._skews_ns = declare_skews_ns(self, self._agents)
        self._pose_errors = declare_pose_errors(self, self._agents)
        self._pose_error = declare_pose_error(self)
        self._lost = declare_lost(self, self._agents)
        watched = process.declare(
            self, "watched", "", "agents whose images somebody looks at, with commas between"
        )
        self._watched = [agent for agent in watched.split(",") if agent]
        self._is_drain = (
            process.choose(self, "mode", ("drain", "rate"), "when the next frame comes") == "drain"
        )
        self._rate = declare_bounded(self, "rate", "how many times faster than recorded")
        self._timeout_s = declare_bounded(self, "timeout_s", "drain: longest wait for one frame")
        self._startup_timeout_s = declare_bounded(
            self, "startup_timeout_s", "longest wait for those who listen"
        )
        self._is_recorded = process.declare(self, "recorded", False, "wait for a recorder on each topic")
        journal = process.declare(self, "journal", "", "file that gets one JSON line a frame; empty for none")
        self._journal_path = Path(journal) if journal else None
        self._journal: LineWriter | None = None
        # When the frames were published that have not been answered yet (monotonic), by stamp.
        self._awaited: dict[int, int] = {}
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def build(self) -> None:
        """Open the source and announce the sensors."""
        if self._source.data is None and not self._frames:
            raise CosenseError(
                "parameter 'frames' of node 'player' is 0, and a simulation never ends by itself: set "
                "'frames', or 'data' to a data set"
            )
        self._dataset = None if self._source.data is None else open_source(self._source)
        label_set = "simulated" if self._dataset is None else self._dataset.label_set
        self._sensors = SensorOutputs(
            self,
            self._agents,
            self._ego,
            label_set,
            self._skews_ns,
            self._pose_errors,
            self._pose_error,
            self._lost,
            self._watched,
        )
        self._latency = self.publisher(Float64, "~/debug/pipeline_latency_ms", qos.RESULT)
        self._journal = LineWriter(self._journal_path) if self._journal_path else None
        self._is_prepared = False
        self._previous_ns: int | None = None
        self._due_s = 0.0

    def listen(self) -> None:
        """Hear when a frame is fused."""
        self.subscribe(PointCloud2, topics.DETECTIONS, self._on_detections, _DEPTH)

    def close(self) -> None:
        """Complete the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def play(self) -> None:
        """Play everything; where a lifecycle manager deactivates the node, it pauses.

        Raises:
            CosenseError: nobody listens, nobody fuses any more, or there is nothing to play.
        """
        played = passed_over = 0
        for frame in self._read_frames():
            if isinstance(frame, CosenseError) or frame.ego_id != self._ego:
                reason = frame if isinstance(frame, CosenseError) else f"its ego is '{frame.ego_id}'"
                self.get_logger().warning(f"a frame is passed over: {reason}")
                passed_over += 1
            elif self._play_when_due(frame, played + 1):
                played += 1
            else:
                return
        if not played:
            raise CosenseError(f"nothing to play: passed over {counted(passed_over, 'frame')}")
        self._wait_until_delivered()
        # The last answers are still on their way, but for frames that somebody was too slow for.
        self._spin_until(lambda: self._previous_ns not in self._awaited, _DELIVERY_S)
        self.get_logger().info(f"played {counted(played, 'frame')}, passed over {passed_over}")

    def _read_frames(self) -> Iterator[CooperativeFrame | CosenseError]:
        self._wait_until_active()
        return _read_ahead(frames_of(self._source, self._frames or None, self._dataset))

    def _play_when_due(self, frame: CooperativeFrame, number: int) -> bool:
        """Play a frame when its time has come; return False when the node is shut down before.

        Args:
            frame: what is played.
            number: of the frame, counted from 1.
        """
        stamp_ns = frame.ego.stamp_ns
        while self._wait_until_active():
            if not self._is_prepared:
                self._sensors.prepare(frame)
                self._wait_for_listeners()
                self._is_prepared = True
            messages = self._sensors.messages(frame, number)
            if not self._is_drain:
                self._let_time_pass(stamp_ns)
            # A lifecycle manager may have paused it meanwhile.
            if self.is_active:
                self._play_frame(frame, messages)
                self._previous_ns = stamp_ns
                return True
        return False

    def _play_frame(self, frame: CooperativeFrame, messages: Sequence[tuple[Publisher, Any]]) -> None:
        """Publish one frame; in mode drain also wait for the answer."""
        stamp_ns = frame.ego.stamp_ns
        published_ns = time.monotonic_ns()
        self._awaited[stamp_ns] = published_ns
        while len(self._awaited) > _AWAITED:
            del self._awaited[next(iter(self._awaited))]
        # First: the answer of the fusion is to find it in the file.
        if self._journal is not None:
            self._journal.write(
                {
                    "frame_id": frame.frame_id,
                    "sequence": frame.sequence,
                    "stamp_ns": stamp_ns,
                    "stamps_ns": self._sensors.stamps_ns(frame),
                    "published_ns": published_ns,
                }
            )
        self._sensors.publish_time(stamp_ns)
        for publisher, message in messages:
            publisher.publish(message)
        if self._is_drain and not self._spin_until(lambda: stamp_ns not in self._awaited, self._timeout_s):
            if not self.count_publishers(topics.DETECTIONS):
                raise CosenseError(
                    f"frame {frame.frame_id}: nobody has fused it within {self._timeout_s:g} s, and nobody "
                    "fuses any more; see the log of the ego"
                )
            self.get_logger().warning(
                f"frame {frame.frame_id}: no detections within {self._timeout_s:g} s, going on without"
            )

    def _wait_for_listeners(self) -> None:
        """Wait until each agent, and the recorder where there is one, listens to all it needs."""

        def missing() -> list[str]:
            found = self._sensors.missing_listeners(recorded=self._is_recorded)
            if self._is_drain and not self.count_publishers(topics.DETECTIONS):
                found.append(f"{topics.DETECTIONS} (nobody fuses)")
            elif self._is_recorded and self.count_subscribers(topics.DETECTIONS) < 2:
                found.append(f"{topics.DETECTIONS} (the recorder)")
            return found

        if not self._spin_until(lambda: not missing(), self._startup_timeout_s):
            raise CosenseError(
                f"after {self._startup_timeout_s:g} s somebody is still not there for: {', '.join(missing())}"
            )

    def _wait_until_active(self) -> bool:
        """Return whether the node plays at all; where it is paused, wait until it goes on."""
        if not self.is_active:
            self._previous_ns = None
            self._spin_until(lambda: self.is_active or self.is_finalised, None)
        return not self.is_finalised

    def _let_time_pass(self, stamp_ns: int) -> None:
        """Wait until a frame is due, and let /clock run up to its stamp."""
        now_s = time.monotonic()
        if self._previous_ns is None:
            self._due_s = now_s
        self._due_s += _gap_s(self._previous_ns, stamp_ns) / self._rate
        if now_s - self._due_s > _LATE_S:
            self.get_logger().warning(
                f"{now_s - self._due_s:.1f} s behind the recording at rate {self._rate:g}: reading and "
                "publishing take longer than that",
                throttle_duration_sec=5.0,
            )
        while self.is_active and (left_s := self._due_s - time.monotonic()) > 0:
            self._sensors.publish_time(max(stamp_ns - int(left_s * self._rate * 1e9), 0))
            self._spin_until(lambda: False, min(left_s, _CLOCK_S))
        # Also where there was no time to wait: parameters and states are served here.
        self._executor.spin_once(timeout_sec=0)

    def _wait_until_delivered(self) -> None:
        """Stay until the last messages have arrived: a publisher that is gone sends nothing again."""
        end_s = time.monotonic() + _DELIVERY_S
        for publisher in self.publishers:
            publisher.wait_for_all_acked(Duration(seconds=max(end_s - time.monotonic(), 0.0)))

    def _on_detections(self, detections: PointCloud2) -> None:
        published_ns = self._awaited.pop(conversions.to_ns(detections.header.stamp), None)
        if published_ns is not None:
            self._latency.publish(Float64(data=(time.monotonic_ns() - published_ns) / 1e6))

    def _spin_until(self, is_done: Callable[[], bool], timeout_s: float | None) -> bool:
        """Serve ROS until `is_done` or the time is up, and return whether it is done."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while not is_done():
            left_s = _POLL_S if end_s is None else end_s - time.monotonic()
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, _POLL_S))
        return True


def _gap_s(previous_ns: int | None, stamp_ns: int) -> float:
    """Return the time between two frames of the recording."""
    if previous_ns is None:
        return 0.0
    gap_s = (stamp_ns - previous_ns) / 1e9
    return gap_s if 0 < gap_s <= _LONGEST_GAP_S else _USUAL_GAP_S


def _read_ahead(
    frames: Iterator[CooperativeFrame | CosenseError],
) -> Iterator[CooperativeFrame | CosenseError]:
    """Read the next frames in a thread of its own while the present one is played."""
    ahead: queue.Queue[Any] = queue.Queue(maxsize=_FRAMES_AHEAD)
    end = object()

    def read() -> None:
        try:
            for frame in frames:
                ahead.put(frame)
            ahead.put(end)
        except BaseException as error:
            ahead.put((end, error))

    threading.Thread(target=read, name="reader", daemon=True).start()
    while True:
        item = ahead.get()
        if item is end:
            return
        if isinstance(item, tuple):
            raise item[1]
        yield item


def main() -> None:
    """Run the node."""
    process.run(PlayerNode, "player", work=PlayerNode.play)


if __name__ == "__main__":
    main()
