"""Where points of a cloud are in an image, also if that was taken later."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from, transform_from_planar
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.projection import (
    check_view,
    fitted_to,
    moved_until,
    project,
    rectified,
    way_until,
)

K = np.array([[100.0, 0, 49.5], [0, 100.0, 24.5], [0, 0, 1]])
# The optical axis along x of the agent: right is -y, down is -z.
FORWARD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
NO_BOXES = np.zeros((0, 7)), np.zeros((0, 2))
SECOND_NS = 1_000_000_000


def camera(turn_rad=0.0, name="front", stamp_ns=0) -> Camera:
    """Return a camera of 100 x 50 pixels, 1 m ahead of the origin and 0.5 m above it, turned to the left."""
    turned = FORWARD @ transform_from_planar(0, 0, -turn_rad)[:3, :3]
    T = transform_from(turned, np.zeros(3)) @ transform_from(np.eye(3), [-1.0, 0, -0.5])
    return Camera(name, np.zeros((50, 100, 3), np.uint8), K, T, stamp_ns)


def frame(pose=None, stamp_ns=0, points=((11.0, 0.0, 0.5, 0.0),), cameras=()) -> AgentFrame:
    T = np.eye(4) if pose is None else pose
    return AgentFrame("car", "vehicle", stamp_ns, T, np.array(points, np.float32), cameras=cameras)


def test_a_point_straight_ahead_is_in_the_middle_and_others_where_the_lens_puts_them():
    points = np.array([[11, 0, 0.5], [11, 1, 0.5], [11, 0, 1.5], [11, 6, 0.5], [-9, 0, 0.5], [1.2, 0, 0.5]])
    seen = project(camera(), points)
    assert_allclose(seen.uv[:3], [[49.5, 24.5], [39.5, 24.5], [49.5, 14.5]])
    assert_allclose(seen.depth_m, [10, 10, 10, 10, -10, 0.2])
    assert_array_equal(seen.is_inside, [True, True, True, False, False, False])
    assert np.isnan(seen.uv[4:]).all()


def test_each_of_several_cameras_sees_its_side():
    points = np.array([[10.0, 0, 0], [1.0, 10, 0], [1.0, -10, 0], [-10.0, 0, 0]])
    ring = [camera(turn, str(turn)) for turn in (0, np.pi / 2, -np.pi / 2, np.pi)]
    seen = np.array([project(one, points).is_inside for one in ring])
    assert_array_equal(seen, np.eye(4, dtype=bool))


def test_a_resized_image_has_a_smaller_k_and_shows_the_same():
    half = fitted_to(K, (100, 50), (50, 25))
    # The border between pixels 49 and 50 is that between 24 and 25.
    assert_allclose(half, [[50, 0, 24.5], [0, 50, 12.0], [0, 0, 1]])
    assert_array_equal(fitted_to(K, (100, 50), (100, 50)), K)
    with pytest.raises(CosenseError, match="no change of size alone"):
        fitted_to(K, (100, 50), (50, 50))


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", [-0.3, 0.1, 0.001, -0.001, 0.0]),
        ("rational_polynomial", [-0.3, 0.1, 0, 0, 0, 0.02, 0, 0]),
        ("equidistant", [-0.05, 0.01, 0, 0]),
    ],
)
def test_a_distorted_image_becomes_that_of_a_pinhole_camera(model, coefficients):
    wide = np.array([[160.0, 0, 160], [0, 160, 120], [0, 0, 1]])
    ray = np.array([[[0.5, -0.3, 1.0]]])
    if model == "equidistant":
        # Zhang's order: OpenCV takes the ray divided by its depth.
        spot = cv2.fisheye.distortPoints(ray[:, :, :2], wide, np.array(coefficients))
    else:
        spot = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), wide, np.array(coefficients))[0]
    u, v = spot.ravel()
    rows, columns = np.mgrid[:240, :320]
    blob = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8)
    image = np.repeat((255 * blob).astype(np.uint8)[..., None], 3, axis=2)
    straight = rectified(image, wide, coefficients, model)[..., 0].astype(np.float64)
    found = np.array([(columns * straight).sum(), (rows * straight).sum()]) / straight.sum()
    assert_allclose(found, [160 + 160 * 0.5, 120 - 160 * 0.3], atol=0.3)


def test_without_coefficients_nothing_is_done_and_unknown_lenses_are_refused():
    image = np.zeros((4, 4, 3), np.uint8)
    assert rectified(image, K, [], "anything") is image
    assert rectified(image, K, [0, 0, 0, 0, 0], "plumb_bob") is image
    with pytest.raises(CosenseError, match="rectify it first"):
        rectified(image, K, [0.1], "omnidirectional")
    with pytest.raises(CosenseError, match="expected 4 or 5 numbers"):
        rectified(image, K, [0.1, 0.2], "plumb_bob")


def test_what_stands_comes_nearer_as_the_agent_drives_on():
    before, now = frame(stamp_ns=0), frame(transform_from_planar(1.5, 0, 0), 100_000_000)
    T = way_until(now, before, 200_000_000)
    assert_allclose(moved_until(np.array([[20.0, 2, 0]]), 0.1, T, *NO_BOXES), [[18.5, 2, 0]], atol=1e-9)


def test_an_agent_in_a_bend_goes_on_in_it():
    radius_m, turn_rad = 12.0, 0.1

    def on_circle(turn):
        return transform_from_planar(radius_m * np.sin(turn), radius_m * (1 - np.cos(turn)), turn)

    T = way_until(frame(on_circle(turn_rad), SECOND_NS // 10), frame(), SECOND_NS // 4)
    expected = np.linalg.inv(on_circle(2.5 * turn_rad)) @ on_circle(turn_rad)
    assert_allclose(T, expected, atol=1e-9)


def test_odometry_counts_where_the_pose_in_the_world_jumps():
    before = replace(frame(), T_odom_agent=np.eye(4))
    jumped = frame(transform_from_planar(0, 30, 0), 100_000_000)
    now = replace(jumped, T_odom_agent=transform_from_planar(1, 0, 0))
    assert_allclose(way_until(now, before, 200_000_000), transform_from_planar(-1, 0, 0), atol=1e-9)


def test_a_crossing_car_is_where_it_has_gone_until_the_image():
    """The car goes 10 m/s to the left, the agent 15 m/s ahead; the image is 0.1 s later."""
    points = np.array([[21.0, 0, 0.5], [21.0, 8, 0.5]])
    car = np.array([[21.0, 0, 0.5, 2, 4, 1.6, 0]])
    velocity = np.array([[0.0, 10.0]])
    T = way_until(frame(transform_from_planar(1.5, 0, 0), 100_000_000), frame(), 200_000_000)
    seen = project(camera(), moved_until(points, 0.1, T, car, velocity))
    assert_allclose(seen.uv[0], [49.5 - 100 * 1.0 / 18.5, 24.5])
    assert_allclose(seen.uv[1], [49.5 - 100 * 8.0 / 18.5, 24.5])
    late = project(camera(), points)
    assert_allclose(late.uv[0], [49.5, 24.5]), "without it: 5 pixels beside"


def test_boxes_of_unknown_velocity_stay():
    points = np.array([[21.0, 0, 0.5]])
    unknown = np.array([[21.0, 0, 0.5, 2, 4, 1.6, 0]]), np.full((1, 2), np.nan)
    assert_array_equal(moved_until(points, 0.1, np.eye(4), *unknown), points)


def test_frames_in_the_wrong_order_are_refused():
    with pytest.raises(CosenseError, match="previous frame is 100 ms later"):
        way_until(frame(stamp_ns=0), frame(stamp_ns=100_000_000), 0)


def test_a_good_view_passes():
    check_view(frame(), camera(stamp_ns=100_000_000))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (replace(camera(), K=np.zeros((3, 3))), "K is"),
        (replace(camera(), K=K.T), "K is"),
        (replace(camera(), T_camera_agent=2 * np.eye(4)), "no rigid transform"),
        (replace(camera(), T_camera_agent=np.eye(4)), "not one of 1 point is projected"),
        (camera(turn_rad=np.pi), "not one of 1 point is projected"),
        (camera(stamp_ns=2 * SECOND_NS), "2000 ms later"),
        (camera(stamp_ns=-SECOND_NS), "1000 ms earlier"),
    ],
    ids=["no focal length", "transposed", "scaled", "not the optical frame", "backwards", "late", "old"],
)
def test_calibrations_and_times_that_cannot_be_are_refused(broken, said):
    with pytest.raises(CosenseError, match=said):
        check_view(frame(), broken)
