"""The box struct: corners, fitting, transforms and points inside."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from cosense.geometry.boxes import (
    as_boxes,
    bev_corners,
    box_corners,
    boxes_from_corners,
    points_in_boxes,
    transform_boxes,
)
from cosense.geometry.transforms import (
    invert,
    transform_from_planar,
    transform_from_quaternion,
    transform_points,
    wrap_angle,
)

metres = st.floats(-3000, 3000)
sizes = st.floats(0.01, 20)
yaws = st.floats(-math.pi, math.pi, exclude_max=True)
box = st.tuples(metres, metres, st.floats(-30, 30), sizes, sizes, sizes, yaws)
many_boxes = st.lists(box, max_size=5).map(as_boxes)
planar = st.builds(transform_from_planar, metres, metres, st.floats(-7, 7), st.floats(-30, 30))

CAR = [10.0, 5.0, 1.0, 4.0, 2.0, 1.5, math.pi / 2]


def assert_same_boxes(actual, expected, atol=1e-7):
    assert_allclose(actual[:, :6], expected[:, :6], atol=atol)
    assert_allclose(wrap_angle(actual[:, 6] - expected[:, 6]), 0, atol=atol)


def test_corners_as_drawn():
    # Heading along +y: the front is at larger y, the left at smaller x.
    expected = [[9, 7], [11, 7], [11, 3], [9, 3]]
    assert_allclose(bev_corners([CAR]), [expected], atol=1e-12)
    corners = box_corners([CAR])
    assert corners.shape == (1, 8, 3)
    assert_allclose(corners[0, :4], [[*xy, 0.25] for xy in expected], atol=1e-12)
    assert_allclose(corners[0, 4:], [[*xy, 1.75] for xy in expected], atol=1e-12)


def test_corners_without_yaw():
    expected = [[2, 1, -0.5], [2, -1, -0.5], [-2, -1, -0.5], [-2, 1, -0.5]]
    corners = box_corners([[0, 0, 0, 4, 2, 1, 0]])[0]
    assert_array_equal(corners[:4], expected)
    assert_array_equal(corners[4:], np.add(expected, [0, 0, 1]))


@given(many_boxes)
def test_corners_and_back(boxes):
    assert_same_boxes(boxes_from_corners(box_corners(boxes)), boxes)


@given(box, st.integers(0, 2**32 - 1))
def test_skewed_corners_are_averaged(one, seed):
    noise = np.random.default_rng(seed).uniform(-1, 1, (8, 3)) * min(one[3:6]) / 50
    fitted = boxes_from_corners(box_corners([one]) + noise)
    assert_allclose(fitted[0, :3], np.array(one[:3]) + noise.mean(0), atol=1e-9)
    assert_allclose(fitted[0, 3:6], one[3:6], rtol=0.05)
    assert abs(wrap_angle(fitted[0, 6] - one[6])) < 0.05


@given(planar, many_boxes)
def test_corners_move_with_their_boxes(T, boxes):
    moved = box_corners(transform_boxes(T, boxes))
    expected = transform_points(T, box_corners(boxes).reshape(-1, 3)).reshape(-1, 8, 3)
    assert_allclose(moved, expected, atol=1e-7)


@given(planar, many_boxes)
def test_boxes_there_and_back(T, boxes):
    moved = transform_boxes(T, boxes)
    assert np.all((moved[:, 6] >= -math.pi) & (moved[:, 6] < math.pi))
    assert_same_boxes(transform_boxes(invert(T), moved), boxes)


@given(planar, planar, many_boxes)
def test_transforms_of_boxes_compose(T_c_b, T_b_a, boxes):
    assert_same_boxes(
        transform_boxes(T_c_b @ T_b_a, boxes), transform_boxes(T_c_b, transform_boxes(T_b_a, boxes))
    )


def test_roll_and_pitch_move_the_centre_only():
    half_angle = 0.05
    T = transform_from_quaternion([0, 0, 0], [0, math.sin(half_angle), 0, math.cos(half_angle)])
    moved = transform_boxes(T, [[10, 0, 0, 4, 2, 1.5, 0.0]])
    assert_allclose(moved, [[10 * math.cos(0.1), 0, -10 * math.sin(0.1), 4, 2, 1.5, 0]], atol=1e-12)


def test_a_transform_leaves_its_input_alone():
    boxes = as_boxes([CAR])
    transform_boxes(transform_from_planar(1, 2, 3), boxes)
    assert_array_equal(boxes, [CAR])


def test_arrays_of_boxes():
    assert as_boxes([]).shape == (0, 7)
    assert as_boxes([CAR]).dtype == as_boxes(np.ones((1, 7), dtype=np.float32)).dtype == np.float64
    assert box_corners([]).shape == (0, 8, 3)
    assert boxes_from_corners(np.zeros((0, 8, 3))).shape == (0, 7)
    assert transform_boxes(np.eye(4), []).shape == (0, 7)
    for wrong in (CAR, [CAR[:6]], [[CAR]]):
        with pytest.raises(ValueError, match=r"expected \(M, 7\)"):
            as_boxes(wrong)


def inside(point, one) -> bool:
    """By the half-spaces of the six faces, from the corners."""
    corners = box_corners([one])[0]
    origin, ends = corners[2], corners[[1, 3, 6]]
    for end in ends:
        edge = end - origin
        distance = np.dot(point - origin, edge) / np.linalg.norm(edge)
        if not 0 <= distance <= np.linalg.norm(edge):
            return False
    return True


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    boxes=st.integers(0, 5),
    points=st.integers(0, 30),
    dtype=st.sampled_from([np.float32, np.float64]),
    far_m=st.sampled_from([0, 3000]),
)
def test_points_inside_by_half_spaces(seed, boxes, points, dtype, far_m):
    rng = np.random.default_rng(seed)
    some = rng.uniform([-4, -4, -1, 0.5, 0.5, 0.5, -7], [4, 4, 1, 9, 4, 3, 7], (boxes, 7))
    xyz = rng.uniform([-6, -6, -2], [6, 6, 2], (points, 3))
    some[:, 0] += far_m
    xyz[:, 0] += far_m
    xyz = xyz.astype(dtype)
    expected = [[inside(point, one) for point in xyz.astype(np.float64)] for one in some]
    result = points_in_boxes(xyz, some)
    assert result.dtype == bool
    assert_array_equal(result, np.array(expected, dtype=bool).reshape(boxes, points))


def test_the_surface_is_inside():
    box_at_rest = [1, 2, 3, 4, 2, 1, 0]
    corners = box_corners([box_at_rest])[0]
    faces = np.array([[3, 2, 3], [-1, 2, 3], [1, 3, 3], [1, 1, 3], [1, 2, 3.5], [1, 2, 2.5]])
    on = np.concatenate([corners, faces])
    outside = (on - [1, 2, 3]) * (1 + 1e-9) + [1, 2, 3]
    assert points_in_boxes(on, [box_at_rest]).all()
    assert not points_in_boxes(outside, [box_at_rest]).any()


def test_points_keep_their_order():
    xyz = np.array([[5, 0, 0], [0, 0, 0], [-5, 0, 0], [0.5, 0, 0]], dtype=np.float32)
    boxes = [[0, 0, 0, 2, 2, 2, 0.3], [5, 0, 0, 2, 2, 2, 0], [50, 0, 0, 2, 2, 2, 0]]
    expected = [[False, True, False, True], [True, False, False, False], [False] * 4]
    assert_array_equal(points_in_boxes(xyz, boxes), expected)


def test_clouds_with_intensity_and_points_that_are_not_finite():
    points = np.array([[0, 0, 0, 1], [np.nan, 0, 0, 1], [0, np.nan, 0, 1], [np.inf, 0, 0, 1]])
    assert_array_equal(points_in_boxes(points, [[0, 0, 0, 2, 2, 2, 0]]), [[True, False, False, False]])


def test_no_points_and_no_boxes():
    assert points_in_boxes(np.zeros((0, 3)), [CAR]).shape == (1, 0)
    assert points_in_boxes(np.zeros((4, 3)), []).shape == (0, 4)
