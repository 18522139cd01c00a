from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import transform_from_planar
from cosense.nodes.agent_cameras import BlindMoments, Mountings, Pictured, Way

MS = 1_000_000
FORWARD = [0, -1, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, 0, 1]


def pictured(**changes) -> Pictured:
    """Return a grey image of 40 x 20 pixels and its calibration."""
    data = cv2.imencode(".png", np.full((20, 40, 3), 128, np.uint8))[1]
    info = {"width": 40, "height": 20, "k": [30, 0, 19.5, 0, 30, 9.5, 0, 0, 1], "d": [0.0] * 5}
    info["distortion_model"] = "plumb_bob"
    image = SimpleNamespace(format="png", data=data.tobytes())
    return Pictured(image, SimpleNamespace(**(info | changes)))


def test_images_become_cameras_with_their_calibration_and_time():
    way = Way()
    for second in (0, 1):
        way.add(TimedPose(second * 100 * MS, transform_from_planar(2.0 * second, 0, 0)))
    cameras, reasons = Mountings({"front": FORWARD}, "cameras").cameras(
        {"front": (150 * MS, pictured())}, 100 * MS, way
    )
    (camera,) = cameras
    assert reasons == {}
    assert camera.image.shape == (20, 40, 3)
    np.testing.assert_array_equal(camera.K, np.reshape([30, 0, 19.5, 0, 30, 9.5, 0, 0, 1], (3, 3)))
    np.testing.assert_array_equal(camera.T_camera_agent, np.reshape(FORWARD, (4, 4)))
    # At 20 m/s, 50 ms later what stands still is 1 m nearer.
    np.testing.assert_allclose(camera.T_then_agent @ [10, 0, 0, 1], [9, 0, 0, 1])


def test_a_turn_goes_on_too():
    way = Way()
    for number in (0, 1):
        way.add(TimedPose(number * 100 * MS, transform_from_planar(0, 0, 0.1 * number)))
    np.testing.assert_allclose(way.T_then_now(100 * MS), transform_from_planar(0, 0, -0.1), atol=1e-12)
    np.testing.assert_allclose(way.T_then_now(-50 * MS), transform_from_planar(0, 0, 0.05), atol=1e-12)
    np.testing.assert_array_equal(way.T_then_now(0), np.eye(4))


def test_of_one_pose_no_way_is_known_nor_of_two_that_are_far_apart():
    way = Way()
    way.add(TimedPose(0, np.eye(4)))
    assert way.T_then_now(50 * MS) is None
    way.add(TimedPose(2000 * MS, np.eye(4)))
    assert way.T_then_now(50 * MS) is None


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Pictured(pictured().image, None), "has no calibration"),
        (Pictured(SimpleNamespace(format="jpeg", data=b"x"), pictured().info), "cannot be decoded"),
        (pictured(width=400, height=100), "camera 'front': "),
        (pictured(d=[0.1] * 5, distortion_model="fishy"), "fishy"),
    ],
)
def test_an_image_that_cannot_be_used_is_left_out_with_the_reason(broken, reason):
    cameras, reasons = Mountings({"front": FORWARD}, "cameras").cameras({"front": (0, broken)}, 0, Way())
    assert cameras == ()
    assert reason in reasons["front"]


@pytest.mark.parametrize("numbers", [[1, 2, 3], "front", [2.0, *FORWARD[1:]], [0.0] * 16, None])
def test_a_mounting_that_is_none_is_refused_with_its_name(numbers):
    with pytest.raises(CosenseError, match=r"parameter 'cameras': camera 'front': .* no rigid transform"):
        Mountings({"front": numbers}, "parameter 'cameras'")


def test_images_alone_make_frames_once_the_lidar_is_silent_and_one_a_moment():
    blind = BlindMoments(250 * MS)
    blind.add_cloud(0)
    assert [blind.is_one(stamp_ms * MS) for stamp_ms in (100, 250, 300, 310, 400)] == [
        False,
        False,
        True,
        False,
        True,
    ]
    blind.add_cloud(500 * MS)
    assert not blind.is_one(600 * MS)


def test_an_agent_without_a_lidar_starts_after_the_gap():
    blind = BlindMoments(250 * MS)
    assert [blind.is_one(stamp_ms * MS) for stamp_ms in (7000, 7200, 7300)] == [False, False, True]
