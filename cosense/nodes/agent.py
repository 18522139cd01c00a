"""One vehicle or roadside unit: its cloud and pose in, what it shares with others out as encoded messages.

    ~/input/points    PointCloud2                ~/output/messages  UInt8MultiArray, docs/wire_format.md
    ~/input/pose      PoseWithCovarianceStamped  ~/output/markers   MarkerArray for RViz
    ~/input/requests  UInt8MultiArray            ~/debug/supply, demand, selection, difference: OccupancyGrid
    ~/input/<camera>/image, camera_info          where the detector looks at images, see agent_cameras.py
                                                 ~/debug/processing_time_ms, ~/debug/tx_bytes, /diagnostics

Whether its messages go out over the radio or to the vehicle's own fusion is a matter of the topic that
`~/output/messages` is mapped to. The network runs in a thread of its own behind a bounded queue: when it
cannot keep up, the oldest clouds are dropped and counted. `budget_bytes` may be set at run time and holds
from the next message on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2
from std_msgs.msg import Float64, UInt8MultiArray, UInt64
from visualization_msgs.msg import MarkerArray

from cosense import topics
from cosense.cooperation.kinds import LiveFusion
from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.cooperation.sender import Sender
from cosense.detectors.base import BevFeatures
from cosense.detectors.camera_pillars import CameraFeatures
from cosense.detectors.forward_time import ForwardTime
from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.demand import DemandMap
from cosense.messages.envelope import MessageError, PayloadKind
from cosense.methods.model import Model, load_model
from cosense.nodes.agent_cameras import BlindMoments, Pictured, Way
from cosense.nodes.agent_parameters import declare_agent
from cosense.nodes.debug_maps import DebugMaps
from cosense.nodes.feature_store import FeatureStore, OwnFrame
from cosense.nodes.image_join import ImageJoin, WithImages
from cosense.nodes.pose_join import Placed, PoseJoin
from cosense.nodes.ros import conversions, process, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.markers import markers_alone
from cosense.nodes.ros.trace import Stages, Stopwatch, Trace
from cosense.nodes.ros.worker import Mailbox, Worker
from cosense.nodes.warm_up import warm_up_sender
from cosense.sensing.cloud import SensorClouds
from cosense.sensing.frame import AgentFrame

# What waits in DDS, beside what waits for the network.
_DEPTH_ABOVE_QUEUE = 4
# Clouds that wait for their pose: those between two poses of 1 Hz.
_WAITING = 32
_REQUEST_DEPTH = 16
# A sensor that is silent for longer is worth a warning.
_SILENT_S = 2.0
# How often clouds are looked at that wait for an image.
_LOOK_S = 0.02
NO_POINTS = np.zeros((0, 4), np.float32)
# Streams that make a frame.
_CLOUD, _POSE = "cloud", "pose"


@dataclass(frozen=True)
class Work:
    """A cloud, its pose and images, the request that was known when it came, when that was (monotonic)."""

    cloud: PointCloud2
    pose: TimedPose
    pictures: WithImages[Placed[PointCloud2], Pictured]
    request: DemandMap | None
    arrived_ns: int

    @property
    def stamp_ns(self) -> int:
        return conversions.to_ns(self.cloud.header.stamp)


class AgentNode(ManagedNode):
    """See the module.

    Attributes:
        model: what it runs, None before it is configured.
    """

    def __init__(self, own_features: FeatureStore | None = None) -> None:
        """Declare the parameters.

        Args:
            own_features: store in which the ego leaves its features for its own fusion; None for an agent
                that sends to others.
        """
        super().__init__("agent")
        self._settings = declare_agent(self)
        self._trace = Trace(self)
        self._own_features = own_features
        self._worker: Worker[Work] | None = None
        self._sender: Sender | None = None
        self.model: Model | None = None
        self.add_on_set_parameters_callback(self._on_parameters)

    def build(self) -> None:
        """Load the model and get ready to send."""
        self._sequence = self._bytes_sent = self._last_bytes = self._dropped = self._failed = 0
        self._last_failure = ""
        self._lately = process.Lately()
        self._stages = Stages()
        self._lidar = SensorClouds(self._settings.agent_id, tell=self._tell_of_clouds)
        self._requests_received = self._requests_refused = self._without_pose = self._poses_refused = 0
        self._why_without_pose = ""
        # The frame of the first message of each stream.
        self._frames: dict[str, str] = {}
        self._join: PoseJoin[PointCloud2] = PoseJoin(
            self.resolve_topic_name("~/input/pose"), int(self._settings.pose_gap_ms * 1e6), _WAITING
        )
        self.model = model = load_model(self._settings.model, self._settings.device)
        mounted = self._settings.cameras.T_camera_agent if "camera" in model.detector.needs else {}
        self._pictures: ImageJoin[Placed[PointCloud2], Pictured] = ImageJoin(
            list(mounted), int(self._settings.image_wait_ms * 1e6), int(self._settings.image_gap_ms * 1e6)
        )
        self._infos: dict[str, CameraInfo | None] = dict.fromkeys(mounted)
        self._blind = BlindMoments(int(self._settings.lidar_gap_ms * 1e6))
        self._way = Way()
        self._without_lidar = self._without_image = 0
        self._lost: tuple[str, ...] = ()
        self._perceiver = Perceiver(model.detector)
        # Its features never leave the ego: its own fusion gets boxes like anybody's.
        fusion: LiveFusion = self._settings.fusion if self._own_features is None else "late"
        self._sender = Sender(
            self._settings.agent_id,
            model,
            fusion,
            registration=self._settings.registration,
            budget_bytes=self._budget_bytes,
            signer=self._settings.trust.signer,
            membership=self._settings.trust.membership,
        )
        self._networks = ForwardTime([model.method.network] if self._sends_features else [])
        self._create_publishers()
        # The first frame is the slowest by far: it is not to be one that somebody waits for.
        warm_up_sender(model, fusion)
        self._inbox: Mailbox[Work] = Mailbox(self._settings.queue_depth)
        self._worker = Worker(self, "detector", self._process, self._inbox)
        self.get_logger().info(
            f"agent '{self._settings.agent_id}' runs {model.name} on {self._settings.device} "
            f"and sends {self._what}"
        )

    def listen(self) -> None:
        """Take clouds, poses and requests."""
        # Others who see these subscriptions rely on an answer. Requests come first: they are taken before a
        # cloud that arrives behind them, and where the other subscriptions are seen this one is there too.
        if self._sends_features:
            self.subscribe(UInt8MultiArray, "~/input/requests", self._on_request, _REQUEST_DEPTH)
        depth = self._settings.queue_depth + _DEPTH_ABOVE_QUEUE
        self._sensors = {
            stream: self.subscribe(kind, topic, partial(self._on_measured, stream), depth)
            for stream, kind, topic in (
                (_CLOUD, PointCloud2, "~/input/points"),
                (_POSE, PoseWithCovarianceStamped, "~/input/pose"),
            )
        }
        for camera in self._infos:
            topic = f"~/input/{camera}"
            self.subscribe(CameraInfo, f"{topic}/camera_info", partial(self._on_info, camera), depth)
            self.subscribe(CompressedImage, f"{topic}/image", partial(self._on_image, camera), depth)
        if self._infos:
            self.every(_LOOK_S, lambda: self._hand_on(self._pictures.ready(time.monotonic_ns())))
        self.every(1.0, self._report)
        self.every(1.0, self._settings.trust.follow_roster)

    def close(self) -> None:
        """Let the detector finish its frame, and forget it."""
        if self._worker is not None:
            self._worker.close()
            self._networks.close()
        self._worker = self._sender = self.model = None
        self._trace.close()

    @property
    def _what(self) -> str:
        return "features" if self._sends_features else "boxes"

    @property
    def _sends_features(self) -> bool:
        return self._sender is not None and self._sender.kind == PayloadKind.FEATURES

    @property
    def _budget_bytes(self) -> int | None:
        return self.get_parameter("budget_bytes").value or None

    def _create_publishers(self) -> None:
        self._messages = self.publisher(UInt8MultiArray, "~/output/messages", qos.V2X)
        self._markers = self.publisher(MarkerArray, "~/output/markers", qos.RESULT)
        self._processing_time = self.publisher(Float64, "~/debug/processing_time_ms", qos.RESULT)
        self._tx_bytes = self.publisher(UInt64, "~/debug/tx_bytes", qos.RESULT)
        self._diagnostics = self.publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)
        self._maps = DebugMaps(self) if self._sends_features else None

    def _on_parameters(self, parameters: Iterable[Parameter]) -> SetParametersResult:
        """Refuse a budget that no message fits; the others are read where they are used."""
        for parameter in parameters:
            if parameter.name == "budget_bytes" and self._sender is not None:
                try:
                    self._sender.check_budget(parameter.value or None)
                except CosenseError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_request(self, message: UInt8MultiArray) -> None:
        data, now_ns = conversions.message_to_bytes(message), self.get_clock().now().nanoseconds
        try:
            self._requests_received += self._sender.receive_request(data, now_ns)
        except MessageError as error:
            self._requests_refused += 1
            self.get_logger().warning(f"request is not used: {error}", throttle_duration_sec=1.0)

    def _on_measured(self, stream: str, message: PointCloud2 | PoseWithCovarianceStamped) -> None:
        """Take a message of one sensor and hand on the frames that are complete with it."""
        stamp_ns, now_ns = conversions.to_ns(message.header.stamp), time.monotonic_ns()
        done = []
        for placed in self._place(stream, stamp_ns, message):
            if placed.pose is not None:
                done += self._pictures.add_cloud(placed.stamp_ns, placed, now_ns)
                continue
            self._without_pose += 1
            self._why_without_pose = placed.reason
            self._trace.write(placed.stamp_ns, dropped=placed.reason)
            self.get_logger().warning(f"no pose: {placed.reason}", throttle_duration_sec=1.0)
        self._hand_on(done)

    def _on_info(self, camera: str, info: CameraInfo) -> None:
        self._infos[camera] = info

    def _on_image(self, camera: str, image: CompressedImage) -> None:
        """Take an image and hand on the frames that are complete with it; it may make one by itself."""
        stamp_ns = conversions.to_ns(image.header.stamp)
        pictured = Pictured(image, self._infos[camera])
        self._hand_on(self._pictures.add_image(camera, stamp_ns, pictured, time.monotonic_ns()))
        if self._blind.is_one(stamp_ns):
            frame = self._frames.get(_CLOUD, topics.lidar_frame(self._settings.agent_id))
            self._on_measured(_CLOUD, conversions.points_to_cloud(NO_POINTS, stamp_ns, frame))

    def _hand_on(self, done: Sequence[WithImages[Placed[PointCloud2], Pictured]]) -> None:
        """Give the detector what is complete."""
        assert self._sender is not None
        works = []
        for pictures in done:
            placed = pictures.cloud
            assert placed.pose is not None
            works.append(Work(placed.cloud, placed.pose, pictures, self._sender.request, time.monotonic_ns()))
        # A pose may complete several clouds at once, and the detector has time for them until the next.
        for work in self._inbox.put_together(works):
            self._dropped += 1
            self._trace.write(work.stamp_ns, dropped="the detector was too slow")

    def _place(
        self, stream: str, stamp_ns: int, message: PointCloud2 | PoseWithCovarianceStamped
    ) -> list[Placed[PointCloud2]]:
        """Return what becomes of the clouds that a message decides on; an invalid pose is left out."""
        try:
            self._check_frame(stream, message.header.frame_id.lstrip("/"))
            if stream == _CLOUD:
                if message.width * message.height:
                    self._blind.add_cloud(stamp_ns)
                return self._join.add_cloud(stamp_ns, message)
            return self._join.add_pose(TimedPose(stamp_ns, *conversions.message_to_pose(message)))
        except CosenseError as error:
            if stream == _CLOUD:
                return [Placed(message, stamp_ns, None, str(error))]
            self._poses_refused += 1
            self.get_logger().warning(str(error), throttle_duration_sec=1.0)
            return []

    def _check_frame(self, stream: str, frame: str) -> None:
        """Refuse a message in another frame than the first one: of another sensor, or in another world."""
        if stream == _POSE and not self._frames.get(_POSE) and frame.rpartition("/")[2] == "odom":
            self.get_logger().warning(
                f"poses are in '{frame}', and every robot has an odom of its own, which begins where it "
                "started (REP 105): others can place what this agent sends only by poses in a common map"
            )
        first = self._frames.setdefault(stream, frame)
        if frame != first:
            raise CosenseError(
                f"a {stream} in frame '{frame}', where the first one was in '{first}': give each sensor and "
                "each localisation a topic of its own"
            )

    def _tell_of_clouds(self, level: int, note: str) -> None:
        """Write to the log what is assumed of the clouds."""
        if level >= logging.WARNING:
            self.get_logger().warning(note)
        else:
            self.get_logger().info(note)

    def _process(self, work: Work) -> None:
        """Run the network on one cloud and send what comes out."""
        assert self._sender is not None
        watch = Stopwatch(work.arrived_ns)
        stamp_ns, frame_id = work.stamp_ns, work.cloud.header.frame_id
        self._perceiver.score_threshold = self.get_parameter("score_threshold").value
        self._sender.budget_bytes = self._budget_bytes
        watch.lap("wait for the detector")
        try:
            cloud = self._lidar.read(conversions.cloud_to_raw(work.cloud))
            self._way.add(work.pose)
            cameras, reasons = self._settings.cameras.cameras(work.pictures.images, stamp_ns, self._way)
            own = self._perceiver.perceive(
                AgentFrame(
                    self._settings.agent_id,
                    self._settings.kind,
                    stamp_ns,
                    work.pose.T_world_frame,
                    cloud.points,
                    work.pose.covariance,
                    cameras,
                    rings=cloud.rings,
                )
            )
            watch.lap("convert")
            detections = own.detections
            watch.lap("detect")
            self._networks.take_ms()
            data = self._sender.message(own, self._sequence, work.request)
            assert data is not None
            watch.lap("share, network", self._networks.take_ms())
            watch.lap("share")
            graph = self._surroundings(own)
            if graph is not None:
                watch.lap("scene graph")
        except CosenseError as error:
            self._failed += 1
            self._last_failure = str(error)
            self._trace.write(stamp_ns, dropped=str(error))
            self.get_logger().error(f"cloud at {stamp_ns} ns: {error}", throttle_duration_sec=1.0)
            return
        messages = [data] if graph is None else [graph, data]
        self._last_bytes = sum(map(len, messages))
        self._bytes_sent += self._last_bytes
        self._lost = self._lost_sensors(own, {**work.pictures.missing, **reasons})
        if self._own_features is not None:
            self._own_features.put(self._sequence, stamp_ns, OwnFrame(own.encoded, own.frame, self._lost))
        for message in messages:
            self._messages.publish(conversions.bytes_to_message(message))
        self._sequence += 1
        watch.lap("publish")
        self._trace.write(stamp_ns, watch)
        self._stages.add(watch)
        if self._markers.get_subscription_count():
            seen = detections.transformed(own.frame.T_sensor_level)
            self._markers.publish(markers_alone(seen, self._settings.agent_id, stamp_ns, frame_id))
        self._processing_time.publish(Float64(data=watch.total_ms))
        self._tx_bytes.publish(UInt64(data=self._last_bytes))
        if self._maps is not None and self._maps.are_watched:
            assert isinstance(own.encoded, BevFeatures)
            maps = self._sender.explain(own, work.request, data)
            T_level_ground = transform_from_planar(0, 0, 0, own.frame.ground.plane_m)
            self._maps.publish(maps, own.frame.T_sensor_level @ T_level_ground, stamp_ns, frame_id)

    def _lost_sensors(self, own: Perceived, reasons: Mapping[str, str]) -> tuple[str, ...]:
        """Return what the frame lacks of what the agent could measure, and why."""
        if isinstance(own.encoded, CameraFeatures):
            reasons = {**reasons, **own.encoded.left_out}
        is_blind = bool(self._infos) and not len(own.frame.points)
        self._without_lidar += is_blind
        self._without_image += len(reasons) > 0
        said = ("the LiDAR has sent no points",) if is_blind else ()
        return (*said, *reasons.values())

    def _surroundings(self, own: Perceived) -> bytes | None:
        """Return the scene graph of a frame as a message, None where nobody wants it.

        One that cannot be made is reported and does not keep the frame from being sent.
        """
        assert self._sender is not None
        try:
            return self._sender.surroundings(own, self._sequence)
        except CosenseError as error:
            self.get_logger().error(f"no scene graph: {error}", throttle_duration_sec=1.0)
            return None

    def _report(self) -> None:
        """Publish once a second how it goes."""
        assert self.model is not None
        values = {
            "sends": self._what,
            "budget_bytes": self._budget_bytes or "none",
            "bytes of the last frame": self._last_bytes,
            "bytes sent": self._bytes_sent,
            "sent": self._sequence,
            "requests received": self._requests_received,
            "requests refused": self._requests_refused,
            "dropped, detector too slow": self._dropped,
            "dropped, no pose": self._without_pose,
            "clouds that came twice": self._join.repeated,
            "poses that are not valid": self._poses_refused,
            "frames without a cloud": self._without_lidar,
            "frames that lack an image": self._without_image,
            "failed": self._failed,
            "model": self.model.name,
            **self._settings.trust.figures(),
            **self._stages.summary(),
        }
        level, message = self._health()
        agent_id = self._settings.agent_id
        line = process.status(f"agent/{agent_id}", agent_id, level, message, values)
        self._diagnostics.publish(process.diagnostics([line], self.get_clock().now().nanoseconds))

    def _health(self) -> tuple[bytes, str]:
        """Return how it is at present: what has been well again for `process.LATELY_S` does not count."""
        lately = self._lately.growth(
            {
                "failed": self._failed,
                "dropped, the detector is too slow": self._dropped,
                "dropped, no pose": self._without_pose,
            }
        )
        if lately.pop("failed"):
            return process.ERROR, f"a cloud could not be used: {self._last_failure}"
        said = [
            f"no {stream} on {listener.topic} for {silent_s:.0f} s: {listener.why_silent}"
            for stream, listener in self._sensors.items()
            if (silent_s := listener.silence.lasts_s) > _SILENT_S
        ]
        said += [
            f"clouds {what}: {count} in {process.LATELY_S:g} s" for what, count in lately.items() if count
        ]
        if lately["dropped, no pose"]:
            said.append(self._why_without_pose)
        said += self._lost
        return (process.WARN, "; ".join(said)) if said else (process.OK, "detects")


def main() -> None:
    """Run the node."""
    process.run(AgentNode, "agent")


if __name__ == "__main__":
    main()
