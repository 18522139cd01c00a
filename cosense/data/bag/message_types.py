"""The message types in bags, without ROS 2: as the bag itself defines them, else as ROS 2 Jazzy does."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from cosense.data.bag.storage import Channel
from cosense.errors import CosenseError

CLOUD = "sensor_msgs/msg/PointCloud2"
POSE_WITH_COVARIANCE = "geometry_msgs/msg/PoseWithCovarianceStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
POSES = (POSE_WITH_COVARIANCE, "geometry_msgs/msg/PoseStamped", ODOMETRY)
TRANSFORMS = "tf2_msgs/msg/TFMessage"
MARKERS = "visualization_msgs/msg/MarkerArray"
DETECTIONS = "vision_msgs/msg/Detection3DArray"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
STRING = "std_msgs/msg/String"
# What agents send each other, one envelope a sample.
BYTES = "std_msgs/msg/UInt8MultiArray"
KNOWN = (
    *(CLOUD, *POSES, TRANSFORMS, MARKERS, DETECTIONS),
    *(IMAGE, COMPRESSED_IMAGE, CAMERA_INFO, STRING),
)

# vision_msgs 4 (ROS 2 Humble and later) is not among the types that come with rosbags.
_VISION = {
    DETECTIONS: "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
    "vision_msgs/msg/Detection3D": "std_msgs/Header header\n"
    "vision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox3D bbox\nstring id",
    "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\n"
    "geometry_msgs/PoseWithCovariance pose",
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
}


@cache
def own_types() -> Typestore:
    """Return the types that cosense writes."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, definition in _VISION.items():
        store.register(get_types_from_msg(definition, name))
    return store


def name_of(type_name: str) -> str:
    """Return a type as ROS 2 calls it; recorders also write sensor_msgs/X and sensor_msgs::msg::dds_::X_."""
    words = type_name.replace("::", "/").split("/")
    if "dds_" in words:
        words = [word for word in words if word != "dds_"]
        words[-1] = words[-1].removesuffix("_")
    return "/".join([words[0], "msg", words[1]] if len(words) == 2 else words)


def types_of(channels: Iterable[Channel]) -> Typestore:
    """Return the known types as a bag with these channels defines them, else as ROS 2 Jazzy does.

    Types change between distributions. Only those that cosense reads are looked at, so that no other broken
    definition makes a bag unreadable.

    Raises:
        CosenseError: a type is defined in two ways.
    """
    own: Typesdict = {}
    for channel in channels:
        name = name_of(channel.type_name)
        if name not in KNOWN:
            continue
        defined: Typesdict = {}
        if channel.definition_format == "ros2msg" and channel.definition:
            defined = get_types_from_msg(channel.definition, name)
        elif channel.definition_format in ("ros2idl", "omgidl"):
            for part in channel.definition.split("=" * 80 + "\n"):
                text = part.split("\n", 1)[1] if part.startswith("IDL: ") else part
                defined.update(get_types_from_idl(text))
        for part, fields in defined.items():
            if own.setdefault(part, fields) != fields:
                raise CosenseError(
                    f"type {part} is defined in two ways, once with {channel.topic}; give each part of the "
                    "bag by itself"
                )
    defaults = own_types().fielddefs
    if all(defaults.get(name) == fields for name, fields in own.items()):
        return own_types()
    store = get_typestore(Stores.EMPTY)
    store.register({**defaults, **own})
    return store
