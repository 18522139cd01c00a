"""A ROS 2 bag as a data set: recorded by our own stack, written by `cosense convert`, or by anyone else.

agent_topics.py decides which topic belongs to which agent, index.py which messages make up a frame. Where
only some frames have ground truth, these are the split "labelled", which is opened when no split is named.

Ground truth is a vision_msgs/Detection3DArray, or the cubes of a MarkerArray as our player draws them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cosense.config import to_mapping
from cosense.data.bag import BagOptions, message_types
from cosense.data.bag.agent_topics import AgentTopics
from cosense.data.bag.cameras import CameraTopics, image_of, image_topics, intrinsic_of, pixels_of
from cosense.data.bag.file import BagFile, Entry
from cosense.data.bag.index import BagFrame, BagIndex, frames_of
from cosense.data.dair_labels import CLASS_OF_TYPE
from cosense.data.dataset import NO_LABELS, CooperativeFrame, Dataset, DatasetInfo, Provenance, kind_of
from cosense.data.files import broken_frames
from cosense.errors import CosenseError, nearest
from cosense.geometry.boxes import as_boxes
from cosense.geometry.transforms import Matrix, invert, yaw_of
from cosense.sensing.cloud import RawCloud, SensorClouds, spread
from cosense.sensing.cloud_formats.ros_messages import cloud_to_raw, pose_to_matrix
from cosense.sensing.frame import AgentFrame, AgentKind, Camera
from cosense.sensing.labelled_area import EVERYWHERE
from cosense.sensing.objects import ObjectClass, Objects
from cosense.topics import namespace_of

_EVER_NS = 2**61
_log = logging.getLogger(__name__)


class BagDataset(Dataset):
    """One bag; see the module.

    Args:
        path: .mcap or .db3 file, or a folder with metadata.yaml.
        split: "all" or "labelled".
        labels: None, or the name of the one label set that the bag has.
        cameras: also read the images.
        bag: choices of the user where the bag is ambiguous.

    Raises:
        CosenseError: a topic, a frame or a calibration is missing, or there are several candidates.
    """

    layout = "ros2-bag"
    without_labels = (
        "record vision_msgs/Detection3DArray or MarkerArray on a topic named /ground_truth, or name the "
        "topic with --ground-truth"
    )

    def __init__(
        self,
        path: Path,
        *,
        split: str | None = None,
        labels: str | None = None,
        cameras: bool = False,
        bag: BagOptions | None = None,
    ) -> None:
        self.path = path
        self.options = bag or BagOptions()
        self._bag = BagFile(path)
        self._lidars: dict[str, SensorClouds] = {}
        self._index = BagIndex(self._bag, self.options, cameras=cameras)
        frames, self._notes = frames_of(self._index)
        labelled = [frame for frame in frames if frame.labels is not None]
        self._by_split = {"all": frames}
        if 0 < len(labelled) < len(frames):
            self._by_split["labelled"] = labelled
        if split not in (None, *self._by_split):
            raise CosenseError(f"{path}: unknown split '{split}', {nearest(str(split), self._by_split)}")
        self.split = split or list(self._by_split)[-1]
        self._frames = self._by_split[self.split]
        recorded = [record.origin.converted(self.layout) for record, _ in self._index.records]
        # Frames that are joined by their stamps are from what is recorded, simulated where any of it is.
        usual = max(
            recorded, key=lambda each: bool(each.simulator), default=Provenance(layouts=(self.layout,))
        )
        self._provenances = [
            usual if frame.record is None else frame.record.origin.converted(self.layout)
            for frame in self._frames
        ]
        self.kind = kind_of(self._provenances)
        self.label_set = _label_set({record.label_set for record, _ in self._index.records}, bool(labelled))
        if labels not in (None, self.label_set):
            raise CosenseError(
                f"{path}: has no label set '{labels}', {nearest(str(labels), [self.label_set])}"
            )
        if not self._frames:
            raise CosenseError(
                f"{path}: has no frame that can be used ({'; '.join(self._notes)}); other poses are chosen "
                "with --pose AGENT=TOPIC"
            )
        for note in self._notes:
            _log.warning("%s: %s", path, note)
        self._check()

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> CooperativeFrame:
        frame = self._frames[index]
        agents = {agent_id: self._read_agent(agent_id, frame) for agent_id in frame.clouds}
        is_labelled = frame.labels is not None
        truth = Objects.empty() if frame.labels is None else self._read_labels(frame.labels, frame, agents)
        return CooperativeFrame(
            frame.frame_id,
            frame.sequence,
            frame.ego_id,
            agents,
            truth,
            is_labelled,
            provenance=self._provenances[index],
            labelled=EVERYWHERE if frame.record is None else frame.record.area,
        )

    def _check(self) -> None:
        """Raise at once if something is missing that every frame needs: not one of three can be read."""
        for agent_id, cameras in self._index.cameras.items():
            lidar_frame = self._index.agents[agent_id].lidar_frame
            for camera in cameras:
                if not self._index.records and not self._index.tree.is_connected(camera.frame, lidar_frame):
                    self._mounting(camera, agent_id, self._index.recorded(camera.image)[0])
        errors = []
        for index in sorted({0, len(self) // 2, len(self) - 1}):
            try:
                self[index]
            except CosenseError as error:
                errors.append(error)
            else:
                return
        raise errors[0]

    @property
    def agents(self) -> dict[str, AgentKind]:
        """The kinds of all agents in the frames that have the same ego as the first frame; the ego first."""
        ego_id = self._frames[0].ego_id
        there = {name: None for frame in self._frames if frame.ego_id == ego_id for name in frame.clouds}
        return {agent_id: self._index.agents[agent_id].kind for agent_id in there}

    def description(self) -> dict[str, Any]:
        """See `Dataset.description`; it includes the options."""
        return {**super().description(), "bag": to_mapping(self.options)}

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`; `verify` reads every message of a type that is known, and every frame."""
        problems = list(dict.fromkeys((*self._broken_messages(), *broken_frames(self)))) if verify else []
        sensors = [f"{name}: {_sensors(agent)}" for name, agent in self._index.agents.items()]
        images = image_topics(self._bag)
        sensors += [f"images {', '.join(images)}"] if images else []
        sensors += [f"ground truth {self._index.ground_truth}"] if self._index.ground_truth else []
        return DatasetInfo(
            kind=self.kind,
            path=self.path,
            label_set=self.label_set,
            frames_per_split={name: len(frames) for name, frames in self._by_split.items()},
            agents={agent_id: agent.kind for agent_id, agent in self._index.agents.items()},
            sensors=sensors,
            problems=self._bag.losses + problems,
            notes=[
                *(self._bag.notes + self._notes),
                *(note for name in self._index.agents for note in self._lidar(name).notes),
            ],
        )

    def _broken_messages(self) -> Iterator[str]:
        """Read every message, also those that no frame has, and yield what is wrong with the broken ones."""
        for topic, type_name in sorted(self._bag.types.items()):
            is_image = type_name in (message_types.IMAGE, message_types.COMPRESSED_IMAGE)
            for entry in self._bag.scan([topic])[topic]:
                try:
                    message = self._bag.read(entry)
                    if is_image:
                        pixels_of(message)
                except CosenseError as error:
                    yield str(self._error(entry, error))

    def _read_agent(self, agent_id: str, frame: BagFrame) -> AgentFrame:
        entry = frame.clouds[agent_id]
        pose = self._index.pose(agent_id, entry)
        try:
            scan = self._lidar(agent_id).read(self._raw_cloud(entry))
        except CosenseError as error:
            raise self._error(entry, error) from None
        cameras = (
            self._read_camera(camera, agent_id, frame) for camera in self._index.cameras.get(agent_id, ())
        )
        return AgentFrame(
            agent_id=agent_id,
            kind=self._index.agents[agent_id].kind,
            stamp_ns=entry.stamp_ns,
            T_world_agent=pose.T_world_frame,
            points=scan.points,
            rings=scan.rings,
            pose_covariance=pose.covariance,
            cameras=tuple(camera for camera in cameras if camera is not None),
        )

    def _raw_cloud(self, entry: Entry) -> RawCloud:
        return cloud_to_raw(self._bag.read(entry))

    def _lidar(self, agent_id: str) -> SensorClouds:
        """Return what is known of the clouds of an agent, after looking at some from all over the bag."""
        if agent_id not in self._lidars:
            recorded = self._index.recorded(self._index.agents[agent_id].points)
            self._lidars[agent_id] = SensorClouds(agent_id, spread(recorded, self._raw_cloud))
        return self._lidars[agent_id]

    def _read_camera(self, topics: CameraTopics, agent_id: str, frame: BagFrame) -> Camera | None:
        """Return the image that belongs to the agent's cloud, None if there is none.

        If the bag does not say which one that is, the nearest within the tolerance is taken.
        """
        cloud = frame.clouds[agent_id]
        recorded = None
        if frame.record is not None:
            cameras = {namespace_of(name): c for name, c in frame.record.agents[agent_id].cameras.items()}
            recorded = cameras.get(topics.name)
        moment, tolerance_ns = cloud.moment, self._index.tolerance_ns
        if recorded is not None:
            moment, tolerance_ns = replace(moment, stamp_ns=recorded.stamp_ns), 0
        image = self._index.nearest(topics.image, moment, tolerance_ns)
        if image is None:
            return None
        calibration = self._index.nearest(topics.info, image.moment, _EVER_NS)
        assert calibration is not None, "a camera without calibration is refused"
        info = self._bag.read(calibration)
        try:
            pixels = image_of(self._bag.read(image), info)
            K = intrinsic_of(info, pixels)
        except CosenseError as error:
            raise self._error(image, error) from None
        T_camera_agent = (
            self._mounting(topics, agent_id, cloud) if recorded is None else recorded.T_camera_agent
        )
        T_then_agent = self._way(agent_id, cloud, image)
        return Camera(topics.name, pixels, K, T_camera_agent, image.stamp_ns, T_then_agent)

    def _way(self, agent_id: str, cloud: Entry, image: Entry) -> Matrix | None:
        """Return T_then_agent (4,4) of an image, None where the pose at its stamp is not known."""
        try:
            then = self._index.pose(agent_id, image)
        except CosenseError:
            return None
        return invert(then.T_world_frame) @ self._index.pose(agent_id, cloud).T_world_frame

    def _mounting(self, topics: CameraTopics, agent_id: str, cloud: Entry) -> Matrix:
        """Return T_camera_agent (4,4) from the transforms."""
        lidar_frame = self._index.agents[agent_id].lidar_frame
        try:
            return self._index.tree.at(topics.frame, lidar_frame, cloud.moment, self._index.pose_gap_ns)
        except CosenseError as error:
            raise CosenseError(
                f"{self.path}: camera '{topics.image}' has no calibration: {error}; record /tf_static too, "
                "or leave the cameras out"
            ) from None

    def _read_labels(self, entry: Entry, frame: BagFrame, agents: dict[str, AgentFrame]) -> Objects:
        """Return the ground truth in the frame of the ego."""
        try:
            objects, given_in = objects_of(self._bag.read(entry))
        except CosenseError as error:
            raise self._error(entry, error) from None
        ego_id = frame.ego_id
        T_ego_world = invert(agents[ego_id].T_world_agent)
        own = self._index.agents[ego_id]
        if given_in in ("", own.lidar_frame):
            return objects
        if given_in == own.world:
            return objects.transformed(T_ego_world)
        for agent_id, agent in agents.items():
            if given_in == self._index.agents[agent_id].lidar_frame:
                return objects.transformed(T_ego_world @ agent.T_world_agent)
        try:
            T = self._index.tree.at(own.lidar_frame, given_in, entry.moment, self._index.pose_gap_ns)
        except CosenseError as error:
            raise self._error(entry, f"the ground truth is in frame '{given_in}': {error}") from None
        return objects.transformed(T)

    def _error(self, entry: Entry, reason: object) -> CosenseError:
        return CosenseError(f"{self.path}: {entry.topic} of {entry.stamp_ns} ns: {reason}")


