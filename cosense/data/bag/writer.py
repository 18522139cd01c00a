"""Writes any data set as a bag of ROS 2: MCAP with metadata of version 8, which rosbag2 and Foxglove open.

Stamps are those of the measurement. Where they go back, as between two scenarios, the time of recording goes
on, so that a player that follows it plays one scenario after the other.

The bag gets its name only once it is complete: until then it is a hidden folder beside it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Nodetype,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from cosense import topics
from cosense.data.bag import METADATA, message_types
from cosense.data.bag.frame_record import record_of, record_to_text
from cosense.data.dataset import NO_LABELS, CooperativeFrame
from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, invert, quaternion_of
from cosense.sensing.cloud import to_records
from cosense.sensing.cloud_formats.ros_messages import PLANAR, cloud_fields
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.objects import ObjectClass, Objects
from cosense.topics import namespace_of

GROUND_TRUTH_BOXES = f"{topics.GROUND_TRUTH}/boxes"
_QUATERNION = "geometry_msgs/msg/Quaternion"
_DELETE_ALL, _CUBE = 3, 1
_GREEN = (0.2, 0.7, 0.3, 0.45)


class TopicMessage(NamedTuple):
    """A message that is not serialised yet, with its topic and its type."""

    topic: str
    type_name: str
    message: Any


def make(type_name: str, **fields: Any) -> Any:
    """Return a message; fields that are not given are zero, empty, or the identity rotation."""
    store = message_types.own_types()
    message = store.types[type_name]
    for name, kind in store.fielddefs[type_name][1]:
        if name not in fields:
            fields[name] = 1.0 if (type_name, name) == (_QUATERNION, "w") else _empty(kind)
    return message(**fields)


def messages_of(
    frame: CooperativeFrame, label_set: str, *, raw_images: bool = False
) -> Iterator[TopicMessage]:
    """Yield the messages of a frame; the transforms and the pose of an agent come before its cloud.

    Args:
        frame: a frame of any data set.
        label_set: label set of that data set.
        raw_images: write images uncompressed instead of as JPEG.
    """
    record = record_of(frame, label_set)
    line = make(message_types.STRING, data=record_to_text(record))
    yield TopicMessage(topics.FRAME, message_types.STRING, line)
    if record.label_set != NO_LABELS:
        yield from _ground_truth(frame.ground_truth, frame.ego.stamp_ns, topics.lidar_frame(frame.ego_id))
    for agent in frame.agents.values():
        transforms = make(message_types.TRANSFORMS, transforms=list(_transforms(agent)))
        yield TopicMessage(topics.TF, message_types.TRANSFORMS, transforms)
        yield TopicMessage(
            topics.pose_topic(agent.agent_id), message_types.POSE_WITH_COVARIANCE, _pose(agent)
        )
        yield TopicMessage(topics.points_topic(agent.agent_id), message_types.CLOUD, _cloud(agent))
        for camera in agent.cameras:
            yield from _camera(camera, agent.agent_id, raw_images)


def _cloud(agent: AgentFrame) -> Any:
    records = to_records(agent.points, agent.rings)
    return make(
        message_types.CLOUD,
        header=_header(agent.stamp_ns, topics.lidar_frame(agent.agent_id)),
        height=1,
        width=len(records),
        fields=[
            make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=datatype, count=1)
            for name, offset, datatype in cloud_fields(records.dtype)
        ],
        point_step=records.dtype.itemsize,
        row_step=records.nbytes,
        data=records.view(np.uint8),
        is_dense=True,
    )


def _pose(agent: AgentFrame) -> Any:
    covariance = np.zeros((6, 6))
    covariance[PLANAR] = agent.pose_covariance
    pose = _rigid("geometry_msgs/msg/Pose", agent.T_world_agent)
    return make(
        message_types.POSE_WITH_COVARIANCE,
        header=_header(agent.stamp_ns, topics.MAP_FRAME),
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance.reshape(-1)),
    )


def _transforms(agent: AgentFrame) -> Iterator[Any]:
    """Yield the poses of the agent's sensors: its LiDAR in the map, its cameras relative to the LiDAR."""
    lidar = topics.lidar_frame(agent.agent_id)
    mounted = [(topics.MAP_FRAME, lidar, agent.T_world_agent)]
    for camera in agent.cameras:
        frame_id = topics.camera_frame(agent.agent_id, camera.name)
        mounted.append((lidar, frame_id, invert(camera.T_camera_agent)))
    for parent, child, T_parent_child in mounted:
        yield make(
            "geometry_msgs/msg/TransformStamped",
            header=_header(agent.stamp_ns, parent),
            child_frame_id=child,
            transform=_rigid("geometry_msgs/msg/Transform", T_parent_child),
        )


