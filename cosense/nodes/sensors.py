"""The sensors of all agents, as topics: what a frame of a data set becomes when it is played.

For each agent PointCloud2 and PoseWithCovarianceStamped with the same stamp, images and calibration where
there are cameras and somebody listens; for all together the ground truth, /clock, and /cosense/frame, with
which a bag of all this is the same data set again. Names: topics.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from cosense import topics
from cosense.data.bag.frame_record import record_of, record_to_text
from cosense.data.dataset import NO_LABELS, CooperativeFrame
from cosense.evaluation.runs.pose_noise import BelievedPoses, PoseNoise
from cosense.geometry.transforms import displaced, invert
from cosense.nodes.ros import conversions, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.markers import objects_to_markers
from cosense.sensing.frame import AgentFrame, Camera

try:
    from tf2_msgs.msg import TFMessage
except ImportError:  # not among the wheels; the recorder then makes /tf from the poses
    TFMessage = None


class SensorOutputs:
    """Publishers of the sensors of some agents."""

    def __init__(
        self,
        node: ManagedNode,
        agents: Sequence[str],
        ego: str,
        label_set: str,
        skews_ns: Mapping[str, int],
        pose_errors: Mapping[str, tuple[float, float, float]],
        pose_error: PoseNoise,
        lost: Mapping[str, Mapping[str, tuple[int, int]]],
        watched: Sequence[str],
    ) -> None:
        """Announce them.

        Args:
            node: node that publishes.
            agents: ids of the agents that are played here.
            ego: id of the agent whose ground truth is published.
            label_set: label set of the ground truth.
            skews_ns: error of each agent's clock, positive where it is ahead.
            pose_errors: unannounced error of each agent's pose: x, y in the world (m), heading (degrees).
            pose_error: error of the poses between the agents.
            lost: first and last frame, counted from 1, in which a sensor sends nothing, by agent and sensor.
            watched: agents whose images somebody looks at.
        """
        self._node = node
        self._agents = agents
        self._ego = ego
        self._skews_ns = skews_ns
        self._pose_errors = pose_errors
        self._pose_error = pose_error
        self._poses_believed = BelievedPoses(pose_error, seed=0)
        self._label_set = label_set
        self._lost = lost
        self._watched = watched
        self._not_played: set[str] = set()
        self._points = {a: self._publisher(PointCloud2, topics.points_topic(a)) for a in agents}
        self._poses = {a: self._publisher(PoseWithCovarianceStamped, topics.pose_topic(a)) for a in agents}
        self._images: dict[str, Publisher] = {}
        # One of each for everybody, however many machines play a part of the agents: where the ego is.
        self._is_ego_here = ego in agents
        if self._is_ego_here:
            self._ground_truth = self._publisher(MarkerArray, topics.GROUND_TRUTH)
            self._record = self._publisher(String, topics.FRAME)
            self._time = self._publisher(Clock, topics.CLOCK)
        self._tf = None if TFMessage is None else self._publisher(TFMessage, topics.TF)

    def prepare(self, frame: CooperativeFrame) -> None:
        """Announce the cameras of the first frame, so that listeners find them before it is played."""
        # Who is left out of the first frame is left out on purpose.
        self._not_played = set(frame.agents) - set(self._agents)
        for agent_id in self._agents:
            agent = frame.agents.get(agent_id)
            for camera in () if agent is None else agent.cameras:
                for topic, kind, _ in _image_forms(agent_id, camera):
                    self._images[topic] = self._publisher(kind, topic)

    def missing_listeners(self, *, recorded: bool) -> list[str]:
        """Return the topics that somebody has to listen to before it makes sense to play.

        Args:
            recorded: whether a recorder is expected on each topic.
        """
        needed = dict.fromkeys((*self._points.values(), *self._poses.values()), 1 + recorded)
        for topic, publisher in self._images.items():
            if not topic.endswith("image_raw"):
                is_watched = any(topic.startswith(f"/{topics.namespace_of(name)}/") for name in self._watched)
                needed[publisher] = is_watched + recorded
        if recorded:
            if self._is_ego_here:
                needed |= dict.fromkeys((self._ground_truth, self._record, self._time), 1)
            if self._tf is not None:
                needed[self._tf] = 1
        return [p.topic_name for p, count in needed.items() if p.get_subscription_count() < count]

    def publish_time(self, stamp_ns: int) -> None:
        """Publish /clock, where the ego is."""
        if self._is_ego_here:
            self._time.publish(Clock(clock=conversions.to_time(stamp_ns)))

    def messages(self, frame: CooperativeFrame, number: int) -> list[tuple[Publisher, Any]]:
        """Return what all agents have measured, with the publisher of each, in the order to publish them.

        Making them takes longer than publishing them. What the agents wait for comes first.

        Args:
            frame: what was measured.
            number: of the frame, counted from 1.
        """
        agents = self._as_they_believe(frame)
        made = [message for agent in agents.values() for message in self._messages_of(agent, number)]
        if self._is_ego_here:
            played = dataclasses.replace(
                frame, agents=agents, provenance=frame.provenance.changed(*self._changes(agents))
            )
            record = record_of(played, self._label_set)
            made.append((self._record, String(data=record_to_text(record))))
            ego_frame = topics.lidar_frame(self._ego)
            truth = objects_to_markers(frame.ground_truth, frame.ego.stamp_ns, ego_frame)
            if record.label_set != NO_LABELS:
                made.append((self._ground_truth, truth))
        for agent_id in sorted(set(frame.agents) - set(self._agents) - self._not_played):
            self._not_played.add(agent_id)
            self._node.get_logger().warning(
                f"agent '{agent_id}' is not played: only agents of the first frame take part"
            )
        return made

    def stamps_ns(self, frame: CooperativeFrame) -> dict[str, int]:
        """Return the stamps with which the agents are played, by namespace."""
        believed = self._as_they_believe(frame)
        return {topics.namespace_of(name): agent.stamp_ns for name, agent in believed.items()}

    def _changes(self, agents: Iterable[str]) -> Iterator[str]:
        """Yield in words what is added to the measurements of some agents on purpose."""
        for agent_id in agents:
            if self._pose_error.preset and agent_id != self._ego:
                yield f"pose error {self._pose_error.preset} of {agent_id}"
            if any(self._pose_errors.get(agent_id, ())):
                yield f"pose error of {agent_id}"
            if self._skews_ns.get(agent_id):
                yield f"clock error of {agent_id}"

    def _as_they_believe(self, frame: CooperativeFrame) -> dict[str, AgentFrame]:
        """Return the agents that are played with the stamps and poses that they believe in."""
        milliseconds = max(frame.ego.stamp_ns, 0) // 1_000_000
        believed = {agent.agent_id: agent for agent in self._poses_believed.of(frame, milliseconds)}
        return {name: self._as_it_believes(believed[name]) for name in self._agents if name in believed}

    def _as_it_believes(self, agent: AgentFrame) -> AgentFrame:
        """Return an agent with the stamp that its own clock gives, and where it believes to be."""
        skew_ns = self._skews_ns.get(agent.agent_id, 0)
        if skew_ns:
            agent = dataclasses.replace(agent, stamp_ns=max(agent.stamp_ns + skew_ns, 0))
        if agent.agent_id in self._pose_errors:
            x, y, degrees = self._pose_errors[agent.agent_id]
            T_world_agent = displaced(agent.T_world_agent, [x, y, np.deg2rad(degrees)])
            agent = dataclasses.replace(agent, T_world_agent=T_world_agent)
        return agent

    def _messages_of(self, agent: AgentFrame, number: int) -> Iterator[tuple[Publisher, Any]]:
        spans = self._lost.get(agent.agent_id, {}).items()
        lost = {sensor for sensor, (first, last) in spans if first <= number <= last}
        if "all" in lost:
            return
        yield (
            self._poses[agent.agent_id],
            conversions.pose_to_message(agent.T_world_agent, agent.pose_covariance, agent.stamp_ns),
        )
        if self._tf is not None:
            yield self._tf, TFMessage(transforms=list(_transforms(agent)))
        if "lidar" not in lost:
            frame_id = topics.lidar_frame(agent.agent_id)
            cloud = conversions.points_to_cloud(agent.points, agent.stamp_ns, frame_id, agent.rings)
            yield self._points[agent.agent_id], cloud
        for camera in () if "camera" in lost else agent.cameras:
            camera_frame = topics.camera_frame(agent.agent_id, camera.name)
            for topic, _, convert in _image_forms(agent.agent_id, camera):
                publisher = self._images.get(topic)
                # Pictures are large: only in the forms that somebody listens to.
                if publisher is not None and publisher.get_subscription_count():
                    yield publisher, convert(camera, camera_frame)

    def _publisher(self, kind: type, topic: str) -> Publisher:
        return self._node.publisher(kind, topic, qos.REPLAY)


def _image_forms(agent_id: str, camera: Camera) -> tuple[tuple[str, type, Callable[[Camera, str], Any]], ...]:
    """Return topic, type and conversion of each form of an image, and of its calibration."""
    topic = topics.image_topic(agent_id, camera.name)
    return (
        (topic, Image, conversions.image_to_message),
        (f"{topic}/compressed", CompressedImage, conversions.image_to_jpeg),
        (topics.camera_info_topic(agent_id, camera.name), CameraInfo, conversions.camera_to_info),
    )


def _transforms(agent: AgentFrame) -> Iterator[TransformStamped]:
    """Yield where the agent's sensors are: its LiDAR in the map, its cameras on the LiDAR."""
    lidar = topics.lidar_frame(agent.agent_id)
    yield conversions.pose_to_transform(agent.T_world_agent, agent.stamp_ns, topics.MAP_FRAME, lidar)
    for camera in agent.cameras:
        frame_id = topics.camera_frame(agent.agent_id, camera.name)
        T_agent_camera = invert(camera.T_camera_agent)
        yield conversions.pose_to_transform(T_agent_camera, agent.stamp_ns, lidar, frame_id)
