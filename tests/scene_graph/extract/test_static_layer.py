from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.boxes import as_boxes
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.builder import SceneGraphBuilder, build
from cosense.scene_graph.extract.static_layer import StaticLayer, static_objects
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.ground import GroundSurface
from tests.scene_graph.clouds import box, cloud, pole

STEP_NS = 100_000_000
HORIZON = box(0.0, 0.0, 160.0, 160.0, 30.0)
POLES = np.array([[15.0, 8.0], [25.0, -6.0], [-12.0, 10.0]])
WORLD = transform_from_planar(1000.0, 2000.0, 0.7)


def faces_at(T_scene_agent, poles=POLES, more=()):
    """Return the faces of poles of the scene as an agent sees them."""
    places = transform_points(invert(T_scene_agent), np.column_stack([poles, np.zeros(len(poles))]))
    return [face for x, y, _ in places for face in pole(x, y, 0.2, 7.0)] + list(more) + HORIZON


def look(layer: StaticLayer, step: int, T_scene_agent, poles=POLES, more=()) -> None:
    seen = cloud(faces_at(T_scene_agent, poles, more))
    found = static_objects(seen, GroundSurface.level(-1.9), as_boxes([]), nearest_m=2.5)
    layer.update(step * STEP_NS, WORLD @ T_scene_agent, found)


def test_a_pole_is_the_same_from_wherever_it_is_seen_and_as_sure_as_from_nearby():
    layer = StaticLayer()
    for step in range(4):
        T = transform_from_planar(1.0 * step, 0.2 * step, 0.1 * step)
        look(layer, step, T)
        nodes, ids = layer.nodes(WORLD @ T)
        assert sorted(ids.tolist()) == [0, 1, 2]
        if step == 0:
            first = dict(zip(ids.tolist(), nodes.sigmas_m, strict=True))
            where = dict(zip(ids.tolist(), transform_points(T, nodes.positions), strict=True))
    for row, thing in enumerate(ids.tolist()):
        # It drives towards the first two and away from the last one.
        if where[thing][0] > 0:
            assert nodes.sigmas_m[row] < first[thing]
        else:
            assert nodes.sigmas_m[row] == first[thing]
        np.testing.assert_allclose(transform_points(T, nodes.positions)[row, :2], where[thing][:2], atol=0.1)
    assert (nodes.scores > 0.6).all()


def test_what_is_out_of_sight_is_still_told():
    layer = StaticLayer()
    still = np.eye(4)
    look(layer, 0, still)
    screen = [(5.0, 2.0, 5.0, 6.0, 5.0), (5.0, 6.0, 9.0, 8.0, 5.0), (5.0, 2.0, 9.0, 3.0, 5.0)]
    for step in range(1, 8):
        look(layer, step, still, more=screen)
    nodes, _ = layer.nodes(WORLD)
    hidden = np.hypot(*(nodes.positions[:, :2] - POLES[0]).T) < 0.3
    assert hidden.sum() == 1


def test_what_should_be_seen_and_is_not_goes():
    layer = StaticLayer()
    for step in range(9):
        look(layer, step, np.eye(4), POLES if step < 1 else POLES[1:])
    nodes, _ = layer.nodes(WORLD)
    assert len(nodes) == 2
    assert np.hypot(*(nodes.positions[:, :2] - POLES[0]).T).min() > 5


def test_half_a_minute_is_as_long_as_anything_is_remembered():
    layer = StaticLayer()
    look(layer, 0, np.eye(4))
    far = transform_from_planar(60.0, 60.0, 0.0)
    look(layer, 299, far, POLES[:0])
    assert len(layer) == 3
    look(layer, 301, far, POLES[:0])
    assert len(layer) == 0


def test_time_that_goes_back_starts_over():
    layer = StaticLayer()
    look(layer, 5, np.eye(4))
    look(layer, 4, np.eye(4), POLES[:1])
    assert len(layer) == 1


def frame(step: int, T_scene_agent, faces) -> AgentFrame:
    return AgentFrame("car", "vehicle", step * STEP_NS, WORLD @ T_scene_agent, cloud(faces))


def car_at(x: float) -> Detections:
    boxes = np.array([[x, -3.0, -1.1, 4.5, 1.8, 1.6, 0.0]])
    return Detections(boxes, np.array([0.9], np.float32), np.zeros(1, np.int64), np.zeros(1, np.uint8))


