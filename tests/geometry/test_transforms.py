"""Rigid transforms: closed forms, and what must hold for any of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from cosense.geometry.transforms import (
    displaced,
    interpolated,
    invert,
    quaternion_of,
    transform_from,
    transform_from_planar,
    transform_from_quaternion,
    transform_points,
    wrap_angle,
    yaw_of,
)

metres = st.floats(-5000, 5000)
translations = st.tuples(metres, metres, metres)
unit = st.floats(-1, 1)
quaternions = st.tuples(unit, unit, unit, unit).filter(lambda q: np.linalg.norm(q) > 0.1)
transforms = st.builds(transform_from_quaternion, translations, quaternions)
points = st.lists(st.tuples(metres, metres, metres), max_size=5).map(lambda p: np.array(p).reshape(-1, 3))


@pytest.mark.parametrize(
    ("angle", "expected"),
    [
        (0, 0),
        (math.pi, -math.pi),
        (-math.pi, -math.pi),
        (1.5 * math.pi, -0.5 * math.pi),
        (7, 7 - 2 * math.pi),
    ],
)
def test_wrapped_angles(angle, expected):
    assert_allclose(wrap_angle(angle), expected, atol=1e-12)


@given(st.floats(-1e6, 1e6))
def test_wrapping_keeps_the_direction(angle):
    wrapped = wrap_angle(angle)
    assert -math.pi <= wrapped < math.pi
    assert_allclose([np.cos(wrapped), np.sin(wrapped)], [math.cos(angle), math.sin(angle)], atol=1e-8)


@pytest.mark.parametrize("turns", [-3, -1, 0, 1])
def test_wrapping_next_to_a_border(turns):
    border = math.pi + 2 * math.pi * turns
    angles = border + np.linspace(-4e-15, 4e-15, 41)
    assert np.all(wrap_angle(angles) < math.pi)
    assert np.all(wrap_angle(angles) >= -math.pi)


def test_planar_transform_turns_and_then_moves():
    T = transform_from_planar(10, 20, math.pi / 2, z=3)
    assert_allclose(transform_points(T, np.array([[1.0, 0, 0], [0, 1, 5]])), [[10, 21, 3], [9, 20, 8]])
    assert_allclose(yaw_of(T), math.pi / 2)


def test_translation_may_be_a_column():
    rotation = transform_from_planar(0, 0, 0.3)[:3, :3]
    assert_array_equal(transform_from(rotation, [[1], [2], [3]]), transform_from_planar(1, 2, 0.3, z=3))


@pytest.mark.parametrize(
    ("quaternion", "source", "target"),
    [
        ((0, 0, 0, 1), [1, 2, 3], [1, 2, 3]),
        ((0, 0, math.sqrt(0.5), math.sqrt(0.5)), [1, 2, 3], [-2, 1, 3]),
        ((math.sqrt(0.5), 0, 0, math.sqrt(0.5)), [1, 2, 3], [1, -3, 2]),
        ((0, 2, 0, 2), [1, 2, 3], [3, 2, -1]),
    ],
)
def test_quaternions_are_x_y_z_w(quaternion, source, target):
    T = transform_from_quaternion([0, 0, 0], quaternion)
    assert_allclose(transform_points(T, np.array([source], dtype=float)), [target], atol=1e-12)


@given(translations, quaternions)
def test_quaternion_round_trip(translation, quaternion):
    back = quaternion_of(transform_from_quaternion(translation, quaternion))
    expected = np.array(quaternion) / np.linalg.norm(quaternion)
    assert back[3] >= 0
    assert_allclose(abs(back @ expected), 1, atol=1e-9)
    if abs(expected[3]) > 1e-6:
        assert_allclose(back, expected * np.sign(expected[3]), atol=1e-7)


@given(st.floats(-math.pi + 1e-9, math.pi - 1e-9), metres, metres)
def test_yaw_of_planar_transform(yaw, x, y):
    assert_allclose(yaw_of(transform_from_planar(x, y, yaw)), yaw, atol=1e-12)


@given(transforms, points)
def test_inverse_brings_points_back(T_b_a, xyz):
    assert_allclose(invert(T_b_a) @ T_b_a, np.eye(4), atol=1e-8)
    assert_allclose(transform_points(invert(T_b_a), transform_points(T_b_a, xyz)), xyz, atol=1e-8)


@given(transforms, transforms, points)
def test_products_are_applied_from_the_right(T_c_b, T_b_a, xyz):
    step_by_step = transform_points(T_c_b, transform_points(T_b_a, xyz))
    assert_allclose(transform_points(T_c_b @ T_b_a, xyz), step_by_step, atol=1e-7)


@given(transforms, points)
def test_distances_are_kept(T, xyz):
    moved = transform_points(T, xyz)
    for k in range(len(xyz)):
        before, after = np.linalg.norm(xyz - xyz[k], axis=1), np.linalg.norm(moved - moved[k], axis=1)
        assert_allclose(after, before, atol=1e-7)


def test_inverse_of_a_calibration_that_is_not_orthonormal():
    T = transform_from_planar(3, 4, 0.3, z=5)
    T[:3, :3] += [[1e-3, 0, 2e-3], [0, -2e-3, 0], [1e-3, 0, 0]]
    assert_allclose(invert(T) @ T, np.eye(4), atol=1e-12)
    assert np.abs(T[:3, :3].T @ T[:3, :3] - np.eye(3)).max() > 1e-3


@pytest.mark.parametrize(
    ("dtype", "expected"), [(np.float32, np.float32), (np.float64, np.float64), (np.int64, np.float64)]
)
def test_type_of_points(dtype, expected):
    xyz = np.array([[1, 2, 3]], dtype=dtype)
    moved = transform_points(transform_from_planar(0.5, 0, 0), xyz)
    assert moved.dtype == expected
    assert_array_equal(moved, [[1.5, 2, 3]])
    assert_array_equal(xyz, [[1, 2, 3]])


def test_float32_points_are_moved_in_float64():
    # At 4 km a float32 keeps a quarter of a millimetre; the intermediate product must not.
    T = transform_from_planar(4000.0001, 0, 0)
    back = transform_from_planar(-4000.0001, 0, 0)
    xyz = np.array([[0.0123, 0, 0]], dtype=np.float32)
    assert_array_equal(transform_points(back @ T, xyz), xyz)
    assert transform_points(T, np.zeros((0, 3), dtype=np.float32)).shape == (0, 3)


def test_halfway_is_half_the_way_and_half_the_turn():
    # From 170 to -170 degrees it is 20 degrees over the back, not 340 over the front.
    start, end = (
        transform_from_planar(0, 0, np.radians(170)),
        transform_from_planar(4, -2, np.radians(-170), 1),
    )
    assert_allclose(interpolated(start, end, 0.5), transform_from_planar(2, -1, np.pi, 0.5), atol=1e-12)
    assert_allclose(interpolated(start, end, 0.0), start, atol=1e-12)
    assert_allclose(interpolated(start, end, 1.0), end, atol=1e-12)


def test_a_pose_is_moved_in_the_world_and_turned_about_itself():
    T = transform_from_planar(100.0, -20.0, 0.3, 2.0)
    moved = displaced(T, [1.0, -2.0, 0.5])
    assert_allclose(moved, transform_from_planar(101.0, -22.0, 0.8, 2.0), atol=1e-12)
