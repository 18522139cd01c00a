"""The ego's fusion: its own message and those of the others in, one list of boxes out.

    ~/input/ego_objects  UInt8MultiArray, in-vehicle    ~/output/detections  PointCloud2, see conversions.py
    ~/input/objects      UInt8MultiArray, the radio     ~/output/markers     MarkerArray for RViz
                                                        ~/debug/processing_time_ms, ~/debug/latency_ms
                                                        /diagnostics

One output for each message of the ego, complete or not: when an agent falls silent, the frames go on without
it after the time-out, and the diagnostics say so.
"""

from __future__ import annotations

import time
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, UInt8MultiArray
from visualization_msgs.msg import MarkerArray

from cosense.errors import CosenseError
from cosense.fusion.journal import JournalEntry, LineWriter, to_values
from cosense.fusion.late import fuse_late
from cosense.fusion.receiver import FusionSettings, PeerReport
from cosense.nodes import conversions, process, qos, topics
from cosense.nodes.collector import Collection, Collector, CollectorSettings
from cosense.nodes.markers import detections_to_markers
from cosense.sharing.message import MessageError

_POLL_S = 0.01
_DEPTH = 64


class FusionNode(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("fusion")
        self._ego_id = process.needed(self, "ego_id", "whose boxes these are")
        peers = process.declare(
            self, "peers", "", "agents to wait for from the beginning, with commas between"
        )
        journal = process.declare(self, "journal", "", "file that gets one JSON line a frame; empty for none")
        self._settings = _settings(self)
        self._silent: list[str] = []
        self._timeouts = 0
        self._frames = 0
        expected = [peer for peer in peers.split(",") if peer]
        self._collector = Collector(expected, _collector_settings(self), self._settings)
        self._journal = LineWriter(Path(journal)) if journal else None
        self._detections = self.create_publisher(PointCloud2, "~/output/detections", qos.RESULT)
        self._markers = self.create_publisher(MarkerArray, "~/output/markers", qos.RESULT)
        self._processing_time = self.create_publisher(Float64, "~/debug/processing_time_ms", qos.RESULT)
        self._latency = self.create_publisher(Float64, "~/debug/latency_ms", qos.RESULT)
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)
        process.Listener(self, UInt8MultiArray, "~/input/ego_objects", self._on_ego, _DEPTH)
        process.Listener(self, UInt8MultiArray, "~/input/objects", self._on_objects, _DEPTH)
        self.create_timer(_POLL_S, self._fuse_what_is_ready)
        self.get_logger().info(f"fusion of '{self._ego_id}' waits for: {', '.join(expected) or 'nobody'}")

    def close(self) -> None:
        """Complete the journal."""
        if self._journal is not None:
            self._journal.close()

    def _on_ego(self, message: UInt8MultiArray) -> None:
        try:
            self._collector.add_ego(conversions.message_to_bytes(message), time.monotonic_ns())
        except MessageError as error:
            self.get_logger().error(f"message of the ego itself: {error}", throttle_duration_sec=1.0)
        self._fuse_what_is_ready()

    def _on_objects(self, message: UInt8MultiArray) -> None:
        self._collector.add(conversions.message_to_bytes(message))
        self._fuse_what_is_ready()

    def _fuse_what_is_ready(self) -> None:
        for collection in self._collector.ready(time.monotonic_ns()):
            try:
                self._fuse(collection)
            except CosenseError as error:
                self.get_logger().error(f"frame at {collection.stamp_ns} ns: {error}")
        self._report_silence()

    def _fuse(self, collection: Collection) -> None:
        start = time.monotonic()
        result = fuse_late(collection.ego_message, collection.messages, self._settings)
        processing_ms = (time.monotonic() - start) * 1e3
        latency_ms = collection.waited_ms + processing_ms
        self._frames += 1
        self._timeouts += bool(collection.missing)
        # The journal first: whoever sees the published result finds it in the file.
        if self._journal is not None:
            entry = JournalEntry(collection.stamp_ns, result, collection.missing, latency_ms)
            self._journal.write(to_values(entry))
        frame_id = topics.lidar_frame(self._ego_id)
        statuses = [self._own_status(collection, latency_ms)]
        statuses += [_peer_status(report) for report in result.peers]
        statuses += [
            process.status(f"fusion/{peer}", process.STALE, "silent, not waited for", {})
            for peer in self._collector.silent
        ]
        self._markers.publish(detections_to_markers(result.detections, collection.stamp_ns, frame_id))
        self._processing_time.publish(Float64(data=processing_ms))
        self._latency.publish(Float64(data=latency_ms))
        self._diagnostics.publish(process.diagnostics(statuses, self.get_clock().now().nanoseconds))
        # The detections last: they tell the player that this frame is complete.
        self._detections.publish(
            conversions.detections_to_cloud(result.detections, collection.stamp_ns, frame_id)
        )

    def _own_status(self, collection: Collection, latency_ms: float) -> DiagnosticStatus:
        level, message = process.OK, "complete"
        if collection.missing:
            level, message = process.WARN, f"time-out, without {', '.join(collection.missing)}"
        values = {
            "mode": "late",
            "latency_ms": f"{latency_ms:.1f}",
            "frames": self._frames,
            "time-outs": self._timeouts,
        }
        return process.status("fusion", level, message, values)

    def _report_silence(self) -> None:
        """Say once when an agent falls silent and once when it is back."""
        silent = self._collector.silent
        for peer in silent:
            if peer not in self._silent:
                self.get_logger().warning(f"agent '{peer}' is silent, frames go on without it")
        for peer in self._silent:
            if peer not in silent:
                self.get_logger().info(f"agent '{peer}' is back")
        self._silent = silent