def _camera(camera: Camera, agent_id: str, raw_images: bool) -> Iterator[TopicMessage]:
    """Yield calibration and image."""
    header = _header(camera.stamp_ns, topics.camera_frame(agent_id, camera.name))
    height, width = camera.image.shape[:2]
    info = make(
        message_types.CAMERA_INFO,
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=camera.K.reshape(-1).astype(np.float64),
        r=np.eye(3).reshape(-1),
        p=np.column_stack([camera.K, np.zeros(3)]).reshape(-1).astype(np.float64),
    )
    yield TopicMessage(topics.camera_info_topic(agent_id, camera.name), message_types.CAMERA_INFO, info)
    topic = topics.image_topic(agent_id, camera.name)
    if raw_images:
        data = np.ascontiguousarray(camera.image).reshape(-1)
        size = {"height": height, "width": width, "step": 3 * width}
        image = make(message_types.IMAGE, header=header, encoding="rgb8", data=data, **size)
        yield TopicMessage(topic, message_types.IMAGE, image)
        return
    encoded = cv2.imencode(".jpg", cv2.cvtColor(camera.image, cv2.COLOR_RGB2BGR))[1]
    image = make(message_types.COMPRESSED_IMAGE, header=header, format="jpeg", data=encoded.reshape(-1))
    yield TopicMessage(f"{topic}/compressed", message_types.COMPRESSED_IMAGE, image)


def _ground_truth(objects: Objects, stamp_ns: int, frame_id: str) -> Iterator[TopicMessage]:
    """Yield the labels twice: cubes for viewers, typed boxes for programs."""
    header = _header(stamp_ns, frame_id)
    markers = [make("visualization_msgs/msg/Marker", header=header, action=_DELETE_ALL)]
    detections = []
    red, green, blue, opacity = _GREEN
    color = make("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=opacity)
    for index, box in enumerate(objects.boxes):
        name, object_id = ObjectClass(int(objects.labels[index])).name.lower(), str(objects.ids[index])
        pose, size = _pose_of_box(box), _numbers("geometry_msgs/msg/Vector3", box[3:6])
        drawn = {"ns": name, "id": index, "type": _CUBE, "text": object_id, "color": color}
        markers.append(make("visualization_msgs/msg/Marker", header=header, pose=pose, scale=size, **drawn))
        hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=1.0)
        centre = make("geometry_msgs/msg/PoseWithCovariance", pose=pose)
        result = make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=centre)
        shape = make("vision_msgs/msg/BoundingBox3D", center=pose, size=size)
        detections.append(
            make("vision_msgs/msg/Detection3D", header=header, results=[result], bbox=shape, id=object_id)
        )
    yield TopicMessage(
        topics.GROUND_TRUTH, message_types.MARKERS, make(message_types.MARKERS, markers=markers)
    )
    boxes = make(message_types.DETECTIONS, header=header, detections=detections)
    yield TopicMessage(GROUND_TRUTH_BOXES, message_types.DETECTIONS, boxes)


def _pose_of_box(box: NDArray[np.float64]) -> Any:
    quaternion = (0.0, 0.0, np.sin(box[6] / 2), np.cos(box[6] / 2))
    return make(
        "geometry_msgs/msg/Pose",
        position=_numbers("geometry_msgs/msg/Point", box[:3]),
        orientation=_numbers(_QUATERNION, quaternion),
    )


def _rigid(type_name: str, T: Matrix) -> Any:
    """Return a Pose or a Transform."""
    rotation = _numbers(_QUATERNION, quaternion_of(T))
    if type_name.endswith("Pose"):
        return make(type_name, position=_numbers("geometry_msgs/msg/Point", T[:3, 3]), orientation=rotation)
    return make(type_name, translation=_numbers("geometry_msgs/msg/Vector3", T[:3, 3]), rotation=rotation)


