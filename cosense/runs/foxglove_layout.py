"""What Foxglove shows of a run, live or of its bag: the scene, the mode, latencies, bytes and diagnostics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosense import topics
from cosense.runs.rviz_layout import MAPS
from cosense.viewer.colors import BACKGROUND, FRAME, SOURCE_NAMES, agent_colors

# A panel is named by its type and any word that tells it from its like.
SCENE, MODE = "3D!cosense", "StateTransitions!mode"
LATENCY, SENT = "Plot!latency", "Plot!sent"
SUMMARY, DIAGNOSTICS = "DiagnosticSummary!peers", "RawMessages!diagnostics"
_GRID = "foxglove.Grid"

Config = dict[str, Any]


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
            SCENE: _scene(agents, ego, colors),
            MODE: {
                "paths": [{"value": f"{topics.MODE}.data", "timestampMethod": "receiveTime"}],
                "isSynced": True,
            },
            LATENCY: _plot("Milliseconds", times),
            SENT: _plot("Bytes of each message", sent),
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
        "layout": _split("row", 64, SCENE, _column([MODE, LATENCY, SENT, SUMMARY, DIAGNOSTICS])),
    }


def _scene(agents: Sequence[str], ego: str, colors: dict[str, str]) -> Config:
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
    namespaces = {name: {"visible": True} for name in SOURCE_NAMES.values()}
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
                "frameId": topics.MAP_FRAME,
                "size": 400,
                "divisions": 40,
                "lineWidth": 1,
                "color": FRAME,
                "position": [0, 0, 0],
                "rotation": [0, 0, 0],
            }
        },
    }


def _plot(title: str, lines: dict[str, tuple[str, str]]) -> Config:
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


def _column(panels: Sequence[str]) -> Any:
    """Return panels of the same height, one below the other."""
    first, *others = panels
    return _split("column", 100 / len(panels), first, _column(others)) if others else first


def _split(direction: str, percentage: float, first: Any, second: Any) -> Config:
    return {"direction": direction, "splitPercentage": percentage, "first": first, "second": second}
