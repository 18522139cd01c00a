"""Images as they are read and stored: their size and what can be seen in them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from cosense.errors import CosenseError
from cosense.sensing.frame import Camera
from cosense.sensing.projection import fitted_to

_SMALLEST_PX = 16


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of images in pixels.

    Raises:
        CosenseError: the text is nothing like "512x288", or smaller than a network can look at.
    """
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal()):
        raise CosenseError(f"images '{text}': expected width and height in pixels, as 512x288")
    if min(int(width), int(height)) < _SMALLEST_PX:
        raise CosenseError(f"images '{text}': expected at least {_SMALLEST_PX}x{_SMALLEST_PX} pixels")
    return int(width), int(height)


def reduced(camera: Camera, size: tuple[int, int]) -> Camera:
    """Return a camera with its image reduced until it fits into a size, calibration included.

    The image keeps its proportions; one that is small enough stays as it is.

    Args:
        camera: the camera.
        size: largest width and height in pixels.
    """
    height, width = camera.image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    if scale >= 1:
        return camera
    smaller = max(1, round(scale * width)), max(1, round(scale * height))
    image = np.asarray(cv2.resize(camera.image, smaller, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return replace(camera, image=image, K=fitted_to(camera.K, (width, height), smaller))
