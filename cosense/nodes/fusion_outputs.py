"""What the fusion publishes: boxes for machines and for people, its mode, its health, its requests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, String, UInt8MultiArray
from visualization_msgs.msg import MarkerArray

from cosense import topics
from cosense.cooperation.outcome import FusionResult, Mode, no_sensor
from cosense.cooperation.peers import Traffic
from cosense.cooperation.synchroniser import Collection
from cosense.messages.envelope import PayloadKind
from cosense.messages.reports import PeerReport
from cosense.nodes.ros import conversions, process, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.markers import fused_markers, mode_to_marker
from cosense.nodes.ros.trace import Stages, Stopwatch
from cosense.sensing.detections import Detections

try:
    from vision_msgs.msg import Detection3DArray
except ImportError:  # not among the wheels
    Detection3DArray = None

_ASK_AGAIN_S = 0.002
# A wait for readers is shorter by this factor after one in vain, but not shorter than this.
_LESS_PATIENT, _LEAST_S = 4.0, 0.02


class FusionOutputs:
    """The topics of the fusion but that of the requests.

    Attributes:
        frames: number of frames that were fused.
        timeouts: number of those in which a sender was missing.
        dropped: number of frames for which the fusion was too slow.
        failed: number of frames that could not be fused.
    """

    def __init__(self, node: ManagedNode, ego_id: str, fusion: str) -> None:
        self._node = node
        self._ego_id = ego_id
        self._frame_id = topics.lidar_frame(ego_id)
        self._fusion = fusion
        self._mode = no_sensor(None)
        self._stages = Stages()
        self._rates = Rates()
        self._lately = process.Lately()
        self.frames = self.timeouts = self.dropped = self.failed = 0
        self._detections = node.publisher(PointCloud2, "~/output/detections", qos.RESULT)
        self._boxes = None
        if Detection3DArray is not None:
            self._boxes = node.publisher(Detection3DArray, "~/output/boxes", qos.RESULT)
        self._markers = node.publisher(MarkerArray, "~/output/markers", qos.RESULT)
        self._mode_topic = node.publisher(String, "~/output/mode", qos.RESULT)
        self._reason = node.publisher(DiagnosticArray, "~/output/mode/reason", qos.RESULT)
        self._processing_time = node.publisher(Float64, "~/debug/processing_time_ms", qos.RESULT)
        self._latency = node.publisher(Float64, "~/debug/latency_ms", qos.RESULT)
        self._diagnostics = node.publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)

    def report(
        self,
        collection: Collection,
        result: FusionResult,
        mode: Mode,
        silent: Sequence[str],
        traffic: Mapping[str, Traffic],
        watch: Stopwatch,
        figures: Mapping[str, Any],
    ) -> None:
        """Publish what became of the messages of a frame, and how long it took.

        Args:
            collection: what was there.
            result: what came of it.
            mode: how well the ego is helped.
            silent: agents that are not waited for.
            traffic: counters of the messages of each sender.
            watch: times of the frame.
            figures: what else the diagnostics say of the fusion.
        """
        self.frames += 1
        self.timeouts += bool(collection.missing)
        self._stages.add(watch)
        self._set_mode(mode)
        self._processing_time.publish(Float64(data=watch.total_ms - collection.waited_ms))
        self._latency.publish(Float64(data=watch.total_ms))
        counts = {name: each.bytes for name, each in traffic.items()}
        rates = self._rates.per_second(collection.stamp_ns, counts)
        statuses = [self._own_status(collection, result, mode, figures)]
        statuses += [
            self._graph_status(peer)
            if peer.kind == PayloadKind.SCENE_GRAPH.name
            else self._peer_status(peer, traffic.get(peer.sender), rates.get(peer.sender))
            for peer in result.peers
        ]
        statuses += [
            self._status(f"fusion/{peer}", process.STALE, "silent, not waited for", {}) for peer in silent
        ]
        self._diagnose(statuses)

    def publish_boxes(self, detections: Detections, stamp_ns: int) -> None:
        """Publish what was found, for machines."""
        self._detections.publish(conversions.detections_to_cloud(detections, stamp_ns, self._frame_id))
        if self._boxes is not None and self._boxes.get_subscription_count():
            self._boxes.publish(conversions.detections_to_boxes(detections, stamp_ns, self._frame_id))

    def publish_markers(self, detections: Detections, stamp_ns: int) -> None:
        """Publish what was found for people, while somebody looks."""
        if self._markers.get_subscription_count():
            markers = fused_markers(detections, self._ego_id, stamp_ns, self._frame_id)
            markers.markers.append(mode_to_marker(str(self._mode), stamp_ns, self._frame_id))
            self._markers.publish(markers)

    def report_blindness(self, mode: Mode) -> None:
        """Publish that there is no result, and why."""
        self._set_mode(mode)
        self._diagnose([self._status("fusion", process.ERROR, mode.reason, {"mode": mode.name})])

    def report_failure(self, reason: str) -> None:
        """Publish that a frame could not be fused."""
        self.failed += 1
        values = {"mode": self._mode.name, "frames": self.frames, "failed": self.failed}
        message = f"a frame could not be fused: {reason}"
        self._diagnose([self._status("fusion", process.ERROR, message, values)])

    def _set_mode(self, mode: Mode) -> None:
        if mode.name != self._mode.name:
            self._node.get_logger().info(f"mode {mode}")
        self._mode = mode
        self._mode_topic.publish(String(data=mode.name))
        level = process.WARN if mode.reason else process.OK
        level = process.ERROR if mode.name == "NO_SENSOR" else level
        said = self._status("mode", level, mode.reason, {"mode": mode.name})
        self._reason.publish(self._stamped([said]))

    def _diagnose(self, statuses: list[DiagnosticStatus]) -> None:
        self._diagnostics.publish(self._stamped(statuses))

    def _stamped(self, statuses: list[DiagnosticStatus]) -> DiagnosticArray:
        return process.diagnostics(statuses, self._node.get_clock().now().nanoseconds)

    def _own_status(
        self, collection: Collection, result: FusionResult, mode: Mode, figures: Mapping[str, Any]
    ) -> DiagnosticStatus:
        level, message = process.OK, "complete"
        if collection.missing:
            level, message = process.WARN, f"time-out, without {', '.join(collection.missing)}"
        elif collection.missing_graphs:
            level = process.WARN
            message = f"time-out, without the scene graph of {', '.join(collection.missing_graphs)}"
        elif collection.behind_ms:
            level = process.WARN
            message = (
                f"the ego is {collection.behind_ms:.0f} ms behind the others: its machine is slow, or a "
                "clock is wrong"
            )
        dropped = self._lately.growth({"dropped": self.dropped})["dropped"]
        if dropped and level == process.OK:
            level = process.WARN
            message = f"frames dropped, the fusion is too slow: {dropped} in {process.LATELY_S:g} s"
        values = {
            "mode": mode.name,
            "reason": mode.reason or "none",
            "fusion": self._fusion,
            "frames": self.frames,
            "time-outs": self.timeouts,
            "dropped, fusion too slow": self.dropped,
            "failed": self.failed,
            "request bytes": sum(result.request_bytes.values()),
            **figures,
            **self._stages.summary(),
        }
        return self._status("fusion", level, message, values)

    def _graph_status(self, report: PeerReport) -> DiagnosticStatus:
        """Return what the graph of a sender said of its pose; that it says nothing is no fault."""
        message = "tells where it is" if report.used_for == "pose" else report.reason
        return self._status(
            f"fusion/{report.sender}/scene_graph", process.OK, message, {"bytes": report.bytes}
        )

    def _peer_status(
        self, report: PeerReport, traffic: Traffic | None, bytes_per_s: float | None
    ) -> DiagnosticStatus:
        is_suspect = report.verdict in ("refused", "doubted")
        level = process.WARN if is_suspect or report.used_for == "nothing" else process.OK
        values = {
            "mode": report.used_for,
            "reason": report.reason or "none",
            "bytes": report.bytes,
            "age_ms": "unknown" if report.age_ms is None else f"{report.age_ms:.1f}",
        }
        if report.verdict:
            values["trust"] = report.verdict
        if traffic is not None:
            values |= {"messages": traffic.messages, "lost": traffic.lost}
        if bytes_per_s is not None:
            values["bytes/s"] = f"{bytes_per_s:.0f}"
        return self._status(f"fusion/{report.sender}", level, report.reason or "used", values)

    def _status(self, name: str, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
        return process.status(name, self._ego_id, level, message, values)


class RequestOutput:
    """The ego's requests, for those who send features."""

    def __init__(self, node: ManagedNode, delivery_s: float) -> None:
        """Start.

        Args:
            node: that publishes it.
            delivery_s: how long `wait` waits.
        """
        self._node = node
        self._delivery_s = self._patience_s = delivery_s
        self._publisher = node.publisher(UInt8MultiArray, "~/output/requests", qos.V2X)

    def publish(self, requests: Iterable[bytes]) -> None:
        """Publish encoded DEMAND messages."""
        for request in requests:
            self._publisher.publish(conversions.bytes_to_message(request))

    def wait(self, senders: int) -> None:
        """Stay until the requests have reached their readers, so that the next cloud meets them there.

        After a wait in vain the next ones are shorter, until everybody confirms in time again: a reader that
        never does costs little.

        Args:
            senders: number of senders of features in this frame; at least as many readers are awaited, known
                to DDS or not yet.
        """
        end_s = time.monotonic() + self._patience_s
        # Asked again and again: a wait inside of rclpy would stop all threads of the process.
        while len(self._readers()) < senders or not self._publisher.wait_for_all_acked(Duration()):
            if time.monotonic() > end_s:
                if self._delivery_s:
                    self._node.get_logger().warning(
                        f"not everybody has confirmed the request within {self._patience_s:g} s",
                        throttle_duration_sec=5.0,
                    )
                self._patience_s = max(self._patience_s / _LESS_PATIENT, min(_LEAST_S, self._delivery_s))
                return
            time.sleep(_ASK_AGAIN_S)
        self._patience_s = self._delivery_s

    def _readers(self) -> set[tuple[str, str]]:
        """Return who listens, each once, however many subscriptions it has."""
        infos = self._node.get_subscriptions_info_by_topic(self._publisher.topic_name)
        return {(info.node_namespace, info.node_name) for info in infos}


class Rates:
    """How fast counters grow, over a second of the recording at least."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._counts: dict[str, int] = {}
        self._per_second: dict[str, float] = {}

    def per_second(self, stamp_ns: int, counts: Mapping[str, int]) -> Mapping[str, float]:
        """Take what the counters stand at, and return by how much they have grown a second lately.

        Args:
            stamp_ns: time of the frame; one that goes back is of another recording.
            counts: the counters by name.
        """
        if self._since_ns is None or stamp_ns < self._since_ns:
            self._since_ns, self._counts = stamp_ns, dict(counts)
        passed_s = (stamp_ns - self._since_ns) / 1e9
        if passed_s >= 1:
            grown = {name: count - self._counts.get(name, 0) for name, count in counts.items()}
            self._per_second = {name: count / passed_s for name, count in grown.items()}
            self._since_ns, self._counts = stamp_ns, dict(counts)
        return self._per_second
