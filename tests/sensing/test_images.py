"""Images get smaller together with their calibration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from
from cosense.sensing.frame import Camera
from cosense.sensing.images import parse_size, reduced
from cosense.sensing.projection import project

FORWARD = transform_from([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.zeros(3))
CAMERA = Camera("front", np.zeros((60, 120, 3), np.uint8), np.diag([100.0, 100, 1]), FORWARD, 5)


def test_a_reduced_image_shows_the_same_thing_at_the_same_share_of_its_width():
    image = CAMERA.image.copy()
    image[20:30, 40:60] = 255
    point = np.array([[10.0, -4.95, -2.45]])  # the middle of the white part
    smaller = reduced(replace(CAMERA, image=image), (60, 300))
    assert smaller.image.shape == (30, 60, 3)
    rows, columns = np.nonzero(smaller.image[..., 0])
    np.testing.assert_allclose(project(smaller, point).uv, [[columns.mean(), rows.mean()]], atol=1e-9)
    assert smaller.stamp_ns == 5


def test_an_image_that_is_small_enough_stays_as_it_is():
    assert reduced(CAMERA, (120, 60)) is CAMERA


@pytest.mark.parametrize(
    ("text", "said"),
    [("512", "as 512x288"), ("512x", "as 512x288"), ("-4x288", "as 512x288"), ("512x8", "at least 16x16")],
)
def test_a_size_is_two_numbers_of_pixels(text: str, said: str):
    assert parse_size("512x288") == (512, 288)
    with pytest.raises(CosenseError, match=said):
        parse_size(text)
