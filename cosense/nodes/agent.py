"""One vehicle or roadside unit: its cloud and pose in, what it tells the others out as one encoded message.

    ~/input/points   PointCloud2                  ~/output/features  UInt8MultiArray, see docs/wire_format.md
    ~/input/pose     PoseWithCovarianceStamped    ~/output/objects   likewise, where it sends boxes alone
    ~/input/demand   UInt8MultiArray              ~/output/markers   MarkerArray for RViz
                                                  ~/debug/supply, demand, selection: OccupancyGrid for RViz
                                                  ~/debug/processing_time_ms, ~/debug/tx_bytes, /diagnostics

Whether its boxes go out over the radio or to the vehicle's own fusion is a matter of the topic that
`~/output/objects` is mapped to. The network runs in a thread of its own behind a bounded queue: when it
cannot keep up, the oldest clouds are dropped and counted. `budget_bytes` may be set at run time and holds
from the next message on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Float64, UInt8MultiArray, UInt64
from visualization_msgs.msg import MarkerArray

from cosense.errors import CosenseError
from cosense.fusion.cooperate import cooperate
from cosense.fusion.models import CooperativeDetector, load_model
from cosense.nodes import conversions, process, qos, topics
from cosense.nodes.debug_maps import DebugMaps
from cosense.nodes.feature_store import FeatureStore
from cosense.nodes.markers import detections_to_markers
from cosense.nodes.method import METHODS, check_message_budget, sends_features
from cosense.nodes.pose_join import PoseJoin
from cosense.nodes.worker import Worker
from cosense.perception.detections import Detections
from cosense.perception.detector import Detector
from cosense.perception.features import BevFeatures
from cosense.sensing.frame import AgentFrame
from cosense.sharing.demand import DemandMap
from cosense.sharing.feature_sender import FeatureSender, read_demand
from cosense.sharing.message import MessageError, PayloadKind
from cosense.sharing.sender import share

# What waits in DDS and for its pose, beside what waits for the network.
_DEPTH_ABOVE_QUEUE = 4
_DEMAND_DEPTH = 16

Measured = tuple[PointCloud2, PoseWithCovarianceStamped]
# The demand that is known when the cloud has come belongs to it, however long it waits for the network.
Work = tuple[PointCloud2, PoseWithCovarianceStamped, DemandMap | None]


class AgentNode(Node):
    """See the module.

    Attributes:
        detector: that it runs.
    """

    def __init__(self, own_features: FeatureStore | None = None) -> None:
        """Start.

        Args:
            own_features: of the ego, whose message goes to its own fusion: where that finds its features.
        """
        super().__init__("agent")
        self._agent_id = process.needed(self, "agent_id", "name under which this agent sends")
        self._kind = process.choose(self, "kind", ("vehicle", "infrastructure"), "what carries the sensor")
        model = process.declare(self, "model", "cosense-lite", "name or folder of the detector")
        device = process.declare(self, "device", "cpu", "where the detector runs, e.g. cpu or cuda")
        method = process.choose(self, "method", METHODS, "what it sends if its model can; late: boxes alone")
        process.declare(
            self,
            "budget_bytes",
            0,
            "limit of one encoded message, 0 for none",
            low=0,
            high=1 << 20,
            is_settable=True,
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
        self._own_features = own_features
        self._demand: DemandMap | None = None
        self._sequence = self._bytes_sent = self._last_bytes = 0
        self._dropped = self._failed = 0
        self._demands_heard = self._demands_refused = 0
        self._last_ms = 0.0
        self._join: PoseJoin[PointCloud2, PoseWithCovarianceStamped] = PoseJoin(
            int(tolerance * 1e6), depth + _DEPTH_ABOVE_QUEUE
        )
        self.detector = load_model(model, device)
        has_features = own_features is None and sends_features(method, self.detector)
        check_message_budget(self._agent_id, self._budget_bytes, has_features)
        self._sender = self._feature_sender(with_boxes=method == "hybrid") if has_features else None
        self.add_on_set_parameters_callback(self._on_parameters)
        self._create_publishers()
        # The first frame is the slowest by far: it is not to be one that somebody waits for.
        _warm_up(self.detector, method if own_features or has_features else "late")
        self._worker: Worker[Work] = Worker(self, "detector", self._process, depth)
        # Only now: who sees these subscriptions may rely on an answer. The demand comes first: it is taken
        # before a cloud that arrives behind it, and who sees the others knows that this one is there too.
        if self._sender is not None:
            process.Listener(
                self, UInt8MultiArray, "~/input/demand", self._on_demand, _DEMAND_DEPTH, at_once=True
            )
        for kind, topic, callback in (
            (PointCloud2, "~/input/points", self._on_cloud),
            (PoseWithCovarianceStamped, "~/input/pose", self._on_pose),
        ):
            process.Listener(self, kind, topic, callback, depth + _DEPTH_ABOVE_QUEUE)
        self.create_timer(1.0, self._report)
        self.get_logger().info(
            f"agent '{self._agent_id}' runs {self.detector.name} on {device} and sends {self._what}"
        )

    def close(self) -> None:
        """Let the detector finish its frame."""
        self._worker.close()

    @property
    def _what(self) -> str:
        return "boxes" if self._sender is None else "features"

    @property
    def _budget_bytes(self) -> int | None:
        return self.get_parameter("budget_bytes").value or None

    def _feature_sender(self, *, with_boxes: bool) -> FeatureSender:
        assert isinstance(self.detector, CooperativeDetector)
        return FeatureSender(self._agent_id, self.detector, self.detector.sharing, with_boxes=with_boxes)

    def _create_publishers(self) -> None:
        output = "~/output/objects" if self._sender is None else "~/output/features"
        self._messages = self.create_publisher(UInt8MultiArray, output, qos.V2X)
        self._markers = self.create_publisher(MarkerArray, "~/output/markers", qos.RESULT)
        self._processing_time = self.create_publisher(Float64, "~/debug/processing_time_ms", qos.RESULT)
        self._tx_bytes = self.create_publisher(UInt64, "~/debug/tx_bytes", qos.RESULT)
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)
        self._maps = None if self._sender is None else DebugMaps(self)

    def _on_parameters(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        """Refuse a budget that no message fits; the others are read where they are used."""
        for parameter in parameters:
            if parameter.name == "budget_bytes":
                try:
                    check_message_budget(
                        self._agent_id, parameter.value or None, has_features=self._sender is not None
                    )
                except CosenseError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_demand(self, message: UInt8MultiArray) -> None:
        try:
            demand = read_demand(conversions.message_to_bytes(message), self._agent_id)
        except MessageError as error:
            self._demands_refused += 1
            self.get_logger().warning(f"demand is not used: {error}", throttle_duration_sec=1.0)
            return
        if demand is not None:
            self._demands_heard += 1
            self._demand = demand

    def _on_cloud(self, cloud: PointCloud2) -> None:
        self._enqueue(self._join.add_cloud(conversions.to_ns(cloud.header.stamp), cloud))

    def _on_pose(self, pose: PoseWithCovarianceStamped) -> None:
        self._enqueue(self._join.add_pose(conversions.to_ns(pose.header.stamp), pose))

    def _enqueue(self, complete: list[Measured]) -> None:
        for cloud, pose in complete:
            self._dropped += self._worker.put((cloud, pose, self._demand))

    def _process(self, work: Work) -> None:
        """Run the network on one cloud and send what comes out."""
        cloud, pose, demand = work
        start = time.monotonic()
        stamp_ns = conversions.to_ns(cloud.header.stamp)
        try:
            T_world_agent, covariance = conversions.message_to_pose(pose)
            points = conversions.cloud_to_points(cloud)
            frame = AgentFrame(self._agent_id, self._kind, stamp_ns, T_world_agent, points, covariance)
            features = self.detector.encode(points)
            detections = self.detector.decode(features)
            data = self._message(frame, features, detections, demand)
        except CosenseError as error:
            self._failed += 1
            self.get_logger().error(f"cloud at {stamp_ns} ns: {error}", throttle_duration_sec=1.0)
            return
        self._sequence += 1
        self._last_bytes = len(data)
        self._bytes_sent += len(data)
        if self._own_features is not None:
            self._own_features.put(data, features)
        self._messages.publish(conversions.bytes_to_message(data))
        self._last_ms = (time.monotonic() - start) * 1e3
        frame_id = cloud.header.frame_id
        self._markers.publish(detections_to_markers(detections, stamp_ns, frame_id))
        self._processing_time.publish(Float64(data=self._last_ms))
        self._tx_bytes.publish(UInt64(data=len(data)))
        if self._sender is not None and self._maps is not None and self._maps.are_watched:
            maps = self._sender.explain(frame, features, data)
            self._maps.publish(maps, features.ground_m, stamp_ns, frame_id)

    def _message(
        self, frame: AgentFrame, features: BevFeatures, detections: Detections, demand: DemandMap | None
    ) -> bytes:
        budget_bytes = self._budget_bytes
        if self._sender is None:
            return share(frame, detections, self.detector, PayloadKind.OBJECTS, self._sequence, budget_bytes)
        self._sender.budget_bytes, self._sender.demand = budget_bytes, demand
        return self._sender.send(frame, features, detections, self._sequence)

    def _report(self) -> None:
        """Tell once a second how it goes."""
        values = {
            "sends": self._what,
            "budget_bytes": self._budget_bytes or "none",
            "bytes of the last message": self._last_bytes,
            "bytes sent": self._bytes_sent,
            "sent": self._sequence,
            "demands heard": self._demands_heard,
            "demands refused": self._demands_refused,
            "dropped, detector too slow": self._dropped,
            "dropped, no pose": self._join.without_pose,
            "failed": self._failed,
            "processing_time_ms": f"{self._last_ms:.1f}",
            "model": self.detector.name,
        }
        level, message = process.OK, "detects"
        if self._failed:
            level, message = process.ERROR, "some clouds could not be used"
        elif self._dropped or self._join.without_pose:
            level, message = process.WARN, "some clouds were dropped"
        line = process.status(f"agent/{self._agent_id}", level, message, values)
        self._diagnostics.publish(process.diagnostics([line], self.get_clock().now().nanoseconds))


def _warm_up(detector: Detector, method: str) -> None:
    """Let two agents that do not exist cooperate for one frame."""
    points = np.random.default_rng(0).uniform(-1, 1, (1000, 4)).astype(np.float32)
    frames = [AgentFrame(name, "vehicle", 0, np.eye(4), points) for name in ("ego", "other")]
    cooperate(frames, detector, method, sequence=0)


def main() -> None:
    """Run the node."""
    process.run(AgentNode)


if __name__ == "__main__":
    main()
