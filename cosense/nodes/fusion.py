"""The ego's fusion: its own message and those of the others in, one list of boxes out.

    ~/input/ego_objects  UInt8MultiArray, in-vehicle    ~/output/detections  PointCloud2, see conversions.py
    ~/input/objects      UInt8MultiArray, the radio     ~/output/markers     MarkerArray for RViz
    ~/input/features     likewise                       ~/output/demand      UInt8MultiArray, to the radio
                                                        ~/debug/processing_time_ms, ~/debug/latency_ms
                                                        /diagnostics

One output for each message of the ego, complete or not: when an agent falls silent, the frames go on without
it after the time-out, and the diagnostics say so. Alone it merges boxes (late fusion); to fuse features it
needs those of the ego and runs in one process with the ego's agent, see ego.py. The fusing itself runs in a
thread of its own, so that messages and parameters are served meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, UInt8MultiArray
from visualization_msgs.msg import MarkerArray

from cosense.errors import CosenseError
from cosense.fusion.cooperate import check_fusion
from cosense.fusion.feature_receiver import FeatureReceiver
from cosense.fusion.journal import JournalEntry, LineWriter, to_values
from cosense.fusion.late import fuse_late
from cosense.fusion.models import CooperativeDetector
from cosense.fusion.receiver import FusionResult, PeerReport
from cosense.nodes import conversions, process, qos, topics
from cosense.nodes.collector import Collection, Collector
from cosense.nodes.feature_store import FeatureStore
from cosense.nodes.fusion_parameters import declare_collector, declare_gate, declare_settings
from cosense.nodes.markers import detections_to_markers
from cosense.nodes.worker import Worker
from cosense.perception.detector import Detector
from cosense.sharing.message import MessageError

_POLL_S = 0.01
_ASK_AGAIN_S = 0.002
_DEPTH = 64
# Collections that may wait for the one that is being fused.
WAITING = 4


@dataclass(frozen=True)
class OwnFeatures:
    """What the fusion needs of the ego's agent to fuse features.

    Attributes:
        detector: that the ego runs.
        store: where the agent leaves its features.
    """

    detector: Detector
    store: FeatureStore


@dataclass(frozen=True)
class _Ready:
    collection: Collection
    silent: list[str]
    since_s: float


class FusionNode(Node):
    """See the module."""

    def __init__(self, own: OwnFeatures | None = None) -> None:
        """Start; without `own` for late fusion only."""
        super().__init__("fusion")
        self._ego_id = process.needed(self, "ego_id", "whose boxes these are")
        peers = process.declare(
            self, "peers", "", "agents to wait for from the beginning, with commas between"
        )
        journal = process.declare(self, "journal", "", "file that gets one JSON line a frame; empty for none")
        self._method = process.choose(
            self,
            "method",
            ("late",) if own is None else ("hybrid", "intermediate"),
            "how it fuses; features only in one process with the ego's agent (`ego`)",
        )
        delivery_ms = process.declare(
            self,
            "demand_delivery_ms",
            0.0,
            "how long the detections wait until the demand has reached its readers; 0: not at all",
            low=0,
            high=10_000,
        )
        self._delivery_s = delivery_ms / 1e3
        self._settings = window = declare_settings(self)
        gate = declare_gate(self)
        self._own = own
        self._receiver: FeatureReceiver | None = None
        if own is not None:
            check_fusion(self._method, own.detector)
            assert isinstance(own.detector, CooperativeDetector)
            self._receiver = FeatureReceiver(
                own.detector, with_boxes=self._method == "hybrid", settings=self._settings, gate=gate
            )
            # Messages too old for their features may still be good for their boxes.
            window = replace(window, max_age_ms=gate.boxes_max_age_ms, max_ahead_ms=gate.max_ahead_ms)
        self._silent: list[str] = []
        self._timeouts = self._frames = self._dropped = 0
        expected = [peer for peer in peers.split(",") if peer]
        self._collector = Collector(expected, declare_collector(self), window)
        self._journal = LineWriter(Path(journal)) if journal else None
        self._create_publishers()
        self._worker: Worker[_Ready] = Worker(self, "fusion", self._fuse, WAITING)
        self._listen()
        self.create_timer(_POLL_S, self._pass_on_what_is_ready)
        self.get_logger().info(
            f"{self._method} fusion of '{self._ego_id}' waits for: {', '.join(expected) or 'nobody'}"
        )

    def close(self) -> None:
        """Finish the frame and complete the journal."""
        self._worker.close()
        if self._journal is not None:
            self._journal.close()

    def _create_publishers(self) -> None:
        self._detections = self.create_publisher(PointCloud2, "~/output/detections", qos.RESULT)
        self._markers = self.create_publisher(MarkerArray, "~/output/markers", qos.RESULT)
        self._processing_time = self.create_publisher(Float64, "~/debug/processing_time_ms", qos.RESULT)
        self._latency = self.create_publisher(Float64, "~/debug/latency_ms", qos.RESULT)
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)
        if self._receiver is not None:
            self._demand = self.create_publisher(UInt8MultiArray, "~/output/demand", qos.V2X)

    def _listen(self) -> None:
        process.Listener(self, UInt8MultiArray, "~/input/ego_objects", self._on_ego, _DEPTH)
        process.Listener(self, UInt8MultiArray, "~/input/objects", self._on_message, _DEPTH)
        if self._receiver is not None:
            process.Listener(self, UInt8MultiArray, "~/input/features", self._on_message, _DEPTH)

    def _on_ego(self, message: UInt8MultiArray) -> None:
        try:
            self._collector.add_ego(conversions.message_to_bytes(message), time.monotonic_ns())
        except MessageError as error:
            self.get_logger().error(f"message of the ego itself: {error}", throttle_duration_sec=1.0)
        self._pass_on_what_is_ready()

    def _on_message(self, message: UInt8MultiArray) -> None:
        self._collector.add(conversions.message_to_bytes(message))
        self._pass_on_what_is_ready()

    def _pass_on_what_is_ready(self) -> None:
        for collection in self._collector.ready(time.monotonic_ns()):
            self._dropped += self._worker.put(_Ready(collection, self._collector.silent, time.monotonic()))
        self._report_silence()

    def _fuse(self, ready: _Ready) -> None:
        """Fuse one frame, tell everybody, and ask for what is wanted next."""
        collection = ready.collection
        start = time.monotonic()
        try:
            result, demands = self._fused(collection)
        except CosenseError as error:
            self.get_logger().error(f"frame at {collection.stamp_ns} ns: {error}")
            return
        # First: a sender that hears it before its next cloud sends what is wanted by then.
        for demand in demands.values():
            self._demand.publish(conversions.bytes_to_message(demand))
        end = time.monotonic()
        processing_ms, latency_ms = (end - start) * 1e3, collection.waited_ms + (end - ready.since_s) * 1e3
        self._frames += 1
        self._timeouts += bool(collection.missing)
        # The journal first: whoever sees the published result finds it in the file.
        if self._journal is not None:
            entry = JournalEntry(collection.stamp_ns, result, collection.missing, latency_ms)
            self._journal.write(to_values(entry))
        frame_id = topics.lidar_frame(self._ego_id)
        self._markers.publish(detections_to_markers(result.detections, collection.stamp_ns, frame_id))
        self._processing_time.publish(Float64(data=processing_ms))
        self._latency.publish(Float64(data=latency_ms))
        statuses = [
            self._own_status(collection, result, latency_ms),
            *map(_peer_status, result.peers),
            *(
                process.status(f"fusion/{peer}", process.STALE, "silent, not waited for", {})
                for peer in ready.silent
            ),
        ]
        self._diagnostics.publish(process.diagnostics(statuses, self.get_clock().now().nanoseconds))
        if demands and self._delivery_s:
            self._wait_for_delivery(sum(peer.used_for == "features" for peer in result.peers))
        # The detections last: they tell the player that this frame is complete.
        self._detections.publish(
            conversions.detections_to_cloud(result.detections, collection.stamp_ns, frame_id)
        )

    def _fused(self, collection: Collection) -> tuple[FusionResult, Mapping[str, bytes]]:
        """Return what comes out of a frame, and the DEMAND messages for the next one by addressee."""
        if self._own is None or self._receiver is None:
            return fuse_late(collection.ego_message, collection.messages, self._settings), {}
        features = self._own.store.take(collection.ego_message)
        result = self._receiver.fuse(collection.ego_message, features, collection.messages)
        demands = self._receiver.demands(collection.ego_message, features)
        told = {addressee: len(demand) for addressee, demand in demands.items()}
        return replace(result, demand_bytes=told), demands

    def _wait_for_delivery(self, senders: int) -> None:
        """Stay until the demand has reached its readers, so that the cloud of the next frame meets it there.

        Args:
            senders: of features in this frame; so many readers there are at least, known to DDS or not yet.
        """
        end_s = time.monotonic() + self._delivery_s
        # Asked again and again: a wait inside of rclpy would stop all threads of the process.
        while self._demand.get_subscription_count() < senders or not self._demand.wait_for_all_acked(
            Duration()
        ):
            if time.monotonic() > end_s:
                self.get_logger().warning(
                    f"not everybody has confirmed the demand within {self._delivery_s:g} s",
                    throttle_duration_sec=5.0,
                )
                return
            time.sleep(_ASK_AGAIN_S)

    def _own_status(
        self, collection: Collection, result: FusionResult, latency_ms: float
    ) -> DiagnosticStatus:
        level, message = process.OK, "complete"
        if collection.missing:
            level, message = process.WARN, f"time-out, without {', '.join(collection.missing)}"
        values = {
            "method": self._method,
            "latency_ms": f"{latency_ms:.1f}",
            "frames": self._frames,
            "time-outs": self._timeouts,
            "dropped, fusion too slow": self._dropped,
            "demand bytes": sum(result.demand_bytes.values()),
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
    values = {
        "mode": report.used_for,
        "reason": report.reason or "none",
        "bytes": report.bytes,
        "age_ms": "unknown" if report.age_ms is None else f"{report.age_ms:.1f}",
    }
    return process.status(f"fusion/{report.sender}", level, report.reason or "used", values)


def main() -> None:
    """Run the node."""
    process.run(FusionNode)


if __name__ == "__main__":
    main()
