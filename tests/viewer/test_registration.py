"""The picture of a registration: nodes of both agents are where the pose puts them, in their colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imread
from numpy.typing import NDArray

from cosense.geometry.transforms import invert, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.viewer import bev, colors
from cosense.viewer.annotations import extent_around
from cosense.viewer.registration import MATCH_COLOR, draw_registration
from tests.scene_graph.scenes import graph_of
from tests.viewer.scenes import street

FRAME = street(objects=False)
# In the ego frame: seen by both, by the ego alone, by the unit alone.
BOTH, EGO_ONLY, UNIT_ONLY = (20.0, 8.0, 0.0), (5.0, -8.0, 0.0), (30.0, -9.0, 0.0)


def drawn(path: Path) -> NDArray:
    """Draw the frame and return the picture."""
    in_unit = transform_points(invert(FRAME.T_ego_agent("mast")), np.array([UNIT_ONLY, BOTH]))
    poles = [NodeClass.POLE] * 2
    graphs = graph_of(poles, [BOTH, EGO_ONLY]), graph_of(poles, in_unit)
    draw_registration(FRAME, graphs, np.array([[0, 1]]), path, title="one thing agrees")
    return imread(path)[..., :3]


def shows(rgb: NDArray, place: tuple[float, ...], color: str, radius: int) -> bool:
    """Tell whether a colour is within `radius` pixels of a place."""
    figure, (axes,) = bev.layout([""], extent_around(FRAME, np.array([BOTH[:2]] * 2)), "one thing agrees")
    assert rgb.shape[:2] == tuple(reversed(figure.canvas.get_width_height()))
    column, row = axes.transData.transform(place[:2])
    row, column = round(rgb.shape[0] - row), round(column)
    window = rgb[row - radius : row + radius + 1, column - radius : column + radius + 1]
    return bool((np.abs(window - np.array(colors.rgba(color)[:3])).max(axis=2) < 0.1).any())


def test_nodes_and_matches_are_where_they_belong(tmp_path: Path) -> None:
    rgb = drawn(tmp_path / "new" / "picture.png")
    ego, unit = colors.agent_colors(FRAME.agents).values()
    assert shows(rgb, EGO_ONLY, ego, 2)
    assert shows(rgb, UNIT_ONLY, unit, 2)
    assert shows(rgb, BOTH, MATCH_COLOR, 20)
    assert not shows(rgb, EGO_ONLY, MATCH_COLOR, 20)
    assert not shows(rgb, UNIT_ONLY, MATCH_COLOR, 20)
