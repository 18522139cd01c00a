"""What RViz shows of a run: a group per agent, the fused boxes by source, the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosense import topics
from cosense.viewer.colors import BACKGROUND, FRAME, SOURCE_NAMES, agent_colors, rgba

# Label and colours of each map that says why a message holds what it does.
MAPS = {
    "supply": ("Supply: where it is sure of something", "costmap"),
    "demand": ("Demand: what it believes to be wanted", "map"),
    "selection": ("Sent cells", "map"),
}

Display = dict[str, Any]


def rviz_layout(agents: Sequence[str], ego: str) -> dict[str, Any]:
    """Return the content of a .rviz file.

    Args:
        agents: ids of all that take part.
        ego: id of the one that fuses.
    """
    colors = agent_colors([ego, *(agent for agent in agents if agent != ego)])
    displays = [
        {
            **_display("Grid", "Grid"),
            "Cell Size": 10,
            "Plane Cell Count": 40,
            "Color": _rgb(FRAME),
            "Reference Frame": "<Fixed Frame>",
        },
        {**_display("TF", "Frames"), "Marker Scale": 5, "Show Names": True, "Show Arrows": False},
        *(_agent(agent, colors[agent], is_ego=agent == ego) for agent in agents),
        _markers("Fused boxes, by source", topics.MARKERS, namespaces=list(SOURCE_NAMES.values())),
        _markers("Scene graphs and what agrees", topics.SCENE_GRAPH_MARKERS, is_enabled=False),
        _markers("Ground truth", topics.GROUND_TRUTH),
    ]
    return {
        "Panels": [
            {"Class": "rviz_common/Displays", "Name": "Displays", "Splitter Ratio": 0.5},
            {"Class": "rviz_common/Views", "Name": "Views"},
            {"Class": "rviz_common/Time", "Name": "Time"},
        ],
        "Visualization Manager": {
            "Class": "",
            "Displays": displays,
            "Enabled": True,
            "Global Options": {
                "Background Color": _rgb(BACKGROUND),
                "Fixed Frame": topics.MAP_FRAME,
                "Frame Rate": 30,
            },
            "Name": "root",
            "Tools": [
                {"Class": f"rviz_default_plugins/{name}"} for name in ("MoveCamera", "Select", "Measure")
            ],
            "Views": {
                "Current": {
                    "Class": "rviz_default_plugins/ThirdPersonFollower",
                    "Name": f"Behind {ego}",
                    "Target Frame": topics.lidar_frame(ego),
                    "Distance": 60,
                    "Pitch": 0.8,
                    "Yaw": 3.14,
                }
            },
        },
        "Window Geometry": {"Width": 1600, "Height": 1000},
    }


def _agent(agent: str, color: str, *, is_ego: bool) -> Display:
    parts = [
        {
            **_display("PointCloud2", "Cloud"),
            "Topic": _topic(topics.points_topic(agent)),
            "Color Transformer": "FlatColor",
            "Color": _rgb(color),
            "Style": "Points",
            "Size (Pixels)": 2,
        },
        _markers("Boxes that it sees alone", topics.markers_topic(agent), is_enabled=False),
    ]
    if not is_ego:
        # Made only while somebody looks: off until they are wanted.
        parts += [_map(agent, name, label, scheme) for name, (label, scheme) in MAPS.items()]
    name = f"{agent} (ego)" if is_ego else agent
    return {"Class": "rviz_common/Group", "Name": name, "Enabled": True, "Value": True, "Displays": parts}


def _map(agent: str, name: str, label: str, scheme: str) -> Display:
    return {
        **_display("Map", label, is_enabled=False),
        "Topic": _topic(topics.debug_map_topic(agent, name)),
        "Color Scheme": scheme,
        "Alpha": 0.5,
        "Draw Behind": True,
    }


def _markers(name: str, topic: str, *, is_enabled: bool = True, namespaces: Sequence[str] = ()) -> Display:
    return {
        **_display("MarkerArray", name, is_enabled=is_enabled),
        "Topic": _topic(topic),
        "Namespaces": dict.fromkeys(namespaces, True),
    }


def _display(plugin: str, name: str, *, is_enabled: bool = True) -> Display:
    return {
        "Class": f"rviz_default_plugins/{plugin}",
        "Name": name,
        "Enabled": is_enabled,
        "Value": is_enabled,
    }


def _topic(name: str) -> dict[str, Any]:
    return {
        "Value": name,
        "Depth": 5,
        "Durability Policy": "Volatile",
        "History Policy": "Keep Last",
        "Reliability Policy": "Reliable",
    }


def _rgb(color: str) -> str:
    return "; ".join(str(round(255 * part)) for part in rgba(color)[:3])