def _label_set(recorded: set[str], has_labels: bool) -> str:
    """Return the name of the labels: the one that the bag records, else "recorded"."""
    if not has_labels or recorded == {NO_LABELS}:
        return NO_LABELS
    return min(recorded - {NO_LABELS}, default="recorded")


def _sensors(agent: AgentTopics) -> str:
    pose = agent.pose or f"transforms from '{agent.world}' to '{agent.lidar_frame}'"
    return f"LiDAR {agent.points}, pose {pose}"


_CUBE, _ADD = 1, 0
_CLASS_OF_NAME = CLASS_OF_TYPE | {label.name.lower(): label for label in ObjectClass}


def objects_of(message: Any) -> tuple[Objects, str]:
    """Return labelled objects and the frame in which they are given.

    Args:
        message: Detection3DArray (class in the first hypothesis, `id` the same for one object over time) or
            MarkerArray (cubes; the namespace is the class, the text the id).

    Raises:
        CosenseError: a class is not known, an orientation is not valid or a size not positive.
    """
    if hasattr(message, "detections"):
        frame = message.header.frame_id
        found = [
            (item.bbox.center, item.bbox.size, _class_name(item), item.id or f"{frame}/{index}")
            for index, item in enumerate(message.detections)
        ]
    else:
        cubes = [m for m in message.markers if m.type == _CUBE and m.action == _ADD]
        frame = (cubes or message.markers)[0].header.frame_id if message.markers else ""
        found = [(cube.pose, cube.scale, cube.ns, cube.text or f"{cube.ns}/{cube.id}") for cube in cubes]
    rows, labels = [], []
    for pose, size, name, _ in found:
        T: Matrix = pose_to_matrix(pose.position, pose.orientation)
        if not min(size.x, size.y, size.z) > 0:
            raise CosenseError(f"a box of '{name}' has size {size.x} x {size.y} x {size.z} m")
        rows.append([*T[:3, 3], size.x, size.y, size.z, _yaw(T, pose.orientation)])
        labels.append(_label(name))
    ids = np.array([item_id for *_, item_id in found], dtype=np.str_)
    return Objects(as_boxes(rows), np.array(labels, dtype=np.int64), ids), frame


def _yaw(T: Matrix, orientation: Any) -> float:
    """Return the heading; an upright box is spared the rounding of a rotation matrix."""
    if orientation.x == 0 == orientation.y:
        sign = -1.0 if orientation.w < 0 else 1.0
        return float(2 * np.arctan2(sign * orientation.z, sign * orientation.w))
    return yaw_of(T)


def _class_name(item: Any) -> str:
    """Return the class of a Detection3D, which is laid out differently in vision_msgs 2 and 3."""
    if not item.results:
        return ""
    hypothesis = getattr(item.results[0], "hypothesis", item.results[0])
    return str(getattr(hypothesis, "class_id", getattr(hypothesis, "id", "")))


def _label(name: str) -> ObjectClass:
    label = _CLASS_OF_NAME.get(name.lower())
    if label is None:
        raise CosenseError(f"a box has the class '{name}', {nearest(name.lower(), _CLASS_OF_NAME)}")
    return label
