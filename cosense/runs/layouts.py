"""What RViz and Foxglove show of a run, live or of its bag, as layout files.

RViz shows a group per agent, the fused boxes by source and the ground truth; Foxglove also the mode,
latencies, bytes and diagnostics. `python -m cosense.runs.layouts` writes the layouts in rviz/, which are made
for the agents of the shipped scenarios.

Everything is drawn in the frame of the ego, beneath which the grid lies: a map may begin kilometres away,
where the numbers of a graphics card are too coarse for a car. Our nodes keep what they sent last for who
comes late, and the displays ask for it; of clouds and images they ask for no more than drivers offer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cosense import topics
from cosense.viewer.colors import ALONE, BACKGROUND, FRAME, LABELS, SOURCE_NAMES, agent_colors, rgba

# Beside the results of a run.
RVIZ, FOXGLOVE = "view.rviz", "foxglove.json"
SHIPPED_AGENTS = ("vehicle", "vehicle_2", "vehicle_3", "infrastructure", "infrastructure_2")
SHIPPED_EGO = "vehicle"
SHIPPED_CAMERA = "front"
SHIPPED_RVIZ = "cosense.rviz"
SHIPPED_FOXGLOVE = "cosense.foxglove.json"
# Label and colours of each map that says why a message holds what it does.
MAPS = {
    "supply": ("Supply: where it is sure of something", "costmap"),
    "demand": ("Demand: what it believes to be wanted", "map"),
    "selection": ("Sent cells", "map"),
    "difference": ("Difference: where its features stand out", "costmap"),
}
# A panel is named by its type and any word that tells it from its like.
SCENE, MODE = "3D!cosense", "StateTransitions!mode"
LATENCY, SENT = "Plot!latency", "Plot!sent"
SUMMARY, DIAGNOSTICS = "DiagnosticSummary!peers", "RawMessages!diagnostics"
_GRID = "foxglove.Grid"
# Of a LiDAR on the roof of a car: so far below it the grid lies.
_ROOF_M = 1.8

Config = dict[str, Any]


def write_layouts(
    agents: Sequence[str], ego: str, cameras: Mapping[str, Sequence[str]], rviz: Path, foxglove: Path
) -> None:
    """Write both layouts.

    Args:
        agents: ids of all that take part.
        ego: id of the one that fuses.
        cameras: names of the cameras of each agent that has some.
        rviz: file for RViz.
        foxglove: file for Foxglove.
    """
    rviz.write_text(yaml.safe_dump(rviz_layout(agents, ego, cameras), sort_keys=False, allow_unicode=True))
    foxglove.write_text(json.dumps(foxglove_layout(agents, ego), indent=1) + "\n")


def write_run_layouts(
    agents: Sequence[str], ego: str, cameras: Mapping[str, Sequence[str]], out: Path
) -> Path:
    """Write both layouts beside the results of a run and return the one for RViz; see `write_layouts`."""
    write_layouts(agents, ego, cameras, out / RVIZ, out / FOXGLOVE)
    return out / RVIZ


def write_shipped(folder: Path) -> None:
    """Write the layouts that ship, into a folder that is there."""
    cameras = dict.fromkeys(SHIPPED_AGENTS, (SHIPPED_CAMERA,))
    write_layouts(SHIPPED_AGENTS, SHIPPED_EGO, cameras, folder / SHIPPED_RVIZ, folder / SHIPPED_FOXGLOVE)


def rviz_layout(agents: Sequence[str], ego: str, cameras: Mapping[str, Sequence[str]]) -> Config:
    """Return the content of a .rviz file; see `write_layouts`."""
    colors = agent_colors([ego, *(agent for agent in agents if agent != ego)])
    displays = [
        {
            **_display("Grid", "Grid"),
            "Cell Size": 10,
            "Plane Cell Count": 40,
            "Color": _rgb(FRAME),
            "Reference Frame": topics.lidar_frame(ego),
            "Offset": {"X": 0, "Y": 0, "Z": -_ROOF_M},
        },
        {**_display("TF", "Frames"), "Marker Scale": 5, "Show Names": True, "Show Arrows": False},
        *(
            _agent_display(agent, colors[agent], cameras.get(agent, ()), is_ego=agent == ego)
            for agent in agents
        ),
        _markers_display("Fused boxes, by source", topics.MARKERS, _fused_namespaces(ego)),
        {
            # Of the package vision_msgs_rviz_plugins: off, since the markers show the same and more.
            "Class": "vision_msgs_rviz_plugins/Detection3DArray",
            "Name": "Fused boxes, as other stacks take them",
            "Enabled": False,
            "Value": False,
            "Topic": _latched(topics.BOXES),
            "Show Score": True,
            "Only Edge": True,
            "Line Width": 0.1,
        },
        _markers_display("Scene graphs and what agrees", topics.SCENE_GRAPH_MARKERS, {}, is_enabled=False),
        _markers_display("Ground truth", topics.GROUND_TRUTH, {LABELS: False}),
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
                "Fixed Frame": topics.lidar_frame(ego),
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


def _agent_display(agent: str, color: str, cameras: Sequence[str], *, is_ego: bool) -> Config:
    parts = [
        {
            **_display("PointCloud2", "Cloud"),
            "Topic": _rviz_topic(topics.points_topic(agent)),
            "Color Transformer": "FlatColor",
            "Color": _rgb(color),
            "Style": "Points",
            "Size (Pixels)": 2,
        },
        _markers_display(
            "Boxes that it sees alone",
            topics.markers_topic(agent),
            {topics.marker_namespace(agent, name): True for name in (ALONE, LABELS)},
            is_enabled=False,
        ),
    ]
    # Boxes and clouds that are shown are drawn into the image.
    parts += [
        {
            **_display("Camera", f"Image of {camera}", is_enabled=False),
            "Topic": _rviz_topic(topics.image_topic(agent, camera)),
            "Image Rendering": "background and overlay",
            "Overlay Alpha": 0.5,
            "Far Plane Distance": 150,
        }
        for camera in cameras
    ]
    if not is_ego:
        # Made only while somebody looks: off until they are wanted.
        parts += [_map_display(agent, name, label, scheme) for name, (label, scheme) in MAPS.items()]
    name = f"{agent} (ego)" if is_ego and agent != "ego" else agent
    return {"Class": "rviz_common/Group", "Name": name, "Enabled": True, "Value": True, "Displays": parts}


def _map_display(agent: str, name: str, label: str, scheme: str) -> Config:
    return {
        **_display("Map", label, is_enabled=False),
        "Topic": _latched(topics.debug_map_topic(agent, name)),
        "Color Scheme": scheme,
        "Alpha": 0.5,
        "Draw Behind": True,
    }


def _markers_display(
    name: str, topic: str, namespaces: Mapping[str, bool], *, is_enabled: bool = True
) -> Config:
    """Return a display of markers; namespaces that are not named are shown too."""
    return {
        **_display("MarkerArray", name, is_enabled=is_enabled),
        "Topic": _latched(topic),
        "Namespaces": dict(namespaces),
    }


def _fused_namespaces(ego: str) -> dict[str, bool]:
    return {topics.marker_namespace(ego, name): True for name in (*SOURCE_NAMES.values(), LABELS)}


def _display(plugin: str, name: str, *, is_enabled: bool = True) -> Config:
    return {
        "Class": f"rviz_default_plugins/{plugin}",
        "Name": name,
        "Enabled": is_enabled,
        "Value": is_enabled,
    }


def _latched(name: str) -> Config:
    """Return a topic of our nodes, which keep what they sent last."""
    return {**_rviz_topic(name), "Durability Policy": "Transient Local"}


def _rviz_topic(name: str) -> Config:
    return {
        "Value": name,
        "Depth": 5,
        "Durability Policy": "Volatile",
        "History Policy": "Keep Last",
        "Reliability Policy": "Reliable",
    }


def _rgb(color: str) -> str:
    return "; ".join(str(round(255 * part)) for part in rgba(color)[:3])


def foxglove_layout(agents: Sequence[str], ego: str) -> Config:
    """Return the content of a layout file for Foxglove ("Import from file").

    Args:
        agents: ids of all that take part.
        ego: id of the one that fuses.
    """
    colors = agent_colors([ego, *(agent for agent in agents if agent != ego)])
    senders = [agent for agent in agents if agent != ego]
    times = {
        "fusion with waiting": (topics.debug_topic(ego, "fusion", "latency_ms"), "#F5A02C"),
        "fusion": (topics.debug_topic(ego, "fusion", "processing_time_ms"), "#2FD08F"),
        **{
            f"detector of {agent}": (topics.debug_topic(agent, "agent", "processing_time_ms"), colors[agent])
            for agent in agents
        },
    }
    sent = {agent: (topics.debug_topic(agent, "agent", "tx_bytes"), colors[agent]) for agent in senders}
    return {
        "configById": {
            SCENE: _scene_panel(agents, ego, colors),
            MODE: {
                "paths": [{"value": f"{topics.MODE}.data", "timestampMethod": "receiveTime"}],
                "isSynced": True,
            },
            LATENCY: _plot_panel("Milliseconds", times),
            SENT: _plot_panel("Bytes of each message", sent),
            SUMMARY: {
                "topicToRender": topics.DIAGNOSTICS,
                "minLevel": 0,
                "pinnedIds": [],
                "hardwareIdFilter": "",
                "sortByLevel": True,
            },
            DIAGNOSTICS: {
                "topicPath": topics.DIAGNOSTICS,
                "diffEnabled": False,
                "diffMethod": "custom",
                "diffTopicPath": "",
                "showFullMessageForDiff": False,
            },
        },
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": _split_panels(
            "row", 64, SCENE, _panels_in_a_column([MODE, LATENCY, SENT, SUMMARY, DIAGNOSTICS])
        ),
    }


def _scene_panel(agents: Sequence[str], ego: str, colors: dict[str, str]) -> Config:
    shown: dict[str, Config] = {}
    for agent in agents:
        shown[topics.points_topic(agent)] = {
            "visible": True,
            "colorMode": "flat",
            "flatColor": f"{colors[agent]}FF",
            "pointSize": 2,
            "pointShape": "circle",
        }
        shown[topics.markers_topic(agent)] = {"visible": False}
        if agent != ego:
            for name, (_, scheme) in MAPS.items():
                grid = {"visible": False, "colorMode": scheme, "alpha": 0.5}
                shown[topics.debug_map_topic(agent, name)] = grid
    namespaces = {name: {"visible": on} for name, on in _fused_namespaces(ego).items()}
    shown[topics.SCENE_GRAPH_MARKERS] = {"visible": False}
    shown[topics.MARKERS] = {"visible": True, "namespaces": namespaces}
    shown[topics.GROUND_TRUTH] = {"visible": True}
    return {
        "cameraState": {
            "perspective": True,
            "distance": 80,
            "phi": 45,
            "thetaOffset": 90,
            "target": [0, 0, 0],
            "targetOffset": [0, 0, 0],
            "targetOrientation": [0, 0, 0, 1],
            "fovy": 45,
            "near": 0.5,
            "far": 5000,
        },
        "followMode": "follow-pose",
        "followTf": topics.lidar_frame(ego),
        "scene": {"backgroundColor": BACKGROUND, "transforms": {"axisScale": 3}},
        "transforms": {},
        "topics": shown,
        "layers": {
            "grid": {
                "layerId": _GRID,
                "instanceId": "grid",
                "label": "Grid",
                "visible": True,
                "frameId": topics.lidar_frame(ego),
                "size": 400,
                "divisions": 40,
                "lineWidth": 1,
                "color": FRAME,
                "position": [0, 0, -_ROOF_M],
                "rotation": [0, 0, 0],
            }
        },
    }


def _plot_panel(title: str, lines: dict[str, tuple[str, str]]) -> Config:
    """Return a plot of the topics of numbers, by their labels, with their colours."""
    return {
        "foxglovePanelTitle": title,
        "paths": [
            {
                "value": f"{topic}.data",
                "label": label,
                "color": color,
                "enabled": True,
                "timestampMethod": "receiveTime",
            }
            for label, (topic, color) in lines.items()
        ],
        "showXAxisLabels": True,
        "showYAxisLabels": True,
        "showLegend": True,
        "legendDisplay": "floating",
        "isSynced": True,
        "xAxisVal": "timestamp",
    }


def _panels_in_a_column(panels: Sequence[str]) -> Any:
    """Return panels of the same height, one below the other."""
    first, *others = panels
    return _split_panels("column", 100 / len(panels), first, _panels_in_a_column(others)) if others else first


def _split_panels(direction: str, percentage: float, first: Any, second: Any) -> Config:
    return {"direction": direction, "splitPercentage": percentage, "first": first, "second": second}


if __name__ == "__main__":
    write_shipped(Path(__file__).resolve().parents[2] / "rviz")
