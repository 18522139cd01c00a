"""One vehicle or roadside unit: its cloud and pose in, its detections out as one encoded message.

    ~/input/points   PointCloud2                  ~/output/objects  UInt8MultiArray, see docs/wire_format.md
    ~/input/pose     PoseWithCovarianceStamped    ~/output/markers  MarkerArray for RViz
                                                  ~/debug/processing_time_ms, ~/debug/tx_bytes, /diagnostics

Whether the message goes out over the radio or to the vehicle's own fusion is a matter of the topic that
`~/output/objects` is mapped to. The network runs in a thread of its own behind a bounded queue: when it
cannot keep up, the oldest clouds are dropped and counted.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, UInt8MultiArray, UInt64
from visualization_msgs.msg import MarkerArray

from cosense.errors import CosenseError
from cosense.nodes import conversions, process, qos, topics
from cosense.nodes.mailbox import Mailbox
from cosense.nodes.markers import detections_to_markers
from cosense.nodes.pose_join import PoseJoin
from cosense.perception.detector import load_detector
from cosense.sensing.frame import AgentFrame
from cosense.sharing.message import PayloadKind
from cosense.sharing.sender import check_budget, share

# What waits in DDS and for its pose, beside what waits for the network.
_DEPTH_ABOVE_QUEUE = 4

Work = tuple[PointCloud2, PoseWithCovarianceStamped]


class AgentNode(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("agent")
        self._agent_id = process.needed(self, "agent_id", "name under which this agent sends")
        self._kind = process.choose(self, "kind", ("vehicle", "infrastructure"), "what carries the sensor")
        model = process.declare(self, "model", "pillars-lite", "name or folder of the detector")
        device = process.declare(self, "device", "cpu", "where the detector runs, e.g. cpu or cuda")
        budget = process.declare(
            self, "budget_bytes", 0, "limit of one encoded message, 0 for none", low=0, high=1 << 20
        )
        depth = process.declare(
            self,
            "queue_depth",
            1,
            "clouds that may wait for the network; 1: the latest wins",
            low=1,
            high=1000,
        )
        tolerance = process.declare(
            self, "pose_tolerance_ms", 50.0, "largest gap between a cloud and its pose", low=0, high=1000
        )
        self._budget_bytes = budget or None
        check_budget(self._agent_id, PayloadKind.OBJECTS, self._budget_bytes)
        self._sequence = 0
        self._dropped = 0
        self._failed = 0
        self._last_ms = 0.0
        self._mailbox: Mailbox[Work] = Mailbox(depth)
        self._join: PoseJoin[PointCloud2, PoseWithCovarianceStamped] = PoseJoin(
            int(tolerance * 1e6), depth + _DEPTH_ABOVE_QUEUE
        )
        self._objects = self.create_publisher(UInt8MultiArray, "~/output/objects", qos.V2X)
        self._markers = self.create_publisher(MarkerArray, "~/output/markers", qos.RESULT)
        self._processing_time = self.create_publisher(Float64, "~/debug/processing_time_ms", qos.RESULT)
        self._tx_bytes = self.create_publisher(UInt64, "~/debug/tx_bytes", qos.RESULT)
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)
        self._detector = load_detector(model, device)
        # The first cloud is the slowest by far: it is not to be one that somebody waits for.
        self._detector.detect(np.random.default_rng(0).uniform(-1, 1, (1000, 4)).astype(np.float32))
        self._stop = threading.Event()
        self._worker = threading.Thread(target=self._work, name="detector", daemon=True)
        self._worker.start()
        # Only now: who sees these subscriptions may rely on an answer.
        for kind, topic, callback in (
            (PointCloud2, "~/input/points", self._on_cloud),
            (PoseWithCovarianceStamped, "~/input/pose", self._on_pose),
        ):
            process.Listener(self, kind, topic, callback, depth + _DEPTH_ABOVE_QUEUE)
        self.create_timer(1.0, self._report)
        self.get_logger().info(f"agent '{self._agent_id}' runs {self._detector.name} on {device}")

    def close(self) -> None:
        """Let the detector finish its frame."""
        self._stop.set()
        self._worker.join(timeout=2.0)

    def _on_cloud(self, cloud: PointCloud2) -> None:
        self._enqueue(self._join.add_cloud(conversions.to_ns(cloud.header.stamp), cloud))

    def _on_pose(self, pose: PoseWithCovarianceStamped) -> None:
        self._enqueue(self._join.add_pose(conversions.to_ns(pose.header.stamp), pose))

    def _enqueue(self, complete: list[Work]) -> None:
        for work in complete:
            self._dropped += self._mailbox.put(work)

    def _work(self) -> None:
        """Run the network on one cloud after the other until the node closes."""
        try:
            while not self._stop.is_set():
                work = self._mailbox.get(timeout_s=0.1)
                if work is not None:
                    self._process(*work)
        except Exception as error:
            if rclpy.ok():
                self.get_logger().fatal(f"detector thread failed: {error!r}")
                rclpy.try_shutdown()
                raise

    def _process(self, cloud: PointCloud2, pose: PoseWithCovarianceStamped) -> None:
        start = time.monotonic()
        stamp_ns = conversions.to_ns(cloud.header.stamp)
        try:
            T_world_agent, covariance = conversions.message_to_pose(pose)
            points = conversions.cloud_to_points(cloud)
            frame = AgentFrame(self._agent_id, self._kind, stamp_ns, T_world_agent, points, covariance)
            detections = self._detector.detect(points)
            data = share(
                frame, detections, self._detector, PayloadKind.OBJECTS, self._sequence, self._budget_bytes
            )
        except CosenseError as error:
            self._failed += 1
            self.get_logger().error(f"cloud at {stamp_ns} ns: {error}", throttle_duration_sec=1.0)
            return
        self._sequence += 1
        self._objects.publish(conversions.bytes_to_message(data))
        self._last_ms = (time.monotonic() - start) * 1e3
        self._markers.publish(detections_to_markers(detections, stamp_ns, cloud.header.frame_id))
        self._processing_time.publish(Float64(data=self._last_ms))
        self._tx_bytes.publish(UInt64(data=len(data)))

    def _report(self) -> None:
        """Tell once a second how it goes."""
        values = {
            "sent": self._sequence,
            "dropped, detector too slow": self._dropped,
            "dropped, no pose": self._join.without_pose,
            "failed": self._failed,
            "processing_time_ms": f"{self._last_ms:.1f}",
            "model": self._detector.name,
        }
        level, message = process.OK, "detects"
        if self._failed:
            level, message = process.ERROR, "some clouds could not be used"
        elif self._dropped or self._join.without_pose:
            level, message = process.WARN, "some clouds were dropped"
        line = process.status(f"agent/{self._agent_id}", level, message, values)
        self._diagnostics.publish(process.diagnostics([line], self.get_clock().now().nanoseconds))


def main() -> None:
    """Run the node."""
    process.run(AgentNode)


if __name__ == "__main__":
    main()
