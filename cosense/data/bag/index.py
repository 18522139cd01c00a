"""All that is known of a bag before a frame is read: its messages, their times, poses, and its frames.

Frames are those of the topic /cosense/frame where the bag has it (frame_record.py). Otherwise each cloud of
the ego is a frame, together with the cloud of every other agent that was measured nearest to it, within the
tolerance; a gap of more than a second, or a recording that starts again, starts another sequence. Clouds
whose pose is not known are left out and counted, as are those that were recorded twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosense.data.bag import message_types
from cosense.data.bag.agent_topics import TRANSFORMS, BagOptions, ego_of, find_agents, find_ground_truth
from cosense.data.bag.cameras import find_cameras, image_topics
from cosense.data.bag.clocks import clock_note, span
from cosense.data.bag.file import BagFile, Entry
from cosense.data.bag.frame_record import FrameRecord, record_from_text
from cosense.data.bag.poses import PoseTrack, TransformTree, timeline_of
from cosense.data.bag.timeline import Moment, Timeline, passes_of, with_turns
from cosense.data.dataset import NO_LABELS
from cosense.errors import CosenseError, counted
from cosense.geometry.timed_pose import TimedPose, seconds
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
        self.pose_gap_ns = int(options.pose_gap_ms * 1e6)
        self.ground_truth = find_ground_truth(bag, options)
        self._entries = self._scan(cameras)
        self.records: list[tuple[FrameRecord, int]] = [
            (record_from_text(bag.read(entry).data, f"{bag.path}: {FRAME}"), entry.moment.log_ns)
            for entry in self._entries.get(FRAME, ())
        ]
        transforms = (
            (entry, is_static)
            for topic, is_static in TRANSFORMS.items()
            for entry in self._entries.get(topic, ())
        )
        self.tree = TransformTree(
            (bag.read(entry), entry.moment.log_ns, is_static)
            for entry, is_static in sorted(transforms, key=lambda item: item[0].moment.log_ns)
        )
        kinds = {
            points_topic(agent_id): (agent_id, agent.kind)
            for record, _ in self.records
            for agent_id, agent in record.agents.items()
        }
        self.agents = find_agents(bag, options, self.tree, kinds)
        self.cameras = find_cameras(bag, self.agents) if cameras else {}
        self._tracks = {
            agent.pose: PoseTrack(agent.pose, self._entries[agent.pose], bag.read)
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

    def pose(self, agent_id: str, cloud: Entry) -> TimedPose:
        """Return the pose of an agent's LiDAR in the world at the time of a cloud.

        Raises:
            CosenseError: the bag does not have it, and why.
        """
        agent, moment = self.agents[agent_id], cloud.moment
        if agent.pose is None:
            T_world_lidar = self.tree.at(agent.world, agent.lidar_frame, moment, self.pose_gap_ns)
            return TimedPose(cloud.stamp_ns, T_world_lidar)
        pose = self._tracks[agent.pose].at(moment, self.pose_gap_ns)
        if agent.pose_frame != agent.lidar_frame:
            pose = pose.seen_from(self.tree.at(agent.pose_frame, agent.lidar_frame, moment, self.pose_gap_ns))
        if agent.pose_world != agent.world:
            pose = pose.placed_in(self.tree.at(agent.world, agent.pose_world, moment, self.pose_gap_ns))
        return pose

    def pose_timelines(self, agent_id: str) -> list[Timeline[Any]]:
        """Return what moves an agent: its topic of poses, or transforms."""
        agent = self.agents[agent_id]
        if agent.pose is not None:
            return [self._tracks[agent.pose].timeline]
        return list(self.tree.timelines(agent.world, agent.lidar_frame))

    def clouds(self, agent_id: str) -> Timeline[Entry]:
        """Return the clouds of an agent."""
        return self._timelines[self.agents[agent_id].points]

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
# Between poses that are farther apart an accelerating vehicle is centimetres beside the straight way.
_COARSE_POSES_NS = 250_000_000


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


class _WithoutPose:
    """Clouds that are left out because their pose is not known."""

    def __init__(self, index: BagIndex) -> None:
        self._index = index
        self._clouds: dict[str, dict[Moment, str]] = {}

    def has_pose(self, agent_id: str, cloud: Entry) -> bool:
        """Return whether the pose of a cloud is known; if not, count it."""
        try:
            self._index.pose(agent_id, cloud)
        except CosenseError as error:
            self._clouds.setdefault(agent_id, {}).setdefault(cloud.moment, str(error))
            return False
        return True

    def notes(self) -> Iterator[str]:
        """Yield for each agent how many clouds are left out, and why the first of them."""
        for agent_id, clouds in self._clouds.items():
            (moment, reason), count = next(iter(clouds.items())), len(self._index.clouds(agent_id))
            yield (
                f"not used: {len(clouds)} of {counted(count, 'cloud')} of '{agent_id}' without a pose, the "
                f"first of {seconds(moment.stamp_ns)}: {reason}"
            )


def frames_of(index: BagIndex) -> tuple[list[BagFrame], list[str]]:
    """Return the frames in the order of the recording, and notes on what of the bag they leave out."""
    notes: list[str] = [agent.note for agent in index.agents.values() if agent.note]
    egos = {record.ego_id for record, _ in index.records}
    wanted = index.options.ego
    is_as_recorded = not index.options.points and (wanted is None or egos == {wanted})
    if egos and is_as_recorded:
        frames = list(_recorded(index, notes))
    else:
        frames = list(_joined(index, notes))
        notes += _notes_on_poses(index)
        notes += _notes_on_partners(index, frames)
    unlabelled = sum(frame.labels is None for frame in frames)
    if index.ground_truth is not None and unlabelled:
        notes.append(
            f"no ground truth in {index.ground_truth} at the moment of {counted(unlabelled, 'frame')}"
        )
    return frames, notes


def _recorded(index: BagIndex, notes: list[str]) -> Iterator[BagFrame]:
    lost = 0
    without_pose = _WithoutPose(index)
    passes: Counter[str] = Counter()
    moments = _moments(index)
    for record, _ in index.records:
        clouds = {}
        for agent_id in sorted(record.agents, key=lambda name: name != record.ego_id):
            cloud = index.nearest(points_topic(agent_id), next(moments[agent_id]), 0)
            if cloud is not None and without_pose.has_pose(agent_id, cloud):
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
    notes.extend(without_pose.notes())


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
    previous: tuple[int, int] | None = None
    without_pose = _WithoutPose(index)
    for number, cloud in _in_order(index, ego_id, notes):
        if not without_pose.has_pose(ego_id, cloud):
            continue
        if previous is not None and (number != previous[0] or cloud.stamp_ns - previous[1] > _LONGEST_GAP_NS):
            sequence += 1
        previous = number, cloud.stamp_ns
        clouds = {ego_id: cloud}
        for agent_id, agent in index.agents.items():
            other = index.nearest(agent.points, cloud.moment, index.tolerance_ns)
            if agent_id != ego_id and other is not None and without_pose.has_pose(agent_id, other):
                clouds[agent_id] = other
        name = f"{sequence:03d}"
        labels = _labels(index, cloud)
        yield BagFrame(f"{name}/{cloud.stamp_ns}", name, clouds, labels, None)
    notes.extend(without_pose.notes())


def _in_order(index: BagIndex, agent_id: str, notes: list[str]) -> Iterator[tuple[int, Entry]]:
    """Yield the clouds of an agent, with the number of their pass over the recording; each moment once."""
    entries = index.recorded(index.agents[agent_id].points)
    passes = passes_of([entry.stamp_ns for entry in entries])
    ordered = sorted(zip(passes.tolist(), entries, strict=True), key=lambda item: (item[0], item[1].stamp_ns))
    twice: Counter[str] = Counter()
    previous: tuple[int, Entry] | None = None
    for number, cloud in ordered:
        if previous is not None and (number, cloud.stamp_ns) == (previous[0], previous[1].stamp_ns):
            first, second = (np.asarray(index.bag.read(entry).data) for entry in (previous[1], cloud))
            twice["the same" if np.array_equal(first, second) else "another"] += 1
            continue
        previous = number, cloud
        yield number, cloud
    if twice["the same"]:
        notes.append(f"used once: {counted(twice['the same'], 'cloud')} of '{agent_id}' recorded twice")
    if twice["another"]:
        notes.append(
            f"not used: {counted(twice['another'], 'cloud')} of '{agent_id}' with the stamp of another one "
            f"but other points: several sensors on {index.agents[agent_id].points}, or no stamps?"
        )


def _notes_on_poses(index: BagIndex) -> Iterator[str]:
    """Yield what is doubtful about the poses of each agent."""
    for agent_id, agent in index.agents.items():
        for frame in index.tree.chain(agent.lidar_frame):
            yield from index.tree.doubts.get(frame, ())
        poses = index.pose_timelines(agent_id)
        for timeline in poses:
            yield from clock_note(f"clouds of '{agent_id}'", index.clouds(agent_id), "its poses", timeline)
        period_ns = min((timeline.period_ns for timeline in poses), default=0)
        if agent.pose is not None and len(poses[0]) == 1:
            yield (
                f"'{agent.pose}' gives a single pose: if '{agent_id}' stands still, record its place as a "
                "static transform from the map"
            )
        if _COARSE_POSES_NS < period_ns <= index.pose_gap_ns:
            yield (
                f"poses of '{agent_id}' are {period_ns / 1e6:.0f} ms apart: between two of them it is taken "
                "to go straight on"
            )


def _notes_on_partners(index: BagIndex, frames: list[BagFrame]) -> Iterator[str]:
    """Yield which agents are missing in frames of the ego, and why."""
    ego_id = index.options.ego or ego_of(index.agents)
    own = index.clouds(ego_id)
    for agent_id in index.agents:
        if agent_id == ego_id:
            continue
        theirs = index.clouds(agent_id)
        clocks = list(clock_note(f"clouds of '{agent_id}'", theirs, f"those of '{ego_id}'", own))
        yield from clocks
        there = sum(agent_id in frame.clouds for frame in frames)
        if there < len(frames) and not clocks:
            when = "" if there else f"; its clouds are {span(theirs)}, the ego's {span(own)}"
            yield (
                f"'{agent_id}' is in {there} of {counted(len(frames), 'frame')}: it has no cloud with a pose "
                f"within tolerance_ms {index.options.tolerance_ms:g} of the ego's in the others{when}"
            )


def _labels(index: BagIndex, cloud: Entry) -> Entry | None:
    if index.ground_truth is None:
        return None
    return index.nearest(index.ground_truth, cloud.moment, index.tolerance_ns)
