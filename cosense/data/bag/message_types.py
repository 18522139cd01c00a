"""The message types in bags, without ROS 2: as the bag itself defines them, else as ROS 2 Jazzy does."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.interfaces.typing import Typesdict
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

CLOUD = "sensor_msgs/msg/PointCloud2"
POSE_WITH_COVARIANCE = "geometry_msgs/msg/PoseWithCovarianceStamped"
POSES = (POSE_WITH_COVARIANCE, "geometry_msgs/msg/PoseStamped", "nav_msgs/msg/Odometry")
TRANSFORMS = "tf2_msgs/msg/TFMessage"
MARKERS = "visualization_msgs/msg/MarkerArray"
DETECTIONS = "vision_msgs/msg/Detection3DArray"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
STRING = "std_msgs/msg/String"
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


def types_of(connections: Iterable[Connection]) -> Typestore:
    """Return the known types as a bag with these connections defines them, else as ROS 2 Jazzy does.

    Types change between distributions. Only those that cosense reads are looked at, so that no other broken
    definition makes a bag unreadable.
    """
    own: Typesdict = {}
    for connection in connections:
        definition = connection.msgdef
        if connection.msgtype in KNOWN and definition.format == MessageDefinitionFormat.MSG:
            own.update(get_types_from_msg(definition.data, connection.msgtype))
        elif connection.msgtype in KNOWN and definition.format == MessageDefinitionFormat.IDL:
            for part in definition.data.split("=" * 80 + "\n"):
                own.update(get_types_from_idl(part.split("\n", 1)[1] if part.startswith("IDL: ") else part))
    defaults = own_types().fielddefs
    if all(defaults.get(name) == fields for name, fields in own.items()):
        return own_types()
    store = get_typestore(Stores.EMPTY)
    store.register({**defaults, **own})
    return store
