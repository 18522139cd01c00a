"""Bags as other people record them: their own names, odometry, transforms, padded clouds, another storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer

from cosense.data.bag import message_types
from cosense.data.bag.file import BagFile
from cosense.data.bag.writer import make
from cosense.geometry.transforms import Matrix, quaternion_of, transform_from_planar

# One message: topic, type, message, time of recording.
Row = tuple[str, str, Any, int]

MS = 1_000_000
START_NS = 1_700_000_000_000_000_000
SPEED_M_S = 10.0
# Of (x, y, z, roll, pitch, yaw), with correlations.
COVARIANCE = 1e-3 * (np.diag(np.arange(1.0, 7.0)) + 0.5)
# x, y, z, intensity in [0, 1] of three points in the frame of whatever LiDAR.
POINTS = np.array([[5.0, 1.0, -1.0, 1.0], [8.0, -2.0, 0.5, 0.2], [-3.0, 4.0, 0.0, 0.0]], dtype=np.float32)
T_base_lidar = transform_from_planar(1.2, 0.0, np.pi / 2, z=1.8)
T_map_rsu = transform_from_planar(30.0, -6.0, 2.0, z=5.0)
_POINT = np.dtype(
    {
        "names": ["x", "y", "z", "intensity", "ring"],
        "formats": [">f4", ">f4", ">f4", "u1", "u1"],
        "offsets": [0, 4, 8, 16, 20],
        "itemsize": 32,
    }
)


def write_rows(path: Path, rows: Iterable[Row], storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Write messages into a folder of rosbag2 and return it."""
    store = message_types.own_types()
    with Writer(path, version=8, storage_plugin=storage) as writer:
        connections = {}
        for topic, type_name, message, log_ns in rows:
            key = (topic, type_name)
            if key not in connections:
                connections[key] = writer.add_connection(topic, type_name, typestore=store)
            writer.write(connections[key], log_ns, store.serialize_cdr(message, type_name))
    return path


def write_mcap(path: Path, rows: Iterable[Row], **options: Any) -> Path:
    """Write messages into one MCAP file, with a chunk for each unless the options of mcap's writer differ."""
    store = message_types.own_types()
    channels: dict[tuple[str, str], int] = {}
    with path.open("wb") as stream:
        writer = McapWriter(stream, **{"chunk_size": 1, **options})
        writer.start(profile="ros2")
        for topic, type_name, message, log_ns in rows:
            if (topic, type_name) not in channels:
                definition, _ = store.generate_msgdef(type_name, ros_version=2)
                schema = writer.register_schema(type_name, "ros2msg", definition.encode())
                channels[topic, type_name] = writer.register_channel(topic, "cdr", schema)
            data = bytes(store.serialize_cdr(message, type_name))
            writer.add_message(channels[topic, type_name], log_ns, data, log_ns)
        writer.finish()
    return path


def records_of(path: Path) -> list[tuple[int, bytes]]:
    """Return the records of an MCAP file, each with its opcode."""
    content, at, records = path.read_bytes(), 8, []
    while at < len(content) - 8:
        length = int.from_bytes(content[at + 1 : at + 9], "little")
        records.append((content[at], content[at : at + 9 + length]))
        at += 9 + length
    return records


def without_record(path: Path, opcode: int, number: int) -> None:
    """Take a record out of an MCAP file."""
    records = records_of(path)
    at = [index for index, record in enumerate(records) if record[0] == opcode][number]
    magic = path.read_bytes()[:8]
    path.write_bytes(b"".join([magic, *(data for _, data in records[:at] + records[at + 1 :]), magic]))


def rows_of(bag: BagFile) -> list[Row]:
    """Return all messages of a bag."""
    entries = [entry for found in bag.scan(bag.types).values() for entry in found]
    return in_order((e.topic, bag.types[e.topic], bag.read(e), e.moment.log_ns) for e in entries)


def header(stamp_ns: int, frame_id: str) -> Any:
    stamp = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)


def cloud(stamp_ns: int, frame_id: str, log_ns: int | None = None, topic: str = "/lidar_top") -> Row:
    """Return the three points as an organised, big-endian cloud with padded points and padded rows."""
    records = np.zeros((1, 3), _POINT)
    for column, name in enumerate("xyz"):
        records[name] = POINTS[:, column]
    records["intensity"] = np.round(POINTS[:, 3] * 255)
    rows = np.concatenate([records.view(np.uint8).reshape(1, -1), np.full((1, 16), 7, np.uint8)], axis=1)
    types = {">f4": 7, "|u1": 2}
    fields = [
        make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=types[kind.str], count=1)
        for name, (kind, offset) in ((name, _POINT.fields[name][:2]) for name in _POINT.names)
    ]
    message = make(
        message_types.CLOUD,
        header=header(stamp_ns, frame_id),
        height=1,
        width=3,
        fields=fields,
        is_bigendian=True,
        point_step=_POINT.itemsize,
        row_step=rows.shape[1],
        data=rows.reshape(-1),
    )
    return topic, message_types.CLOUD, message, stamp_ns if log_ns is None else log_ns