def _empty(kind: Any) -> Any:
    """Return the default value of a field, according to its definition in rosbags."""
    node, content = kind
    if node == Nodetype.NAME:
        return make(content)
    if node == Nodetype.BASE:
        return "" if content[0] == "string" else np.zeros((), content[0])[()].item()
    (item_node, item), count = content
    return [] if item_node == Nodetype.NAME else np.zeros(count, item[0])


def _numbers(type_name: str, values: Any) -> Any:
    """Return a message with the fields x, y, z, and w if there is a fourth value."""
    return make(type_name, **dict(zip("xyzw", map(float, values), strict=False)))


def _header(stamp_ns: int, frame_id: str) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    if not -(2**31) <= seconds < 2**31:
        raise CosenseError(f"stamp of {stamp_ns} ns does not fit into a message of ROS 2")
    stamp = make("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


_FOR_EVER = QosTime(9_223_372_036, 854_775_807)
# What the player offers of each topic, so that `ros2 bag play` does: who joins late gets the last messages.
_OFFERED = Qos(
    history=QosHistory.KEEP_LAST,
    depth=16,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.TRANSIENT_LOCAL,
    deadline=_FOR_EVER,
    lifespan=_FOR_EVER,
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_FOR_EVER,
    avoid_ros_namespace_conventions=False,
)
# Time between two frames if their stamps do not tell it.
_SEAM_NS = 1_000_000_000
# Keeps the messages of one frame in order in storages that sort by the time of recording.
_MESSAGE_NS = 1_000


def check_out(out: Path, *, force: bool) -> None:
    """Refuse a path where a bag cannot or must not be written.

    Args:
        out: path of the bag.
        force: allow a bag to be replaced.

    Raises:
        CosenseError: the suffix is not .mcap, something is there already, or the folder above is missing.
    """
    if out.suffix not in (".mcap", ""):
        raise CosenseError(
            f"{out}: name a file that ends in .mcap, or a folder for metadata.yaml and the MCAP file"
        )
    if not out.parent.is_dir():
        raise CosenseError(f"{out}: there is no folder {out.parent}")
    if not out.exists():
        return
    is_bag = (out / METADATA).is_file() if out.suffix == "" else out.is_file()
    if not is_bag:
        raise CosenseError(f"{out}: is there and no bag; choose another name")
    if not force:
        raise CosenseError(f"{out}: is there already; --force replaces it")


def write_bag(
    frames: Iterable[CooperativeFrame],
    out: Path,
    *,
    label_set: str,
    raw_images: bool = False,
    force: bool = False,
) -> int:
    """Write frames and return how many there were.

    Args:
        frames: the frames in order.
        out: path of a file that ends in .mcap, or of a folder.
        label_set: label set of the data set.
        raw_images: write images uncompressed instead of as JPEG.
        force: replace a bag that is there already.

    Raises:
        CosenseError: `out` cannot be used, or there is no frame. Whatever is raised, nothing is left behind.
    """
    check_out(out, force=force)
    hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = hidden / out.stem
        with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            count = _write(frames, writer, label_set, raw_images)
        if not count:
            raise CosenseError(f"{out}: no frame to write")
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(folder if out.suffix == "" else folder / f"{folder.name}.mcap", out)
    finally:
        shutil.rmtree(hidden)
    return count


def _write(frames: Iterable[CooperativeFrame], writer: Writer, label_set: str, raw_images: bool) -> int:
    store = message_types.own_types()
    connections: dict[str, Connection] = {}
    agents: dict[str, str] = {}
    count, shift_ns, log_ns = 0, 0, -1
    for frame in frames:
        count += 1
        for agent_id in frame.agents:
            other = agents.setdefault(namespace_of(agent_id), agent_id)
            if other != agent_id:
                raise CosenseError(
                    f"agents '{other}' and '{agent_id}' have the same name in ROS 2; rename one"
                )
        if frame.ego.stamp_ns + shift_ns <= log_ns:
            shift_ns = log_ns + _SEAM_NS - frame.ego.stamp_ns
        log_ns = frame.ego.stamp_ns + shift_ns
        for topic, type_name, message in messages_of(frame, label_set, raw_images=raw_images):
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, type_name, typestore=store, offered_qos_profiles=[_OFFERED]
                )
            writer.write(connections[topic], log_ns, store.serialize_cdr(message, type_name))
            log_ns += _MESSAGE_NS
    return count
