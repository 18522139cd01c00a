"""Graph, result, request and reply: two agents register through their messages alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import transmitted
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.register.coarse_to_fine import register_and_refine
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Status
from cosense.sensing.detections import Detections
from tests.scene_graph.clouds import Face, box, cloud, pole
from tests.scene_graph.scenes import errors

T_A_B = transform_from_planar(6.0, -3.0, np.deg2rad(70))
POLES = [(12, 7), (-9, 8.5), (20, -7), (31, 8), (-16, -6), (5, -12), (-25, 11), (17, 16)]
HOUSES = [(24, 22, 9, 6, 0.3), (-20, 20, 7, 7, 1.0), (10, -24, 8, 5, -0.2)]


def street(T: np.ndarray, poles: list[tuple[float, float]]) -> np.ndarray:
    """Return what a sensor at T of the scene sees."""
    faces: list[Face] = [face for x, y in poles for face in pole(*seen_from(T, x, y), 0.3, 5.0)]
    turn = np.arctan2(T[1, 0], T[0, 0])
    for x, y, length, width, yaw in HOUSES[: len(poles) // 2]:
        faces += box(*seen_from(T, x, y), length, width, 4.0, yaw - turn)
    return cloud(faces)


def seen_from(T: np.ndarray, x: float, y: float) -> tuple[float, float]:
    place = transform_points(invert(T), np.array([[x, y, 0.0]]))[0]
    return float(place[0]), float(place[1])


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, np.ndarray]:
    return street(np.eye(4), POLES), street(T_A_B, POLES)


def graph(points: np.ndarray):
    return build(points, Detections.empty())


def test_points_make_the_pose_better(clouds):
    a, b = clouds
    done = register_and_refine(graph(a), a, graph(b), b)
    assert done.result.registered
    assert errors(done.result.T_a_b, T_A_B)[0] < max(0.03, errors(done.coarse.T_a_b, T_A_B)[0])


def test_the_coarse_pose_is_that_of_the_graph_that_came(clouds):
    a, b = clouds
    done = register_and_refine(graph(a), a, graph(b), b)
    received, graph_bytes = transmitted(replace(graph(b), agent_id="b"), 80)
    assert np.array_equal(done.coarse.T_a_b, register_graphs(graph(a), received).T_a_b)
    assert done.sent_bytes["GRAPH"] == graph_bytes
    assert np.array_equal(done.graph_b.positions, received.positions)


def test_every_message_is_counted(clouds):
    a, b = clouds
    done = register_and_refine(graph(a), a, graph(b), b)
    assert list(done.sent_bytes) == ["GRAPH", "REPLY", "RESULT", "REQUEST"]
    # Two bytes a node that agrees, six bytes a point of it, and envelopes.
    assert 0 < done.sent_bytes["REQUEST"] - 2 * len(done.coarse.inliers) < 200
    assert done.sent_bytes["REPLY"] <= len(done.coarse.inliers) * (4 + 6 * 64) + 200


def test_nothing_is_asked_after_a_refusal(clouds):
    a, _ = clouds
    elsewhere = street(np.eye(4), [(5, 30)])
    done = register_and_refine(graph(a), a, graph(elsewhere), elsewhere)
    assert done.result.status is Status.TOO_FEW
    assert done.result.T_a_b is None
    assert list(done.sent_bytes) == ["GRAPH", "RESULT"]


def test_two_frames_of_one_agent_have_no_name_in_common(clouds):
    a, b = clouds
    named = [replace(graph(points), agent_id="ego") for points in (a, b)]
    assert register_and_refine(named[0], a, named[1], b).result.registered