def numbers(type_name: str, values: Sequence[float]) -> Any:
    return make(f"geometry_msgs/msg/{type_name}", **dict(zip("xyzw", map(float, values), strict=False)))


def pose_of(T: Matrix) -> Any:
    position, rotation = numbers("Point", T[:3, 3]), numbers("Quaternion", quaternion_of(T))
    return make("geometry_msgs/msg/Pose", position=position, orientation=rotation)


def odometry(
    stamp_ns: int, T: Matrix, child: str = "base_link", topic: str = "/odom", frame: str = "map"
) -> Row:
    pose = make("geometry_msgs/msg/PoseWithCovariance", pose=pose_of(T), covariance=COVARIANCE.reshape(-1))
    message = make("nav_msgs/msg/Odometry", header=header(stamp_ns, frame), child_frame_id=child, pose=pose)
    return topic, "nav_msgs/msg/Odometry", message, stamp_ns


def transform(
    parent: str, child: str, T: Matrix, stamp_ns: int, *, static: bool, log_ns: int | None = None
) -> Row:
    moved = make(
        "geometry_msgs/msg/Transform",
        translation=numbers("Vector3", T[:3, 3]),
        rotation=numbers("Quaternion", quaternion_of(T)),
    )
    stamped = make(
        "geometry_msgs/msg/TransformStamped",
        header=header(stamp_ns, parent),
        child_frame_id=child,
        transform=moved,
    )
    message = make(message_types.TRANSFORMS, transforms=[stamped])
    topic = "/tf_static" if static else "/tf"
    return topic, message_types.TRANSFORMS, message, stamp_ns if log_ns is None else log_ns


def T_map_base(stamp_ns: int) -> Matrix:
    """Where the car is: it drives straight on."""
    return transform_from_planar(SPEED_M_S * (stamp_ns - START_NS) / 1e9, 2.0, 0.3)


def mount() -> Row:
    return transform("base_link", "os_sensor", T_base_lidar, 0, static=True, log_ns=START_NS)


def car(frames: int = 5, start_ns: int = START_NS) -> list[Row]:
    """A car: odometry of base_link at 50 Hz, 7 ms beside the clouds, and a LiDAR on it at 10 Hz."""
    rows = [cloud(start_ns + 100 * MS * n, "os_sensor") for n in range(frames)]
    times = range(start_ns - 13 * MS, start_ns + 100 * MS * frames, 20 * MS)
    return in_order([*rows, *(odometry(t, T_map_base(t)) for t in times)])


def rsu(frames: int = 5, start_ns: int = START_NS, late_ns: int = 20 * MS) -> list[Row]:
    """A roadside unit whose place is a static transform; it measures a little later than the car."""
    place = transform("map", "rsu_lidar", T_map_rsu, 0, static=True, log_ns=start_ns)
    times = [start_ns + late_ns + 100 * MS * n for n in range(frames)]
    return [place, *(cloud(t, "rsu_lidar", topic="/rsu/points") for t in times)]


def pose_stamped(stamp_ns: int, T: Matrix, topic: str = "/pose", frame: str = "map") -> Row:
    """A pose that does not say what it is the pose of."""
    message = make("geometry_msgs/msg/PoseStamped", header=header(stamp_ns, frame), pose=pose_of(T))
    return topic, "geometry_msgs/msg/PoseStamped", message, stamp_ns


def boxes(stamp_ns: int, frame: str, box: Sequence[float], name: str = "car", topic: str = "/labels") -> Row:
    """One labelled object as vision_msgs has it."""
    x, y, z, length, width, height, yaw = box
    shape = make(
        "vision_msgs/msg/BoundingBox3D",
        center=pose_of(transform_from_planar(x, y, yaw, z)),
        size=numbers("Vector3", (length, width, height)),
    )
    hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=name, score=1.0)
    result = make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis)
    item = make("vision_msgs/msg/Detection3D", results=[result], bbox=shape, id="17")
    message = make(message_types.DETECTIONS, header=header(stamp_ns, frame), detections=[item])
    return topic, message_types.DETECTIONS, message, stamp_ns


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row[3])
