"""The names of topics and of coordinate frames, live and in bags: of sensors, of the radio and of results."""

from __future__ import annotations

import re

GROUND_TRUTH = "/ground_truth"
TF = "/tf"
MAP_FRAME = "map"
# One std_msgs/msg/String a frame, see `cosense.data.bag.frame_record`.
FRAME = "/cosense/frame"

# The radio. Agents publish all that they share on the first topic, whatever its kind (the envelope names it),
# and every fusion listens there; what a fusion requests goes out on the second one, to every agent that can
# answer. With a channel in between each agent has topics of its own instead, see `tx_topic` and `rx_topic`.
V2X_MESSAGES = "/v2x/messages"
V2X_REQUESTS = "/v2x/requests"
V2X = (V2X_MESSAGES, V2X_REQUESTS)
DETECTIONS = "/detections"
BOXES = "/detections/boxes"
MODE = "/mode"
MODE_REASON = "/mode/reason"
MARKERS = "/markers"
SCENE_GRAPH_MARKERS = "/markers/scene_graph"
DIAGNOSTICS = "/diagnostics"
CLOCK = "/clock"


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


def own_messages_topic(agent_id: str) -> str:
    """In-vehicle topic on which an agent's own messages go to its own fusion; no radio."""
    return f"/{namespace_of(agent_id)}/messages"


def tx_topic(agent_id: str, topic: str) -> str:
    """Where an agent publishes what it sends on one of the topics `V2X`, if there is a channel."""
    return f"/v2x/tx/{namespace_of(agent_id)}/{topic.rsplit('/', 1)[1]}"


def rx_topic(agent_id: str, topic: str) -> str:
    """Where an agent receives what the channel delivers on one of the topics `V2X`."""
    return f"/v2x/rx/{namespace_of(agent_id)}/{topic.rsplit('/', 1)[1]}"


def markers_topic(agent_id: str) -> str:
    """MarkerArray of what one agent detects on its own."""
    return f"/{namespace_of(agent_id)}/markers"


def marker_namespace(agent_id: str, what: str) -> str:
    """Return the namespace of markers that show what an agent knows, for example its labels."""
    return f"{agent_id}: {what}"


def debug_topic(agent_id: str, node: str, name: str) -> str:
    """Number that a node says about itself: the agent's tx_bytes, the fusion's latency_ms and so on."""
    return f"/{namespace_of(agent_id)}/{node}/debug/{name}"


def debug_map_topic(agent_id: str, name: str) -> str:
    """OccupancyGrid of the supply, demand, selection or difference of an agent that shares features."""
    return f"/{namespace_of(agent_id)}/agent/debug/{name}"
