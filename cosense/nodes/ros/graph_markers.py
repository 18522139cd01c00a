"""Scene graphs as RViz markers: nodes, edges, and lines between the nodes that agree.

The ego's graph and, laid upon it, those of the others: where the registration puts them, or, pale, where they
say that they are. Namespaces: "<agent> nodes", "<agent> edges", "<agent> agrees", "<agent> says".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from cosense.geometry.transforms import Matrix, invert, quaternion_of, transform_points
from cosense.messages.scene_graph import SceneGraph
from cosense.nodes.ros.conversions import to_pose
from cosense.nodes.ros.markers import clear, shown, text
from cosense.scene_graph.correction.pose_correction import RegisteredSender
from cosense.scene_graph.nodes import edges_between
from cosense.viewer.colors import AGREEMENT, agent_colors, rgba

_NODE_M, _EDGE_M, _MATCH_M, _TEXT_M = 0.8, 0.08, 0.25, 1.2
# Where it is only believed, not found.
_PALE = 0.35
_TEXT_ABOVE_M = 3.0


def graphs_to_markers(
    own: SceneGraph,
    others: Mapping[str, RegisteredSender],
    T_sensor_level: Matrix,
    stamp_ns: int,
    frame_id: str,
) -> MarkerArray:
    """Return the graphs of one moment.

    Args:
        own: of the ego, in its levelled frame.
        T_sensor_level: (4,4) maps that into the frame of its LiDAR.
        others: by sender, their graphs and what became of their registration.
        stamp_ns: of the ego's cloud.
        frame_id: of the ego's LiDAR.
    """
    colors = agent_colors([own.agent_id, *others])
    markers = [clear(stamp_ns, frame_id)]

    def add(
        name: str, kind: int, points: NDArray[np.float64], size_m: float, color: str, alpha: float
    ) -> None:
        marker = shown(kind, stamp_ns, frame_id)
        marker.ns = name
        marker.pose = to_pose(T_sensor_level[:3, 3], quaternion_of(T_sensor_level))
        marker.scale.x = size_m
        # Lines have a width alone.
        if kind == Marker.SPHERE_LIST:
            marker.scale.y = marker.scale.z = size_m
        marker.points = [Point(x=float(x), y=float(y), z=float(z)) for x, y, z in points]
        red, green, blue, opacity = rgba(color, alpha)
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
        if len(points):
            markers.append(marker)

    def add_graph(graph: SceneGraph, places: NDArray[np.float64], alpha: float) -> None:
        color = colors[graph.agent_id]
        add(f"{graph.agent_id} nodes", Marker.SPHERE_LIST, places, _NODE_M, color, alpha)
        ends = places[edges_between(graph.classes, graph.positions, graph.sizes).ravel()]
        add(f"{graph.agent_id} edges", Marker.LINE_LIST, ends, _EDGE_M, color, _PALE * alpha)

    add_graph(own, own.positions, 1.0)
    for name, other in others.items():
        graph, result = other.surroundings, other.result
        assert isinstance(graph, SceneGraph)
        T_own_other = result.T_a_b
        if T_own_other is None:
            T_own_other = invert(own.T_world_agent) @ graph.T_world_agent
        places = transform_points(T_own_other, graph.positions)
        add_graph(graph, places, 1.0 if result.registered else _PALE)
        matched = np.stack([own.positions[result.inliers[:, 0]], places[result.inliers[:, 1]]], axis=1)
        lines = matched.reshape(-1, 3)
        if result.registered:
            add(f"{name} agrees", Marker.LINE_LIST, lines, _MATCH_M, AGREEMENT, 1.0)
        above = transform_points(T_sensor_level, T_own_other[None, :3, 3] + [0.0, 0.0, _TEXT_ABOVE_M])[0]
        said = f"{name}: {result.status.value}, {result.reason}"
        markers.append(text(said, f"{name} says", above, _TEXT_M, stamp_ns, frame_id))
    return MarkerArray(markers=markers)
