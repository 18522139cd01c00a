from __future__ import annotations

import numpy as np
import pytest

from cosense.sensing.grid import BevGrid

GRID = BevGrid((-2.0, -1.0, -3.0, 4.0, 1.0, 1.0), 0.5)


def test_rows_lie_along_y_and_columns_along_x() -> None:
    assert GRID.shape == (4, 12)
    assert GRID.coarser(2).shape == (2, 6)


def test_centres() -> None:
    centres = GRID.centres()
    assert centres.shape == (4, 12, 2)
    assert centres[0, 0].tolist() == [-1.75, -0.75]
    assert centres[3, 11].tolist() == [3.75, 0.75]
    assert centres[0, 1].tolist() == [-1.25, -0.75]


def test_upper_borders_are_outside() -> None:
    xyz = np.array([[-2.0, -1.0, -3.0], [4.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [3.9, 0.9, 0.9]])
    assert GRID.contains(xyz).tolist() == [True, False, False, False, True]


@pytest.mark.parametrize("range_m", [(-2.0, -1.0, 0.0, 4.2, 1.0, 1.0), (0.0, 0.0, 0.0, 0.0, 1.0, 1.0)])
def test_a_range_that_cells_do_not_fill_is_refused(range_m: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="no multiple"):
        BevGrid(range_m, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("cell_m", [0.0, -0.5, float("nan")])
def test_cells_without_extent_are_refused(cell_m: float) -> None:
    with pytest.raises(ValueError, match=r"cell_m is .*, expected metres above 0"):
        BevGrid(GRID.range_m, cell_m)
