from __future__ import annotations

import cv2
import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.bag import message_types
from cosense.data.bag.cameras import image_of
from cosense.data.bag.writer import make
from cosense.errors import CosenseError
from cosense.geometry.transforms import invert, transform_from
from tests.data.bag.bags import START_NS, T_base_lidar, car, header, in_order, mount, transform, write_rows

K = np.array([[20.0, 0, 16], [0, 20, 12], [0, 0, 1]])
IMAGE = np.random.default_rng(2).integers(0, 256, (24, 32, 3), dtype=np.uint8)
# The optical frame: z forward, x right, y down, on a mast behind base_link.
T_base_camera = transform_from([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], [-0.4, 0.0, 2.0])
NO_DISTORTION = make(message_types.CAMERA_INFO, k=K.reshape(-1))


def raw(encoding: str, pixels: np.ndarray, padding: int = 0) -> object:
    """Return an image as a driver sends it, with padded rows."""
    rows = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    rows = np.concatenate([rows, np.full((len(rows), padding), 9, np.uint8)], axis=1)
    return make(
        message_types.IMAGE,
        header=header(START_NS, "front_optical"),
        height=len(pixels),
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", IMAGE),
        ("bgr8", IMAGE[..., ::-1]),
        ("bgra8", np.dstack([IMAGE[..., ::-1], np.full((24, 32), 255, np.uint8)])),
        ("rgba8", np.dstack([IMAGE, np.full((24, 32), 255, np.uint8)])),
    ],
)
def test_colours_are_where_they_belong(encoding, pixels):
    np.testing.assert_array_equal(image_of(raw(encoding, pixels, padding=5), NO_DISTORTION), IMAGE)


def test_grey_is_grey():
    found = image_of(raw("mono8", IMAGE[..., 0]), NO_DISTORTION)
    np.testing.assert_array_equal(found, np.repeat(IMAGE[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("encoding", "corner"), [("bayer_rggb8", 0), ("bayer_bggr8", 2), ("bayer_grbg8", 1), ("bayer_gbrg8", 1)]
)
def test_the_pattern_of_a_bayer_image_starts_where_its_name_says(encoding, corner):
    """Light of one colour falls only into the pixels of that colour."""
    names = {"r": 0, "g": 1, "b": 2}
    pattern = [names[letter] for letter in encoding[6:10]]
    assert pattern[0] == corner
    mosaic = np.zeros((24, 32), np.uint8)
    for place, channel in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = (200, 100, 50)[channel]
    found = image_of(raw(encoding, mosaic), NO_DISTORTION)
    np.testing.assert_array_equal(found[4:-4, 4:-4], np.broadcast_to([200, 100, 50], (16, 24, 3)))


def test_distortion_is_taken_out():
    info = make(
        message_types.CAMERA_INFO,
        k=K.reshape(-1),
        distortion_model="plumb_bob",
        d=np.array([0.2, 0, 0, 0, 0]),
        width=IMAGE.shape[1],
        height=IMAGE.shape[0],
    )
    straight = cv2.undistort(IMAGE, K, info.d)
    np.testing.assert_array_equal(image_of(raw("rgb8", IMAGE), info), straight)
    assert (straight != IMAGE).any()
    info.distortion_model = "omnidirectional"
    with pytest.raises(CosenseError, match="distortion model 'omnidirectional': rectify it first"):
        image_of(raw("rgb8", IMAGE), info)


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (raw("32FC1", IMAGE), "image of encoding '32FC1'"),
        (
            make(message_types.IMAGE, encoding="rgb8", height=2, width=2, step=6),
            "rows of 6 bytes, has 0 bytes",
        ),
        (
            make(message_types.COMPRESSED_IMAGE, format="jpeg", data=np.zeros(9, np.uint8)),
            "cannot be decoded",
        ),
    ],
)
def test_broken_images(message, complaint):
    with pytest.raises(CosenseError, match=complaint):
        image_of(message, NO_DISTORTION)


def camera_rows(*, info: bool = True, mounted: bool = True) -> list:
    image = raw("rgb8", IMAGE)
    calibration = make(message_types.CAMERA_INFO, header=image.header, k=K.reshape(-1))
    rows = [mount(), *car(2), ("/front/image_raw", message_types.IMAGE, image, START_NS)]
    if info:
        # Latched, long before the first image.
        rows.append(("/front/camera_info", message_types.CAMERA_INFO, calibration, START_NS - 10**9))
    if mounted:
        rows.append(transform("base_link", "front_optical", T_base_camera, 0, static=True, log_ns=START_NS))
    return in_order(rows)


def test_a_camera_of_somebody_else_comes_with_its_calibration(tmp_path):
    bag = open_dataset(write_rows(tmp_path / "bag", camera_rows()), cameras=True)
    (camera,) = bag[0].ego.cameras
    assert (camera.name, camera.stamp_ns) == ("front", START_NS)
    np.testing.assert_array_equal(camera.image, IMAGE)
    np.testing.assert_array_equal(camera.K, K)
    np.testing.assert_allclose(camera.T_camera_agent, invert(T_base_camera) @ T_base_lidar, atol=1e-12)
    assert bag[1].ego.cameras == ()


def test_a_camera_without_calibration_is_one_line_when_cameras_are_asked_for(tmp_path):
    path = write_rows(tmp_path / "bag", camera_rows(info=False))
    assert len(open_dataset(path)) == 2
    with pytest.raises(CosenseError) as caught:
        open_dataset(path, cameras=True)
    assert str(caught.value) == (
        f"{path}: camera '/front/image_raw' has no calibration: no sensor_msgs/msg/CameraInfo on "
        "'/front/camera_info', known: none; record it too, or leave the cameras out"
    )


def test_a_camera_that_is_mounted_nowhere_is_one_line(tmp_path):
    path = write_rows(tmp_path / "bag", camera_rows(mounted=False))
    with pytest.raises(CosenseError, match="no transform from 'os_sensor' to 'front_optical'"):
        open_dataset(path, cameras=True)
