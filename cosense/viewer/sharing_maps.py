"""Why a sender sent what it sent: its maps as one picture, seen from above, x to the right.

Score (or whatever a method has for how sure the sender is), difference of a method that has one, what the ego
wants, and the cells that are in the message.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.sender import SelectionMaps
from cosense.viewer import colors
from cosense.viewer.image_boxes import Picture, captioned

# Pixels of a cell along each edge, above the first map, where the sender's name goes, and between two maps.
_CELL_PX = 3
_NAME_PX, _GAP_PX = 26, 4


def sharing_pictures(maps: Mapping[str, SelectionMaps]) -> list[Picture]:
    """Return a picture for each sender, by its name."""
    return [Picture(agent_id, "why", _drawn(one)) for agent_id, one in maps.items()]


def _drawn(maps: SelectionMaps) -> NDArray[np.uint8]:
    """Return the maps of one sender below each other, each with its name."""
    layers = {"score": maps.supply, "difference": maps.difference, "wanted": maps.wanted, "sent": maps.sent}
    tiles = [captioned(_colored(values), name) for name, values in layers.items() if values is not None]
    width = tiles[0].shape[1]
    parts = [np.zeros((_NAME_PX - _GAP_PX, width, 3), np.uint8)]
    for tile in tiles:
        parts += [np.zeros((_GAP_PX, width, 3), np.uint8), tile]
    return np.vstack(parts)


def _colored(values: NDArray) -> NDArray[np.uint8]:
    """Return a map (H,W) in [0, 1] as pixels, from the background's colour to that of what is fused."""
    low, high = (np.array(colors.rgba(color)[:3]) for color in (colors.BACKGROUND, colors.AGREEMENT))
    share = np.flipud(values).astype(np.float64).clip(0, 1)[..., None]
    small = np.round(255 * (low + share * (high - low))).astype(np.uint8)
    size = (small.shape[1] * _CELL_PX, small.shape[0] * _CELL_PX)
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_NEAREST), np.uint8)