def test_a_graph_has_a_layer_that_moves_and_one_that_stands():
    builder = SceneGraphBuilder()
    graphs = [
        builder.update(frame(step, np.eye(4), faces_at(np.eye(4))), car_at(10.0 + step)) for step in range(3)
    ]
    assert [graph.classes.tolist() for graph in graphs] == 3 * [[NodeClass.VEHICLE, *3 * [NodeClass.POLE]]]
    assert graphs[0].ids.tolist() == graphs[2].ids.tolist()
    assert len(set(graphs[0].ids.tolist())) == 4
    assert np.isnan(graphs[0].velocities[0]).all()
    np.testing.assert_allclose(graphs[2].velocities[0], [10.0, 0.0], atol=0.02)
    assert (graphs[2].velocities[1:] == 0).all()
    np.testing.assert_allclose(graphs[2].positions[0], [12.0, -3.0, -1.1], atol=0.05)


def test_a_position_that_jumps_does_not_smear_what_odometry_holds_together():
    rng = np.random.default_rng(3)
    builder, lost = SceneGraphBuilder(), SceneGraphBuilder()
    for step in range(6):
        T = transform_from_planar(1.0 * step, 0.0, 0.0)
        jump = transform_from_planar(*rng.normal(0, 2.0, 2), 0.0)
        jumping = AgentFrame("a", "vehicle", step * STEP_NS, jump @ WORLD @ T, cloud(faces_at(T)))
        graph = builder.update(replace(jumping, T_odom_agent=T), Detections.empty())
        smeared = lost.update(jumping, Detections.empty())
    there = transform_points(invert(T), np.column_stack([POLES, np.zeros(len(POLES))]))
    for x, y, _ in there:
        assert (np.hypot(*(graph.positions[:, :2] - [x, y]).T) < 0.3).sum() == 1
    assert len(smeared) > len(graph)
    np.testing.assert_allclose(graph.T_world_agent, jumping.T_world_agent, atol=0.01)


def test_who_may_be_elsewhere_in_the_next_frame_gathers_nothing():
    builder = SceneGraphBuilder()
    for step, jump in enumerate((0.0, 3.0)):
        measured = replace(
            frame(step, transform_from_planar(jump, 0.0, 0.0), faces_at(np.eye(4))),
            pose_covariance=np.diag([1.0, 1.0, 0.01]),
        )
        graph = builder.update(measured, Detections.empty())
        assert len(graph) == len(POLES)


def test_ids_stay_unique_however_many_things_have_come_and_gone():
    builder = SceneGraphBuilder()
    first = builder.update(frame(0, np.eye(4), faces_at(np.eye(4))), Detections.empty())
    builder._static._started = 1 << 15
    builder._static_ids._next = 0
    more = np.concatenate([POLES, [[20.0, 15.0]]])
    graph = builder.update(frame(1, np.eye(4), faces_at(np.eye(4), more)), car_at(10.0))
    assert len(set(graph.ids.tolist())) == len(graph) == 5
    assert set(first.ids.tolist()) < set(graph.ids.tolist())


def test_the_first_graph_of_a_builder_is_that_of_one_frame():
    measured = frame(0, np.eye(4), faces_at(np.eye(4)))
    first, alone = SceneGraphBuilder().update(measured, car_at(10.0)), build(measured, car_at(10.0))
    np.testing.assert_allclose(first.positions, alone.positions, atol=1e-9)
    np.testing.assert_array_equal(first.classes, alone.classes)


def test_a_wall_keeps_its_direction_in_a_vehicle_that_turns():
    layer = StaticLayer()
    for step, turn in enumerate((0.0, 0.4)):
        T = transform_from_planar(0.0, 0.0, turn)
        house = [
            (
                *transform_points(invert(T), np.array([[x0, y0, 0.0]]))[0, :2],
                *transform_points(invert(T), np.array([[x1, y1, 0.0]]))[0, :2],
                top,
            )
            for x0, y0, x1, y1, top in box(16.0, 0.0, 8.0, 10.0, 4.0)
        ]
        look(layer, step, T, POLES[:0], house)
        nodes, _ = layer.nodes(WORLD @ T)
        wall = nodes.classes == NodeClass.WALL
        assert nodes.yaws[wall][0] == pytest.approx((np.pi / 2 - turn) % np.pi, abs=0.02)
