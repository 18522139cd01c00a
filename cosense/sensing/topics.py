"""The names of what sensors publish and of their coordinate frames, live and in bags."""

from __future__ import annotations

import re

GROUND_TRUTH = "/ground_truth"
TF = "/tf"
MAP_FRAME = "map"
# One std_msgs/msg/String a frame, see `cosense.data.bag_record`.
FRAME = "/cosense/frame"


def namespace_of(agent_id: str) -> str:
    """Return the agent id as ROS 2 allows it in names: "4279" becomes "agent_4279", "-1" "agent_minus_1"."""
    words = re.findall(r"[A-Za-z0-9]+", re.sub(r"^-", "minus ", agent_id))
    name = "_".join(words)
    return name if re.match(r"(?!minus)[A-Za-z]", name) else "_".join(["agent", *words])


def lidar_frame(agent_id: str) -> str:
    """Return the coordinate frame of an agent, which is that of its LiDAR."""
    return f"{namespace_of(agent_id)}/lidar"


def camera_frame(agent_id: str, camera: str) -> str:
    """Return the optical frame of a camera."""
    return f"{namespace_of(agent_id)}/{namespace_of(camera)}"


def points_topic(agent_id: str) -> str:
    """PointCloud2 of an agent's LiDAR."""
    return f"/{namespace_of(agent_id)}/points"


def pose_topic(agent_id: str) -> str:
    """PoseWithCovarianceStamped of an agent's LiDAR in the map, stamped like the cloud."""
    return f"/{namespace_of(agent_id)}/pose"


def image_topic(agent_id: str, camera: str) -> str:
    """Image of a camera; its CompressedImage is below it, its CameraInfo beside it."""
    return f"/{namespace_of(agent_id)}/{namespace_of(camera)}/image_raw"


def camera_info_topic(agent_id: str, camera: str) -> str:
    """CameraInfo of a camera."""
    return f"/{namespace_of(agent_id)}/{namespace_of(camera)}/camera_info"
