"""What a bag holds, when it was measured, and who was where: all that is known before a frame is read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.data.bag import types as bag_types
from cosense.data.bag.cameras import find_cameras, image_topics
from cosense.data.bag.file import BagFile, Entry
from cosense.data.bag.frame_record import FrameRecord, record_from_text
from cosense.data.bag.poses import PoseTrack, TransformTree, timeline_of
from cosense.data.bag.timeline import Moment
from cosense.data.bag.topics import TRANSFORMS, BagOptions, find_agents, find_ground_truth
from cosense.geometry.transforms import Matrix
from cosense.topics import FRAME, points_topic


class BagIndex:
    """An open bag.

    Args:
        bag: the file.
        options: what the bag does not say by itself.
        cameras: also look for images.

    Attributes:
        bag, options: as given.
        ground_truth: topic of the labels, None where there are none.
        records: what the bag says about its frames, with the time of recording.
        tree: all transforms.
        agents: which topics belong to whom.
        cameras: of each agent, if they are asked for.

    Raises:
        CosenseError: a topic, a frame or a calibration that is needed is missing, or several could be meant.
    """

    def __init__(self, bag: BagFile, options: BagOptions, *, cameras: bool) -> None:
        self.bag = bag
        self.options = options
        self.tolerance_ns = int(options.tolerance_ms * 1e6)
        self.ground_truth = find_ground_truth(bag, options)
        self._entries = self._scan(cameras)
        self.records: list[tuple[FrameRecord, int]] = [
            (record_from_text(bag.read(entry).data, f"{bag.path}: {FRAME}"), entry.moment.log_ns)
            for entry in self._entries.get(FRAME, ())
        ]
        self.tree = TransformTree(
            (bag.read(entry), entry.moment.log_ns, is_static)
            for topic, is_static in TRANSFORMS.items()
            for entry in self._entries.get(topic, ())
        )
        kinds = {
            points_topic(agent_id): (agent_id, agent.kind)
            for record, _ in self.records
            for agent_id, agent in record.agents.items()
        }
        self.agents = find_agents(bag, options, self.tree, kinds)
        self.cameras = find_cameras(bag, self.agents) if cameras else {}
        self._tracks = {
            agent.pose: PoseTrack(self._entries[agent.pose], bag.read)
            for agent in self.agents.values()
            if agent.pose is not None
        }
        self._timelines = {topic: timeline_of(found) for topic, found in self._entries.items()}

    def recorded(self, topic: str) -> list[Entry]:
        """Return the messages of a topic in the order in which they were recorded."""
        return self._entries.get(topic, [])

    def nearest(self, topic: str, moment: Moment, tolerance_ns: int) -> Entry | None:
        """Return the message of a topic that was measured nearest to a moment, None if none was in time."""
        timeline = self._timelines.get(topic)
        found = None if timeline is None else timeline.nearest(moment, tolerance_ns)
        return None if timeline is None or found is None else timeline.values[found]

    def pose(self, agent_id: str, cloud: Entry) -> tuple[Matrix, NDArray[np.float64]] | None:
        """Return T_world_agent (4,4) and the covariance (3,3) of (x, y, yaw) when a cloud was measured.

        None where the bag does not know it.
        """
        agent = self.agents[agent_id]
        if agent.pose is None:
            T_world_lidar = self.tree.at(agent.world, agent.lidar_frame, cloud.moment, self.tolerance_ns)
            return None if T_world_lidar is None else (T_world_lidar, np.zeros((3, 3)))
        found = self._tracks[agent.pose].at(cloud.moment, self.tolerance_ns)
        if found is None or agent.pose_frame == agent.lidar_frame:
            return found
        T_pose_lidar = self.tree.at(agent.pose_frame, agent.lidar_frame, cloud.moment, self.tolerance_ns)
        return None if T_pose_lidar is None else (found[0] @ T_pose_lidar, found[1])

    def _scan(self, cameras: bool) -> dict[str, list[Entry]]:
        """Return all messages that may be of use, by topic."""
        bag = self.bag
        wanted = set(bag.topics(bag_types.CLOUD, *bag_types.POSES))
        wanted |= {FRAME} & set(bag.topics(bag_types.STRING))
        wanted |= set(TRANSFORMS) & set(bag.topics(bag_types.TRANSFORMS))
        if self.ground_truth is not None:
            wanted.add(self.ground_truth)
        if cameras:
            wanted |= {*image_topics(bag), *bag.topics(bag_types.CAMERA_INFO)}
        return bag.scan(wanted)