def _peer_status(report: PeerReport) -> DiagnosticStatus:
    level = process.WARN if report.used_for == "nothing" else process.OK
    age = "unknown" if report.age_ms is None else f"{report.age_ms:.1f}"
    values = {"bytes": report.bytes, "used for": report.used_for, "age_ms": age}
    return process.status(f"fusion/{report.sender}", level, report.reason or "used", values)


def _settings(node: Node) -> FusionSettings:
    """Declare what the fusion accepts and how it merges."""
    default = FusionSettings()

    def milliseconds(name: str, description: str) -> float:
        return float(process.declare(node, name, getattr(default, name), description, low=0, high=10_000))

    return FusionSettings(
        max_age_ms=milliseconds("max_age_ms", "older messages are not used"),
        max_ahead_ms=milliseconds("max_ahead_ms", "messages further ahead of the ego are not used"),
        nms_iou=process.declare(
            node, "nms_iou", default.nms_iou, "overlap that is one object", low=0, high=1
        ),
        max_senders=process.declare(
            node, "max_senders", default.max_senders, "more agents are not used", low=1, high=1000
        ),
    )


def _collector_settings(node: Node) -> CollectorSettings:
    """Declare how long to wait and for whom."""
    default = CollectorSettings()
    return CollectorSettings(
        timeout_ms=process.declare(
            node, "timeout_ms", default.timeout_ms, "how long a frame waits for others", low=0, high=60_000
        ),
        sync_tolerance_ms=process.declare(
            node,
            "sync_tolerance_ms",
            default.sync_tolerance_ms,
            "a message this near to the ego's stamp is of the same moment",
            low=0,
            high=10_000,
        ),
        misses_until_silent=process.declare(
            node,
            "misses_until_silent",
            default.misses_until_silent,
            "after so many frames without it an agent is not waited for",
            low=1,
            high=1000,
        ),
        max_open=process.declare(
            node, "max_open", default.max_open, "frames that may wait at a time", low=1, high=1000
        ),
    )


def main() -> None:
    """Run the node."""
    process.run(FusionNode)


if __name__ == "__main__":
    main()
