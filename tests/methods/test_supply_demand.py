from __future__ import annotations

import numpy as np
import pytest
import torch

from cosense.methods.supply_demand import supply_map, wanted_cells, wanted_pillars

_NOTHING = -100.0


def logits(shape: tuple[int, int], cell: tuple[int, int], probability: float) -> torch.Tensor:
    """Return (3,H,W) that say something of one cell only, by their second class."""
    maps = torch.full((3, *shape), _NOTHING)
    maps[1, cell[0], cell[1]] = float(torch.logit(torch.tensor(probability)))
    return maps


def test_the_window_is_the_published_one():
    supply = supply_map(logits((9, 9), (4, 4), 0.999999), stride=1)
    assert float(supply.sum()) == pytest.approx(0.98182, abs=1e-5)
    assert float(supply[4, 4]) == pytest.approx(1 / (2 * np.pi), abs=1e-5)
    assert float(supply[4, 5]) == pytest.approx(np.exp(-0.5) / (2 * np.pi), abs=1e-5)
    assert float(supply[2, 6]) == pytest.approx(np.exp(-4) / (2 * np.pi), abs=1e-5)
    # Three cells away it ends.
    assert float(supply[4, 7]) < 1e-9
    # Around the middle it is the same in every direction.
    torch.testing.assert_close(supply, supply.T)
    torch.testing.assert_close(supply, supply.flip(0))


@pytest.mark.parametrize(("probability", "passes"), [(0.062, False), (0.064, True)])
def test_a_cell_on_its_own_needs_six_percent_to_pass_the_published_threshold(probability, passes):
    supply = supply_map(logits((9, 9), (4, 4), probability), stride=1)
    assert bool(supply.max() > 0.01) == passes


def test_the_surest_class_counts_and_beyond_the_border_there_is_nothing():
    maps = torch.zeros(2, 1, 1)
    maps[0], maps[1] = -3.0, 2.0
    expected = torch.sigmoid(torch.tensor(2.0)) / (2 * np.pi)
    torch.testing.assert_close(supply_map(maps, stride=1), expected.view(1, 1))


def test_kernel_and_sigma_are_configurable():
    maps = logits((7, 7), (3, 3), 0.5)
    torch.testing.assert_close(supply_map(maps, 1, kernel=1, sigma=2.0), torch.sigmoid(maps[1]) / (4 * np.pi))
    wide = supply_map(maps, 1, kernel=3, sigma=2.0)
    assert float(wide[3, 4]) == pytest.approx(0.5 * np.exp(-1 / 8) / (4 * np.pi))
    assert float(wide[3, 5]) < 1e-9


def test_a_coarser_cell_is_as_confident_as_its_most_confident_part():
    fine = torch.full((1, 6, 9), _NOTHING)
    fine[0, 2, 3], fine[0, 3, 2] = 1.0, -1.0
    # The last row and column of cells are narrower.
    coarse = supply_map(fine, stride=4, kernel=1)
    assert coarse.shape == (2, 3)
    expected = torch.zeros(2, 3)
    expected[0, 0] = torch.sigmoid(torch.tensor(1.0)) / (2 * np.pi)
    torch.testing.assert_close(coarse, expected)


def test_the_ego_wants_cells_in_which_it_has_few_points():
    counts = torch.zeros(4, 6, dtype=torch.int64)
    counts[0, 0], counts[1, 1], counts[3, 2] = 2, 1, 5
    assert wanted_cells(counts, 2, below=3).tolist() == [[False, True, True], [True, False, True]]
    assert wanted_cells(counts, 2, below=4).tolist() == [[True, True, True], [True, False, True]]
    assert not wanted_cells(counts, 2, below=0).any()


def test_cells_that_hang_over_the_border_count_what_there_is():
    counts = torch.ones(3, 5, dtype=torch.int64)
    assert wanted_cells(counts, 2, below=4).tolist() == [[False, False, True], [True, True, True]]
    assert wanted_cells(counts, 2, below=2).tolist() == [[False, False, False], [False, False, True]]


def test_as_published_one_pillar_of_four_is_looked_at():
    counts = torch.zeros(4, 6, dtype=torch.int64)
    counts[0, 0], counts[1, 3], counts[2, 4] = 4, 99, 3
    wanted = wanted_pillars(counts, below=4)
    assert wanted.tolist() == [[False, True, True], [True, True, True]]
