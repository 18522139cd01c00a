"""A leaning sensor sees the same as an upright one: in the same places, at the same heights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.errors import CosenseError
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import (
    Matrix,
    invert,
    transform_from_planar,
    transform_from_quaternion,
    transform_from_slopes,
    transform_points,
    yaw_of,
)
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.levelling import level_cloud, levelled
from cosense.sensing.objects import Objects

T_WORLD_EGO = transform_from_planar(500.0, 300.0, 0.4, 2.0)
T_WORLD_MAST = transform_from_planar(540.0, 320.0, 2.9, 6.5)


def leaning(pitch_deg: float, roll_deg: float) -> Matrix:
    """Return T_level_sensor (4,4) of a sensor that is turned out of the vertical."""
    pitch, roll = np.deg2rad([pitch_deg, roll_deg]) / 2
    about_y = transform_from_quaternion([0, 0, 0], [0, np.sin(pitch), 0, np.cos(pitch)])
    return about_y @ transform_from_quaternion([0, 0, 0], [np.sin(roll), 0, 0, np.cos(roll)])


def frame(T_world_sensor: Matrix) -> AgentFrame:
    """Return what a sensor measures of a level road at z = 0 of the world, within 60 m."""
    xy = np.random.default_rng(0).uniform(-60, 60, (20_000, 2)) + T_world_sensor[:2, 3]
    road = np.column_stack([xy, np.random.default_rng(1).normal(0, 0.02, 20_000)])
    points = np.column_stack([transform_points(invert(T_world_sensor), road), np.full(20_000, 0.5)])
    return AgentFrame("mast", "infrastructure", 7, T_world_sensor, points.astype(np.float32))


@settings(max_examples=15, deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_leaning_mast_and_a_level_vehicle_agree_on_places(pitch_deg: float, roll_deg: float) -> None:
    """As features and boxes are placed: seen from above, by the planar poses of both levelled frames."""
    mast = levelled(frame(T_WORLD_MAST @ leaning(pitch_deg, roll_deg)))
    ego = levelled(frame(T_WORLD_EGO))
    azimuth = np.linspace(0, 2 * np.pi, 16)
    for distance_m, above_m in ((20.0, 0.0), (60.0, 0.0), (60.0, 1.6)):
        x, y = T_WORLD_MAST[:2, 3, None] + distance_m * np.array([np.cos(azimuth), np.sin(azimuth)])
        there = np.column_stack([x, y, np.full(16, above_m)])
        of_mast, of_ego = (transform_points(invert(each.T_world_agent), there) for each in (mast, ego))
        T_ego_mast = invert(ego.T_world_agent) @ mast.T_world_agent
        planar = transform_from_planar(*T_ego_mast[:2, 3], yaw_of(T_ego_mast))
        off_m = np.hypot(*(transform_points(planar, of_mast) - of_ego)[:, :2].T)
        assert off_m.max() < 0.1
        assert np.abs(mast.ground.heights(of_mast) - above_m).max() < 0.1


def test_a_frame_is_levelled_with_everything_in_it() -> None:
    T_level_sensor = leaning(4.0, -3.0)
    camera = Camera("front", np.zeros((2, 2, 3), np.uint8), np.eye(3), transform_from_planar(1, 2, 0.3, 4), 7)
    car = np.array([[20.0, 5.0, -5.7, 4.5, 1.8, 1.6, 0.3]])
    upright = Objects(car, np.zeros(1, np.int64), np.array(["car"]))
    measured = frame(T_WORLD_MAST @ T_level_sensor)
    objects = replace(upright, boxes=transform_boxes(invert(T_level_sensor), car))
    measured = replace(measured, cameras=(camera,), objects=objects, T_odom_agent=T_WORLD_EGO)
    level = levelled(measured)
    assert levelled(level) is level
    assert (level.agent_id, level.kind, level.stamp_ns) == ("mast", "infrastructure", 7)
    np.testing.assert_allclose(level.T_world_agent[:3, 2], [0, 0, 1], atol=0.001)
    np.testing.assert_allclose(level.T_world_agent[:3, 3], T_WORLD_MAST[:3, 3])
    # What is seen at one place of the world or the vehicle before is there afterwards.
    there = np.array([[3.0, -2.0, 1.0]])
    before = transform_points(measured.T_world_agent, transform_points(level.T_sensor_level, there))
    np.testing.assert_allclose(transform_points(level.T_world_agent, there), before)
    in_camera = transform_points(camera.T_camera_agent, transform_points(level.T_sensor_level, there))
    np.testing.assert_allclose(transform_points(level.cameras[0].T_camera_agent, there), in_camera)
    assert level.T_odom_agent is not None
    np.testing.assert_allclose(level.T_odom_agent, T_WORLD_EGO @ level.T_sensor_level)
    np.testing.assert_allclose(level.points[:, 3], measured.points[:, 3])
    assert level.objects is not None
    turned = transform_boxes(level.T_world_agent, level.objects.boxes)
    np.testing.assert_allclose(turned, transform_boxes(T_WORLD_MAST, car), atol=0.03)
    other = replace(measured, T_world_agent=transform_from_planar(1, 2, 0.5) @ measured.T_world_agent)
    moved = level.at_pose_of(other)
    np.testing.assert_allclose(moved.T_world_agent, other.T_world_agent @ level.T_sensor_level)
    assert moved.points is level.points


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_the_levelled_axes_are_normal_to_the_ground_and_above_that_of_the_sensor(x: float, y: float) -> None:
    R = transform_from_slopes(x, y)[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    # Two directions on the ground have no part in z of the levelled frame.
    np.testing.assert_allclose(np.array([[1, 0, x], [0, 1, y]]) @ R[:, 2], 0, atol=1e-12)
    assert R[1, 0] == 0
    assert R[0, 0] > 0.9


@pytest.mark.parametrize("points", [np.zeros(10), np.zeros((10, 2)), np.full((10, 4), np.nan)])
def test_what_is_no_cloud_is_refused(points: np.ndarray) -> None:
    with pytest.raises(CosenseError, match=r"expected \(N, 4\)|not finite: 10 of 10 points"):
        level_cloud(points.astype(np.float32))


def test_without_points_the_pose_says_how_a_sensor_leans() -> None:
    T_world_mast = T_WORLD_MAST @ leaning(3.0, -4.0)
    blind = replace(frame(T_world_mast), points=np.zeros((0, 4), np.float32))
    level = levelled(blind)
    np.testing.assert_allclose(level.T_world_agent[2, :3], [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(level.T_sensor_level, levelled(frame(T_world_mast)).T_sensor_level, atol=0.005)
    assert level.points.shape == (0, 4)


def test_a_pose_on_its_side_is_not_how_a_sensor_leans() -> None:
    blind = replace(frame(leaning(0.0, 90.0)), points=np.zeros((0, 4), np.float32))
    assert levelled(blind).slopes == (0.0, 0.0)
