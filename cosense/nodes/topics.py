"""The names of topics and coordinate frames, in one place: those of this room, and those of the sensors."""

from __future__ import annotations

from cosense.sensing.topics import FRAME as FRAME
from cosense.sensing.topics import GROUND_TRUTH as GROUND_TRUTH
from cosense.sensing.topics import MAP_FRAME as MAP_FRAME
from cosense.sensing.topics import TF as TF
from cosense.sensing.topics import camera_frame as camera_frame
from cosense.sensing.topics import camera_info_topic as camera_info_topic
from cosense.sensing.topics import image_topic as image_topic
from cosense.sensing.topics import lidar_frame as lidar_frame
from cosense.sensing.topics import namespace_of as namespace_of
from cosense.sensing.topics import points_topic as points_topic
from cosense.sensing.topics import pose_topic as pose_topic

# The radio: every agent that shares publishes its messages on one of the first two, and every fusion listens
# to both; what a fusion wants to be told goes out on the third, to every agent that shares features; scene
# graphs, by which poses are set right, have the fourth. With a channel in between each agent has its own
# topics instead, see `tx_topic` and `rx_topic`.
V2X_OBJECTS = "/v2x/objects"
V2X_FEATURES = "/v2x/features"
V2X_DEMAND = "/v2x/demand"
V2X_SCENE_GRAPH = "/v2x/scene_graph"
V2X = (V2X_OBJECTS, V2X_FEATURES, V2X_DEMAND, V2X_SCENE_GRAPH)
DETECTIONS = "/detections"
BOXES = "/detections/boxes"
MODE = "/mode"
MARKERS = "/markers"
SCENE_GRAPH_MARKERS = "/markers/scene_graph"
DIAGNOSTICS = "/diagnostics"
CLOCK = "/clock"


def objects_topic(agent_id: str) -> str:
    """In-vehicle topic on which an agent's own detections go to its own fusion; no radio."""
    return f"/{namespace_of(agent_id)}/objects"


def scene_graph_topic(agent_id: str) -> str:
    """In-vehicle topic on which an agent's own scene graph goes to its own fusion; no radio."""
    return f"/{namespace_of(agent_id)}/scene_graph"


def tx_topic(agent_id: str, topic: str) -> str:
    """Where an agent sends what is for one of the topics V2X, if there is a channel."""
    return f"/v2x/tx/{namespace_of(agent_id)}/{topic.rsplit('/', 1)[1]}"


def rx_topic(agent_id: str, topic: str) -> str:
    """Where an agent hears what the channel delivers of one of the topics V2X."""
    return f"/v2x/rx/{namespace_of(agent_id)}/{topic.rsplit('/', 1)[1]}"


def markers_topic(agent_id: str) -> str:
    """MarkerArray of what one agent detects on its own."""
    return f"/{namespace_of(agent_id)}/markers"


def debug_topic(agent_id: str, node: str, name: str) -> str:
    """Number that a node says about itself: the agent's tx_bytes, the fusion's latency_ms and so on."""
    return f"/{namespace_of(agent_id)}/{node}/debug/{name}"


def debug_map_topic(agent_id: str, name: str) -> str:
    """OccupancyGrid of the supply, the demand or the selection of an agent that shares features."""
    return f"/{namespace_of(agent_id)}/agent/debug/{name}"
