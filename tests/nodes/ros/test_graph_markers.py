from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import (
    invert,
    quaternion_of,
    transform_from_planar,
    transform_from_slopes,
    transform_points,
)
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import RegistrationResult, Status
from tests.scene_graph.scenes import graph_of, pair

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from visualization_msgs.msg import Marker

from cosense.nodes.ros.graph_markers import graphs_to_markers
from cosense.scene_graph.correction.pose_correction import RegisteredSender

LEANING = transform_from_slopes(0.1, -0.05)


def by_name(own, others):
    markers = graphs_to_markers(own, others, LEANING, 5, "ego/lidar").markers
    assert markers[0].action == Marker.DELETEALL
    assert {(m.header.frame_id, m.header.stamp.nanosec) for m in markers} == {("ego/lidar", 5)}
    return {marker.ns: marker for marker in markers[1:]}


def points(marker) -> np.ndarray:
    """Return the points of a marker in the levelled frame, which its pose puts into that of the LiDAR."""
    q = marker.pose.orientation
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], quaternion_of(LEANING))
    return np.array([(p.x, p.y, p.z) for p in marker.points])


def test_a_registered_graph_lies_upon_the_egos_and_lines_join_what_agrees():
    own, other, T_own_other = pair(np.random.default_rng(1), 12, 3, 0.05)
    result = register_graphs(own, other)
    assert result.T_a_b is not None
    shown = by_name(own, {"b": RegisteredSender(other, result)})
    np.testing.assert_allclose(points(shown["a nodes"]), own.positions)
    places = points(shown["b nodes"])
    assert np.abs(places - transform_points(T_own_other, other.positions))[:, :2].max() < 1.0
    ends = points(shown["b agrees"]).reshape(-1, 2, 3)
    assert len(ends) == len(result.inliers)
    assert np.linalg.norm(ends[:, 0, :2] - ends[:, 1, :2], axis=1).max() < 1.0
    assert shown["b says"].text == f"b: registered, {result.reason}"
    assert shown["b nodes"].color.a == 1.0


def test_a_refused_graph_is_pale_where_it_was_sent_from_and_nothing_agrees():
    T_world_own, T_world_other = transform_from_planar(1, 2, 0.3), transform_from_planar(5, -1, -0.4)
    own = graph_of([4, 4], [[3, 0, 0], [5, 1, 0]], T_world_agent=T_world_own)
    other = replace(own, agent_id="b", T_world_agent=T_world_other)
    refused = RegistrationResult(Status.TOO_FEW, "2 matches", inliers=np.array([[0, 1]]))
    shown = by_name(own, {"b": RegisteredSender(other, refused)})
    expected = transform_points(invert(T_world_own) @ T_world_other, other.positions)
    np.testing.assert_allclose(points(shown["b nodes"]), expected)
    np.testing.assert_allclose(points(shown["b edges"]), expected)
    assert shown["b nodes"].color.a < 1.0
    assert "b agrees" not in shown


def test_an_empty_graph_shows_nothing():
    own = graph_of([], np.zeros((0, 3)))
    assert by_name(own, {}) == {}
