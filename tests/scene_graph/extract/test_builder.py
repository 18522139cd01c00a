from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.nodes import R_MAX_M, R_MIN_M, edges_between
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import ObjectClass
from tests.scene_graph.clouds import box, cloud, pole

SCENE = [*pole(15.0, 8.0, 0.2, 7.0), *pole(20.0, -6.0, 0.2, 7.0), *box(0.0, 0.0, 160.0, 160.0, 30.0)]


def detections(labels, scores=None) -> Detections:
    count = len(labels)
    boxes = np.tile([10.0, 0.0, -1.0, 4.5, 1.8, 1.6, 0.3], (count, 1))
    boxes[:, 1] = 5.0 * np.arange(count)
    scores = np.full(count, 0.9) if scores is None else scores
    return Detections(
        boxes, np.asarray(scores, np.float32), np.asarray(labels, np.int64), np.zeros(count, np.uint8)
    )


def frame(points) -> AgentFrame:
    pose, covariance = transform_from_planar(100.0, 200.0, 1.0), np.diag([0.1, 0.1, 0.01])
    return AgentFrame("unit", "infrastructure", 7, pose, points, covariance)


def test_a_frame_becomes_the_graph_of_its_agent():
    measured = frame(cloud(SCENE))
    graph = build(measured, detections([ObjectClass.CAR, ObjectClass.PEDESTRIAN]))
    assert (graph.agent_id, graph.stamp_ns) == ("unit", 7)
    np.testing.assert_allclose(graph.T_world_agent, measured.T_world_agent, atol=1e-4)
    np.testing.assert_array_equal(graph.pose_covariance, measured.pose_covariance)
    assert graph.ids.tolist() == list(range(len(graph)))
    assert graph.classes.tolist() == [
        NodeClass.VEHICLE,
        NodeClass.PERSON,
        NodeClass.POLE,
        NodeClass.POLE,
    ]
    assert np.isnan(graph.velocities[:2]).all()
    assert (graph.velocities[2:] == 0).all()
    assert graph.descriptors is None


def test_a_bare_cloud_has_a_graph_too():
    graph = build(cloud(SCENE), Detections.empty())
    assert graph.classes.tolist() == [NodeClass.POLE, NodeClass.POLE]
    np.testing.assert_allclose(graph.T_world_agent, np.eye(4), atol=1e-4)


def test_every_class_of_a_detector_has_a_class_of_nodes():
    graph = build(np.zeros((0, 4), np.float32), detections(list(ObjectClass)))
    assert graph.classes.tolist() == [1, 1, 1, 1, 2, 3, 3, 3, 0, 0]


def test_doubtful_and_broken_boxes_are_left_out_and_scores_set_the_sigma():
    seen = detections([0, 0, 0, 0], [0.9, 0.5, 0.29, 0.9])
    seen.boxes[3, 2] = np.nan
    graph = build(np.zeros((0, 4), np.float32), seen)
    np.testing.assert_allclose(graph.scores, [0.9, 0.5], atol=1e-6)
    assert graph.sigmas_m[1] > graph.sigmas_m[0] > 0


def test_the_same_cloud_in_another_order_gives_the_same_nodes():
    points = cloud(SCENE)
    one = build(points, Detections.empty())
    again = build(points, Detections.empty())
    np.testing.assert_array_equal(one.positions, again.positions)
    shuffled = build(np.random.default_rng(0).permutation(points), Detections.empty())
    np.testing.assert_allclose(shuffled.positions, one.positions, atol=0.02)


def test_edges_follow_the_distance_rule():
    places = np.array([[0, 0, 0], [R_MIN_M - 0.1, 0, 9], [R_MIN_M + 0.1, 0, 0], [100, 0, 0], [124, 0, 0]])
    sizes = np.full((5, 3), 0.2)
    poles = np.full(5, NodeClass.POLE)
    assert edges_between(poles, places, sizes).tolist() == [[0, 1], [1, 2]]
    # A lorry of 16 m has its neighbours farther away; a wall as long has not.
    sizes[3] = [25.0, 2.0, 3.0]
    assert edges_between(poles, places, sizes).tolist() == [[0, 1], [1, 2], [3, 4]]
    walls = np.full(5, NodeClass.WALL)
    assert edges_between(walls, places, sizes).tolist() == [[0, 1], [1, 2]]
    sizes[3, 0] = 1000.0
    places[4, 0] = 100 + R_MAX_M + 0.1
    assert edges_between(poles, places, sizes).tolist() == [[0, 1], [1, 2]]


def test_no_node_has_no_edge():
    graph = build(np.zeros((0, 4), np.float32), Detections.empty())
    assert len(graph) == 0
    assert edges_between(graph.classes, graph.positions, graph.sizes).shape == (0, 2)
    assert graph.positions.shape == (0, 3)


@pytest.mark.parametrize(
    ("points", "complaint"),
    [
        (np.zeros((5, 2), np.float32), r"shape \(5, 2\)"),
        (np.zeros(5, np.float32), r"shape \(5,\)"),
        (np.array([[0, 0, np.nan, 0], [1, 1, 1, 1]], np.float32), "not finite: 1 of 2 points"),
    ],
)
def test_what_is_no_cloud_is_refused(points, complaint):
    with pytest.raises(CosenseError, match=complaint):
        build(points, Detections.empty())
