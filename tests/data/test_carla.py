"""CARLA's left-handed axes against ours, by cases that can be drawn on paper."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cosense.data.carla import (
    T_camera_agent_from_extrinsic,
    extrinsic_from_T_camera_agent,
    matrix_from_pose,
    mirrored,
    pose_from_matrix,
)
from cosense.geometry.transforms import transform_points, yaw_of

metres = st.floats(-1000, 1000)
degrees = st.floats(-179, 179)


def test_a_vehicle_that_has_turned_right_in_carla_has_turned_right_here():
    T_world_agent = mirrored(matrix_from_pose([10, 5, 0, 0, 90, 0]))
    # CARLA: x forward, y right. Looking along +y means having turned right: yaw -90 degrees in ours.
    assert np.isclose(yaw_of(T_world_agent), -np.pi / 2)
    np.testing.assert_allclose(T_world_agent[:3, 3], [10, -5, 0])
    np.testing.assert_allclose(transform_points(T_world_agent, np.array([[2.0, 1.0, 0.0]])), [[11, -7, 0]])


def test_positive_pitch_in_carla_lifts_the_nose():
    nose = transform_points(mirrored(matrix_from_pose([0, 0, 0, 0, 0, 30])), np.array([[1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(nose, [[np.cos(np.pi / 6), 0, 0.5]], atol=1e-12)


@given(st.tuples(metres, metres, metres, degrees, degrees, st.floats(-89, 89)))
def test_poses_survive_the_way_through_a_matrix(pose):
    T = matrix_from_pose(pose)
    assert np.isclose(np.linalg.det(T[:3, :3]), 1)
    np.testing.assert_allclose(mirrored(mirrored(T)), T)
    np.testing.assert_allclose(matrix_from_pose(pose_from_matrix(T)), T, atol=1e-9)


def test_optical_axes_of_a_camera_that_looks_forward():
    T = T_camera_agent_from_extrinsic(np.eye(4))
    # 10 m ahead, 2 m to the left, 1 m up: depth 10, x (right) -2, y (down) -1.
    np.testing.assert_allclose(transform_points(T, np.array([[10.0, 2.0, 1.0]])), [[-2, -1, 10]])
    np.testing.assert_allclose(extrinsic_from_T_camera_agent(T), np.eye(4))
