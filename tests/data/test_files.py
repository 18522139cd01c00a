from __future__ import annotations

import cv2
import numpy as np
import pytest

from cosense.data.files import is_cut_off, read_image
from cosense.errors import CosenseError


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_an_image_without_its_end_is_refused(tmp_path, ending):
    """Kind: truncated files that a decoder fills up, here with grey in OpenCV 4."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8), (9, 9), 3)
    encoded = cv2.imencode(ending, image)[1].tobytes()
    path = tmp_path / f"image{ending}"
    for content in (encoded, encoded + bytes(100)):
        assert not is_cut_off(content)
        path.write_bytes(content)
        assert read_image(path).shape == (64, 96, 3)
    for share in (0.3, 0.6, 0.99):
        path.write_bytes(encoded[: int(len(encoded) * share)])
        with pytest.raises(CosenseError, match=rf"image{ending}: the image is cut off"):
            read_image(path)
