"""The points of the nodes that agree refine a coarse pose, where both agents see the same sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.scene_graph.register.refinement import points_on, refined
from cosense.scene_graph.register.result import RegistrationResult, Status
from tests.scene_graph.clouds import Face, box, cloud
from tests.scene_graph.scenes import errors, graph_of

T_A_B = transform_from_planar(14.0, 4.0, np.deg2rad(40))
OFF = transform_from_planar(0.15, -0.12, np.deg2rad(0.6))
# Blocks that both see from about the same side: x, y, length, width, turn.
BLOCKS = [(25, 15, 6, 4, 0.3), (28, -8, 4.5, 1.8, 1.2), (5, 18, 4.5, 1.8, -0.4), (6, -14, 5, 5, 0.0)]
COVARIANCE = np.diag([0.2, 0.2, np.deg2rad(1)]) ** 2


def from_b(faces: list[Face]) -> list[Face]:
    ends = np.array(faces)
    places = np.concatenate([ends[:, :2], ends[:, 2:4]])
    moved = transform_points(invert(T_A_B), np.column_stack([places, np.zeros(len(places))]))[:, :2]
    return [tuple(face) for face in np.column_stack([moved[: len(ends)], moved[len(ends) :], ends[:, 4]])]


def scene(blocks: list[tuple[float, ...]], kind: NodeClass = NodeClass.WALL, stamp_ns: int = 0) -> tuple:
    """Return both graphs, both clouds and the points of all of b's nodes."""
    faces = [face for x, y, length, width, yaw in blocks for face in box(x, y, length, width, 3.0, yaw)]
    clouds = cloud(faces), cloud(from_b(faces))
    places = np.array([(x, y, -1.9) for x, y, *_ in blocks])
    sizes = np.array([(length, width, 3.0) for _, _, length, width, _ in blocks])
    kinds = [kind] * len(blocks)
    a = graph_of(kinds, places, sizes=sizes)
    b = graph_of(kinds, transform_points(invert(T_A_B), places), sizes=sizes, agent_id="b", stamp_ns=stamp_ns)
    return a, clouds[0], b, points_on(b, clouds[1], list(b.ids), 64)


def coarse(T: np.ndarray = T_A_B @ OFF) -> RegistrationResult:
    return RegistrationResult(Status.REGISTERED, "coarse", T, COVARIANCE)


def test_points_refine_a_coarse_pose():
    result = refined(coarse(), *scene(BLOCKS))
    metres, degrees = errors(result.T_a_b, T_A_B)
    assert errors(coarse().T_a_b, T_A_B)[0] > 0.15
    assert metres < 0.03
    assert degrees < 0.1
    assert "refined by" in result.reason


def test_the_covariance_gets_smaller_and_covers_the_error():
    result = refined(coarse(), *scene(BLOCKS))
    assert (np.linalg.eigvalsh(COVARIANCE - result.covariance) > 0).all()
    off = (result.T_a_b - T_A_B)[:2, 3]
    assert off @ np.linalg.solve(result.covariance[:2, :2], off) < 9.21


@pytest.mark.parametrize("x", np.linspace(-0.3, 0.3, 5))
def test_from_wherever_it_begins_it_ends_at_one_pose(x):
    begin = T_A_B.copy()
    begin[0, 3] += x
    assert errors(refined(coarse(begin), *scene(BLOCKS)).T_a_b, T_A_B)[0] < 0.05


def test_a_long_wall_leaves_its_own_direction_to_the_coarse_pose():
    result = refined(coarse(T_A_B), *scene([(20, 12, 60, 1, 0.0)]))
    along, across = np.sqrt(np.diag(result.covariance)[:2])
    assert across < 0.1 < 0.15 < along


def test_two_sides_of_one_wall_are_not_laid_upon_each_other():
    # Seen from the one side by a, from the other by b, and half a metre thick.
    wall: list[tuple[float, ...]] = [(7, 2, 0.5, 12, np.arctan2(4, 14))]
    result = refined(coarse(T_A_B), *scene(wall))
    assert np.array_equal(result.T_a_b, T_A_B)
    assert np.array_equal(result.covariance, COVARIANCE)


def test_what_may_have_moved_meanwhile_has_no_say():
    result = refined(coarse(), *scene(BLOCKS, NodeClass.VEHICLE, stamp_ns=80_000_000))
    assert np.array_equal(result.T_a_b, coarse().T_a_b)
    assert errors(refined(coarse(), *scene(BLOCKS, NodeClass.VEHICLE)).T_a_b, T_A_B)[0] < 0.03


def test_what_moves_is_taken_to_where_it_is_at_the_other_stamp():
    a, cloud_a, b, points = scene(BLOCKS, NodeClass.VEHICLE, stamp_ns=-40_000_000)
    away = np.tile([-5.0, 2.0], (len(b), 1))
    earlier = replace(b, positions=b.positions - 0.04 * np.pad(away, ((0, 0), (0, 1))), velocities=away)
    assert errors(refined(coarse(), a, cloud_a, earlier, points).T_a_b, T_A_B)[0] < 0.03


def test_a_refusal_stays_one_and_nothing_changes_without_points():
    a, cloud_a, b, points = scene(BLOCKS)
    refusal = RegistrationResult(Status.TOO_FEW, "4 matches agree, 5 are needed")
    assert refined(refusal, a, cloud_a, b, points) is refusal
    empty: SceneGraph = graph_of([], np.zeros((0, 3)))
    for graph, some in ((b, {}), (b, {0: np.zeros((0, 3))}), (b, {999: points[0]}), (empty, points)):
        assert np.array_equal(refined(coarse(), a, cloud_a, graph, some).T_a_b, coarse().T_a_b)
    assert np.array_equal(refined(coarse(), a, cloud_a[:0], b, points).T_a_b, coarse().T_a_b)
