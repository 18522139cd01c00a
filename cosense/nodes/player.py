"""Plays a data set or a simulation as if its sensors were there.

For each agent PointCloud2 and PoseWithCovarianceStamped with the same stamp, images and calibration where
there are cameras and somebody listens; for all together the ground truth and /clock. Names: topics.py.

Mode "drain" publishes the next frame when the fusion has answered the one before, so that nothing is lost
however slow the machine is; mode "rate" keeps the time of the recording. It starts when everybody who has to
listen listens, and ends with the last frame. Each frame becomes one line of the journal.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Float64
from visualization_msgs.msg import MarkerArray

from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.fusion.journal import LineWriter
from cosense.geometry.transforms import invert
from cosense.nodes import conversions, process, qos, topics
from cosense.nodes.markers import objects_to_markers
from cosense.nodes.scenario import SimulatedSource, Source, frames_of
from cosense.sensing.frame import AgentFrame, Camera

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not among the wheels; the recorder then makes /tf from the poses
    TFMessage = None

_FRAMES_AHEAD = 2
_POLL_S = 0.05
_DELIVERY_S = 2.0
_DEPTH = 16
# A longer gap between two frames, or a jump back, is the seam between two recordings.
_LONGEST_GAP_S = 1.0
_USUAL_GAP_S = 0.1


class PlayerNode(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("player")
        self._source = _source(self)
        self._frames = process.declare(self, "frames", 0, "how many to play, 0 for all", low=0, high=10**9)
        agents = process.needed(self, "agents", "who is played, with commas between")
        self._ego = process.needed(self, "ego", "whose ground truth is published")
        self._is_drain = (
            process.choose(self, "mode", ("drain", "rate"), "when the next frame comes") == "drain"
        )
        self._rate = process.declare(
            self, "rate", 1.0, "how many times faster than recorded", low=0.001, high=1000
        )
        self._timeout_s = process.declare(
            self, "timeout_s", 20.0, "drain: longest wait for one frame", low=0.01, high=3600
        )
        self._startup_timeout_s = process.declare(
            self, "startup_timeout_s", 120.0, "longest wait for those who listen", low=0.01, high=3600
        )
        self._is_recorded = process.declare(self, "recorded", False, "wait for a recorder on each topic")
        journal = process.declare(self, "journal", "", "file that gets one JSON line a frame; empty for none")
        self._journal = LineWriter(Path(journal)) if journal else None
        self._agents = agents.split(",")
        self._not_played: set[str] = set()
        self._awaited_ns: int | None = None
        self._points = {a: self._publisher(PointCloud2, topics.points_topic(a)) for a in self._agents}
        self._poses = {
            a: self._publisher(PoseWithCovarianceStamped, topics.pose_topic(a)) for a in self._agents
        }
        self._images: dict[str, Publisher] = {}
        self._ground_truth = self._publisher(MarkerArray, topics.GROUND_TRUTH)
        self._time = self._publisher(Clock, topics.CLOCK)
        self._tf = None if TFMessage is None else self._publisher(TFMessage, topics.TF)
        self._latency = self._publisher(Float64, "~/debug/pipeline_latency_ms")
        process.Listener(self, PointCloud2, topics.DETECTIONS, self._on_detections, _DEPTH)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def play(self) -> None:
        """Play everything.

        Raises:
            CosenseError: nobody listens, or there is nothing to play.
        """
        frames = _read_ahead(frames_of(self._source, self._frames or None))
        played = passed_over = 0
        previous_ns: int | None = None
        due_s = 0.0
        for frame in frames:
            if isinstance(frame, CosenseError) or frame.ego_id != self._ego:
                reason = frame if isinstance(frame, CosenseError) else f"its ego is '{frame.ego_id}'"
                self.get_logger().warning(f"a frame is passed over: {reason}")
                passed_over += 1
                continue
            if not played:
                # Who is left out of the first frame is left out on purpose.
                self._not_played = set(frame.agents) - set(self._agents)
                self._prepare_cameras(frame)
                self._wait_for_listeners()
            if not self._is_drain:
                due_s = max(due_s, time.monotonic()) if previous_ns is None else due_s
                due_s += _gap_s(previous_ns, frame.ego.stamp_ns) / self._rate
                self._spin_until(lambda: False, due_s - time.monotonic())
            previous_ns = frame.ego.stamp_ns
            self._play_frame(frame)
            played += 1
        if not played:
            raise CosenseError(f"nothing to play: {passed_over} frames were passed over")
        self._wait_until_delivered()
        self.get_logger().info(f"played {played} frames, passed over {passed_over}")

    def close(self) -> None:
        """Complete the journal."""
        if self._journal is not None:
            self._journal.close()

    def _play_frame(self, frame: CooperativeFrame) -> None:
        """Publish one frame; in mode drain also wait for the answer."""
        stamp_ns = frame.ego.stamp_ns
        start = time.monotonic()
        self._awaited_ns = stamp_ns
        self._publish(frame)
        latency_ms = None
        if self._is_drain:
            if self._spin_until(lambda: self._awaited_ns is None, self._timeout_s):
                latency_ms = (time.monotonic() - start) * 1e3
                self._latency.publish(Float64(data=latency_ms))
            else:
                self.get_logger().warning(
                    f"frame {frame.frame_id}: no detections within {self._timeout_s:g} s, going on without"
                )
        if self._journal is not None:
            self._journal.write(
                {
                    "frame_id": frame.frame_id,
                    "sequence": frame.sequence,
                    "stamp_ns": stamp_ns,
                    "latency_ms": latency_ms,
                }
            )

    def _publish(self, frame: CooperativeFrame) -> None:
        self._time.publish(Clock(clock=conversions.to_time(frame.ego.stamp_ns)))
        ego_frame = topics.lidar_frame(self._ego)
        self._ground_truth.publish(objects_to_markers(frame.ground_truth, frame.ego.stamp_ns, ego_frame))
        for agent_id in self._agents:
            agent = frame.agents.get(agent_id)
            if agent is not None:
                self._publish_agent(agent)
        for agent_id in sorted(set(frame.agents) - set(self._agents) - self._not_played):
            self._not_played.add(agent_id)
            self.get_logger().warning(
                f"agent '{agent_id}' is not played: only agents of the first frame take part"
            )

    def _publish_agent(self, agent: AgentFrame) -> None:
        pose = conversions.pose_to_message(agent.T_world_agent, agent.pose_covariance, agent.stamp_ns)
        self._poses[agent.agent_id].publish(pose)
        frame_id = topics.lidar_frame(agent.agent_id)
        if self._tf is not None:
            self._tf.publish(TFMessage(transforms=list(_transforms(agent))))
        cloud = conversions.points_to_cloud(agent.points, agent.stamp_ns, frame_id)
        self._points[agent.agent_id].publish(cloud)
        for camera in agent.cameras:
            self._publish_image(agent.agent_id, camera)

    def _publish_image(self, agent_id: str, camera: Camera) -> None:
        """Publish an image in the forms that somebody listens to: pictures are large."""
        topic, frame_id = (
            topics.image_topic(agent_id, camera.name),
            topics.camera_frame(agent_id, camera.name),
        )
        forms: list[tuple[str, Callable[[Camera, str], Any]]] = [
            (topic, conversions.image_to_message),
            (f"{topic}/compressed", conversions.image_to_jpeg),
            (topics.camera_info_topic(agent_id, camera.name), conversions.camera_to_info),
        ]
        for name, convert in forms:
            publisher = self._images.get(name)
            if publisher is not None and publisher.get_subscription_count():
                publisher.publish(convert(camera, frame_id))

    def _prepare_cameras(self, frame: CooperativeFrame) -> None:
        """Announce the cameras of the first frame, so that listeners find them before it is played."""
        for agent_id in self._agents:
            agent = frame.agents.get(agent_id)
            for camera in () if agent is None else agent.cameras:
                topic = topics.image_topic(agent_id, camera.name)
                info = topics.camera_info_topic(agent_id, camera.name)
                compressed = f"{topic}/compressed"
                self._images[topic] = self._publisher(Image, topic)
                self._images[compressed] = self._publisher(CompressedImage, compressed)
                self._images[info] = self._publisher(CameraInfo, info)

    def _wait_for_listeners(self) -> None:
        """Wait until each agent, and the recorder where there is one, listens to all it needs."""
        needed = dict.fromkeys((*self._points.values(), *self._poses.values()), 1 + self._is_recorded)
        if self._is_recorded:
            small = [p for topic, p in self._images.items() if not topic.endswith("image_raw")]
            needed |= dict.fromkeys((self._ground_truth, *small), 1)

        def missing() -> list[str]:
            found = [p.topic_name for p, count in needed.items() if p.get_subscription_count() < count]
            nobody_fuses = self._is_drain and not self.count_publishers(topics.DETECTIONS)
            return found + [topics.DETECTIONS] * nobody_fuses

        if not self._spin_until(lambda: not missing(), self._startup_timeout_s):
            raise CosenseError(
                f"after {self._startup_timeout_s:g} s somebody is still not there for: {', '.join(missing())}"
            )

    def _wait_until_delivered(self) -> None:
        """Stay until the last messages have arrived: a publisher that is gone sends nothing again."""
        end_s = time.monotonic() + _DELIVERY_S
        for publisher in self.publishers:
            publisher.wait_for_all_acked(Duration(seconds=max(end_s - time.monotonic(), 0.0)))

    def _on_detections(self, detections: PointCloud2) -> None:
        if conversions.to_ns(detections.header.stamp) == self._awaited_ns:
            self._awaited_ns = None

    def _spin_until(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        """Serve ROS until `is_done` or the time is up, and return whether it is done."""
        end_s = time.monotonic() + timeout_s
        while not is_done():
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(left_s, _POLL_S))
        return True

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self.create_publisher(kind, topic, qos.REPLAY)


def _transforms(agent: AgentFrame) -> Iterator[TransformStamped]:
    """Yield where the agent's sensors are: its LiDAR in the map, its cameras on the LiDAR."""
    lidar = topics.lidar_frame(agent.agent_id)
    yield conversions.pose_to_transform(agent.T_world_agent, agent.stamp_ns, topics.MAP_FRAME, lidar)
    for camera in agent.cameras:
        frame_id = topics.camera_frame(agent.agent_id, camera.name)
        T_agent_camera = invert(camera.T_camera_agent)
        yield conversions.pose_to_transform(T_agent_camera, agent.stamp_ns, lidar, frame_id)


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


def _source(node: Node) -> Source:
    """Declare where the frames come from."""
    data = process.declare(node, "data", "", "folder of a data set; empty to simulate")
    split = process.declare(node, "split", "", "split of the data set; empty for its default")
    labels = process.declare(node, "labels", "", "label set of the data set; empty for its default")
    cameras = process.declare(node, "cameras", False, "also play images")
    simulate = SimulatedSource(
        family=process.declare(node, "simulate.family", "crossing", "kind of scene"),
        seed=process.declare(node, "simulate.seed", 0, "of the scene", low=0, high=2**31),
        vehicles=process.declare(node, "simulate.vehicles", 1, "that measure", low=1, high=16),
        infrastructure=process.declare(node, "simulate.infrastructure", 1, "roadside units", low=0, high=16),
    )
    if data:
        return Source(data=Path(data), split=split or None, labels=labels or None, cameras=cameras)
    return Source(simulate=simulate, cameras=cameras)


def main() -> None:
    """Run the node."""
    process.run(PlayerNode, PlayerNode.play)


if __name__ == "__main__":
    main()
