"""A wall is a thin straight line of cells."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.scene_graph.extract.cloud_index import UprightCells
from cosense.scene_graph.extract.walls import find_walls


def cells(across_m):
    """Return cells along 10 m of a line, one after the other on either side of it."""
    x = np.arange(0, 10, 0.25)
    y = 12 + across_m * np.where(np.arange(len(x)) % 2, 1, -1)
    count = len(x)
    rows = np.arange(count)
    points = np.column_stack([x, y, np.ones(count)]).astype(np.float32)
    heights = np.full(count, 2.0)
    return UprightCells(
        np.column_stack([x, y]),
        heights - 1,
        heights,
        heights,
        rows,
        np.ones(count, int),
        points,
        points[:, 2],
    )


@pytest.mark.parametrize(("across_m", "walls"), [(0.0, 1), (0.05, 1), (0.12, 0)])
def test_a_line_of_cells_is_a_wall_and_a_hedge_is_none(across_m, walls):
    found = find_walls(cells(across_m))
    assert len(found) == walls
    if walls:
        assert found[0].length_m == pytest.approx(9.75, abs=0.1)
