"""All that is known of a bag before a frame is read: its messages, their times, poses, and its frames.

Frames are those of the topic /cosense/frame where the bag has it (frame_record.py). Otherwise each cloud of
the ego is a frame, together with the cloud of every other agent that was measured nearest to it, within the
tolerance; a gap of more than a second, or stamps that go back, start another sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.data.bag import message_types
from cosense.data.bag.agent_topics import TRANSFORMS, BagOptions, ego_of, find_agents, find_ground_truth
from cosense.data.bag.cameras import find_cameras, image_topics
from cosense.data.bag.file import BagFile, Entry
from cosense.data.bag.frame_record import FrameRecord, record_from_text
from cosense.data.bag.poses import PoseTrack, TransformTree, timeline_of
from cosense.data.bag.timeline import Moment, with_turns
from cosense.data.dataset import NO_LABELS
from cosense.errors import counted
from cosense.geometry.transforms import Matrix
from cosense.topics import FRAME, points_topic


class BagIndex:
    """An open bag.

    Args:
        bag: the file.
        options: choices of the user where the bag is ambiguous.
        cameras: also look for images.

    Attributes:
        bag, options: the arguments.
        ground_truth: topic of the labels, None if there are none.
        records: lines of /cosense/frame, each with its time of recording.
        tree: all transforms.
        agents: topics of each agent.
        cameras: cameras of each agent, if they were asked for.

    Raises:
        CosenseError: a topic, a frame or a calibration is missing, or there are several candidates.
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
        """Return the messages of a topic in the order of the recording."""
        return self._entries.get(topic, [])

    def nearest(self, topic: str, moment: Moment, tolerance_ns: int) -> Entry | None:
        """Return the message measured nearest to a moment, None if none is within the tolerance."""
        timeline = self._timelines.get(topic)
        found = None if timeline is None else timeline.nearest(moment, tolerance_ns)
        return None if timeline is None or found is None else timeline.values[found]

    def pose(self, agent_id: str, cloud: Entry) -> tuple[Matrix, NDArray[np.float64]] | None:
        """Return T_world_agent (4,4) and the covariance (3,3) of (x, y, yaw) at the time of a cloud.

        None if the bag does not have the pose.
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
        """Return the messages of all topics that may be needed, by topic."""
        bag = self.bag
        wanted = set(bag.topics(message_types.CLOUD, *message_types.POSES))
        wanted |= {FRAME} & set(bag.topics(message_types.STRING))
        wanted |= set(TRANSFORMS) & set(bag.topics(message_types.TRANSFORMS))
        if self.ground_truth is not None:
            wanted.add(self.ground_truth)
        if cameras:
            wanted |= {*image_topics(bag), *bag.topics(message_types.CAMERA_INFO)}
        return bag.scan(wanted)


_LONGEST_GAP_NS = 1_000_000_000


@dataclass(frozen=True)
class BagFrame:
    """The messages of one frame.

    Attributes:
        frame_id, sequence: the same as in `CooperativeFrame`.
        clouds: cloud of each agent, the ego first.
        labels: ground truth at that moment, None if there is none.
        record: line of /cosense/frame that defines the frame, None without that topic.
    """

    frame_id: str
    sequence: str
    clouds: dict[str, Entry]
    labels: Entry | None
    record: FrameRecord | None

    @property
    def ego_id(self) -> str:
        return next(iter(self.clouds))


def frames_of(index: BagIndex) -> tuple[list[BagFrame], list[str]]:
    """Return the frames in the order of the recording, and notes on what of the bag they leave out."""
    notes: list[str] = []
    egos = {record.ego_id for record, _ in index.records}
    wanted = index.options.ego
    is_as_recorded = not index.options.points and (wanted is None or egos == {wanted})
    frames = list((_recorded if egos and is_as_recorded else _joined)(index, notes))
    unlabelled = sum(frame.labels is None for frame in frames)
    seen = {agent_id for frame in frames for agent_id in frame.clouds}
    if frames and len(seen) < len(index.agents):
        notes.append(
            f"in no frame: {', '.join(sorted(set(index.agents) - seen))}; no cloud with a pose within "
            f"{index.options.tolerance_ms:g} ms of one of the ego"
        )
    if index.ground_truth is not None and unlabelled:
        notes.append(
            f"no ground truth in {index.ground_truth} at the moment of {counted(unlabelled, 'frame')}"
        )
    return frames, notes


def _recorded(index: BagIndex, notes: list[str]) -> Iterator[BagFrame]:
    lost = 0
    passes: Counter[str] = Counter()
    moments = _moments(index)
    for record, _ in index.records:
        clouds = {}
        for agent_id in sorted(record.agents, key=lambda name: name != record.ego_id):
            cloud = index.nearest(points_topic(agent_id), next(moments[agent_id]), 0)
            if cloud is not None and index.pose(agent_id, cloud) is not None:
                clouds[agent_id] = cloud
        lost += len(record.agents) - len(clouds)
        if record.ego_id in clouds:
            # A bag that was recorded in a loop has every frame several times.
            passes[record.frame_id] += 1
            again = f"#{passes[record.frame_id]}" if passes[record.frame_id] > 1 else ""
            is_labelled = record.label_set != NO_LABELS
            labels = _labels(index, clouds[record.ego_id]) if is_labelled else None
            yield BagFrame(record.frame_id + again, record.sequence, clouds, labels, record)
    if lost:
        notes.append(f"not in the bag: {counted(lost, 'cloud')} that {FRAME} names, or the pose")


def _moments(index: BagIndex) -> dict[str, Iterator[Moment]]:
    """Return, for each agent, the moments of its clouds that the records name, in their order."""
    named: dict[str, list[Moment]] = {}
    for record, log_ns in index.records:
        for agent_id, agent in record.agents.items():
            named.setdefault(agent_id, []).append(Moment(agent.stamp_ns, log_ns))
    return {agent_id: iter(with_turns(moments)) for agent_id, moments in named.items()}


def _joined(index: BagIndex, notes: list[str]) -> Iterator[BagFrame]:
    ego_id = index.options.ego or ego_of(index.agents)
    sequence = 0
    previous_ns: int | None = None
    without_pose: Counter[str] = Counter()
    for cloud in index.recorded(index.agents[ego_id].points):
        if index.pose(ego_id, cloud) is None:
            without_pose[ego_id] += 1
            continue
        if previous_ns is not None and not 0 <= cloud.stamp_ns - previous_ns <= _LONGEST_GAP_NS:
            sequence += 1
        previous_ns = cloud.stamp_ns
        clouds = {ego_id: cloud}
        for agent_id, agent in index.agents.items():
            other = index.nearest(agent.points, cloud.moment, index.tolerance_ns)
            if agent_id == ego_id or other is None:
                continue
            if index.pose(agent_id, other) is None:
                without_pose[agent_id] += 1
            else:
                clouds[agent_id] = other
        name = f"{sequence:03d}"
        labels = _labels(index, cloud)
        yield BagFrame(f"{name}/{cloud.stamp_ns}", name, clouds, labels, None)
    notes.extend(
        f"not used: {counted(count, 'cloud')} of '{agent_id}' without a valid pose within "
        f"{index.options.tolerance_ms:g} ms"
        for agent_id, count in without_pose.items()
    )


def _labels(index: BagIndex, cloud: Entry) -> Entry | None:
    if index.ground_truth is None:
        return None
    return index.nearest(index.ground_truth, cloud.moment, index.tolerance_ns)
