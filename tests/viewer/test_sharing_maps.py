"""What was sent and why is seen from above."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.cooperation.sender import SelectionMaps
from cosense.sensing.grid import BevGrid
from cosense.viewer import colors
from cosense.viewer.sharing_maps import sharing_pictures

GRID = BevGrid((-32.0, -16.0, 0.0, 32.0, 16.0, 1.0), 1.6)


def maps(difference: np.ndarray | None) -> SelectionMaps:
    """Return maps of 20 rows and 40 columns: sure in the corner that is right and in front."""
    supply = np.zeros(GRID.shape, np.float32)
    supply[0, 39] = 1.0
    return SelectionMaps(GRID, supply, supply > 2, supply > 0.5, difference)


def pixel(color: str) -> list[int]:
    return [round(255 * part) for part in colors.rgba(color)[:3]]


@pytest.mark.parametrize(("difference", "layers"), [(None, 3), (np.ones(GRID.shape, np.float32), 4)])
def test_each_map_has_its_place_with_the_left_side_of_the_sender_above(difference, layers):
    (picture,) = sharing_pictures({"mast": maps(difference)})
    assert (picture.agent_id, picture.camera) == ("mast", "why")
    height, width, _ = picture.image.shape
    assert width == 3 * 40
    assert height == 26 + layers * 60 + (layers - 1) * 4
    score, wanted, sent = (picture.image[row : row + 60] for row in (26, height - 124, height - 60))
    for layer, there in ((score, True), (wanted, False), (sent, True)):
        assert layer[-1, -1].tolist() == pixel(colors.AGREEMENT if there else colors.BACKGROUND)
        assert layer[-4, -1].tolist() == layer[-1, -4].tolist() == pixel(colors.BACKGROUND)


def test_without_maps_there_is_no_picture():
    assert sharing_pictures({}) == []
