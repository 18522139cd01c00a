"""The maps of LCV2I on features whose maps are known in closed form."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cosense.methods.lcv2i.regional_maps import (
    contrast,
    coverage,
    difference_map,
    difference_of,
    need_of,
    regional,
    smoothed,
    wanted_regions,
)
from cosense.sensing.grid import BevGrid
from tests.methods.test_selection import encoding

GRID = BevGrid((-6.4, -3.2, 0.0, 6.4, 3.2, 1.0), 0.4)
EVERYWHERE = torch.ones(12, 20, dtype=torch.bool)


def ramp() -> torch.Tensor:
    """Return (2,12,20) that rise by 1 and by 3 with each column."""
    return torch.stack([torch.arange(20.0).expand(12, -1), 3 * torch.arange(20.0).expand(12, -1)])


def test_the_window_adds_up_to_one_and_keeps_what_is_even():
    even = torch.full((1, 3, 12, 20), 7.0)
    torch.testing.assert_close(smoothed(even), even)
    spike = torch.zeros(1, 2, 12, 20)
    spike[0, 1, 5, 9] = 1.0
    smooth = smoothed(spike)
    assert float(smooth.sum()) == pytest.approx(1.0)
    assert not smooth[0, 0].any()
    # exp(-1/2) from the middle to its neighbour, for sigma 1.
    assert float(smooth[0, 1, 5, 10] / smooth[0, 1, 5, 9]) == pytest.approx(0.60653, abs=1e-5)
    assert int((smooth[0, 1] > 0).sum()) == 25


def test_on_a_ramp_six_of_eight_neighbours_differ_by_its_mean_slope():
    differs = contrast(ramp())
    torch.testing.assert_close(differs[:, 4:-4], torch.full((12, 12), 2.0 * 6 / 8))


def test_a_single_cell_stands_out_from_its_surroundings_most_where_it_is_steepest():
    features = torch.zeros(1, 12, 20)
    features[0, 5, 9] = 1.0
    smooth = smoothed(features[None])[0, 0]
    around = smooth[4:7, 8:11].flatten()
    expected = float((smooth[5, 9] - around).sum()) / 8
    differs = contrast(features)
    assert float(differs[5, 9]) == pytest.approx(expected, rel=1e-5)
    # A corner of the window and its rim is all that it reaches.
    assert not differs[:2].any()
    assert not differs[9:].any()


def test_what_is_even_differs_nowhere():
    assert not difference_map(torch.full((4, 12, 20), 3.0), EVERYWHERE).any()
    assert not difference_map(ramp(), ~EVERYWHERE).any()


def test_the_difference_map_is_relative_and_ends_at_one():
    torch.manual_seed(0)
    features = torch.rand(4, 12, 20)
    found = difference_map(features, EVERYWHERE)
    differs = contrast(features)
    top = torch.quantile(differs, 0.99)
    torch.testing.assert_close(found, (differs / top).clamp(max=1.0))
    assert float(found.max()) == 1.0
    # However large the numbers are.
    torch.testing.assert_close(difference_map(100 * features, EVERYWHERE), found)


def test_what_was_not_seen_does_not_count():
    torch.manual_seed(0)
    features = torch.rand(4, 12, 20)
    features[:, :, 10:] *= 1000
    seen = EVERYWHERE.clone()
    seen[:, 6:] = False
    found = difference_map(features, seen)
    assert not found[:, 6:].any()
    differs = contrast(features)
    torch.testing.assert_close(
        found[:, :6], (differs[:, :6] / torch.quantile(differs[:, :6], 0.99)).clamp(max=1)
    )


def test_a_sensor_covers_the_directions_in_which_it_has_points():
    counts = torch.zeros(16, 32, dtype=torch.int64)
    # A fan of ±45° to the front, at all ranges.
    x, y = torch.from_numpy(GRID.centres()).unbind(dim=-1)
    counts[(x > 0) & (y.abs() < x)] = 1
    seen = coverage(counts, GRID)
    assert seen.shape == (8, 16)
    # Row 4 is y = 0.4 m, column 12 is x = 3.6 m.
    assert seen[4, 12]
    assert not seen[:, :8].any()
    # A rim of one cell, at the fan and at the border of the map.
    assert not seen[[0, -1]].any()
    assert not seen[:, -1].any()
    assert seen[1:-1, 12:15].all()


@pytest.mark.parametrize("counts", [torch.zeros(16, 32, dtype=torch.int64), torch.zeros(0)])
def test_without_any_points_all_but_the_rim_counts(counts):
    seen = coverage(counts, GRID)
    assert seen[1:-1, 1:-1].all()
    assert int(seen.sum()) == 6 * 14


def test_the_difference_map_of_an_encoding_is_computed_once():
    own = encoding()
    assert difference_of(own) is difference_of(own)
    assert not difference_of(own).any()


def test_a_region_is_worth_its_best_cell():
    values = torch.tensor([[0.1, 0.2, 0.9], [0.3, 0.0, 0.0], [0.5, 0.0, 0.4]])
    assert regional(values, 2) is values
    torch.testing.assert_close(regional(values, 4), torch.tensor([[0.3, 0.9], [0.5, 0.4]]))


def test_an_ego_needs_what_it_has_few_points_of_and_is_not_sure_of():
    # Scores 0.9, 0.1, 0.5 / 0, 0.7, 0.5 on cells of four pillars each.
    counts = torch.zeros(4, 6, dtype=torch.int64)
    counts[:2, 2:] = 10
    own = dataclasses.replace(encoding(), point_counts=counts)

    def wanted(rho: float, threshold: float) -> list[list[bool]]:
        return wanted_regions(own, 2, rho, 5, threshold).tolist()

    # Q = 0.55, 0.45, 0.25 / 1.0, 0.65, 0.75
    assert wanted(0.5, 0.6) == [[False, False, False], [True, True, True]]
    assert wanted(0.5, 0.5) == [[True, False, False], [True, True, True]]
    assert wanted(0.5, 0.3) == [[True, True, False], [True, True, True]]
    # Confidence alone, and points alone.
    assert wanted(0.0, 0.6) == [[False, True, False], [True, False, False]]
    assert wanted(1.0, 0.6) == [[True, False, False], [True, True, True]]


def test_what_was_not_asked_for_is_worth_a_tenth():
    torch.testing.assert_close(need_of(torch.tensor([[True, False]])), torch.tensor([[1.0, 0.1]]))


def test_each_of_the_eight_neighbours_counts_once():
    torch.manual_seed(0)
    features = torch.rand(5, 7, 9)
    smooth = smoothed(features[None])[0]
    for row, column in ((3, 4), (1, 7), (5, 1)):
        around = smooth[:, row - 1 : row + 2, column - 1 : column + 2]
        differences = (around - smooth[:, row : row + 1, column : column + 1]).abs().mean(dim=0)
        assert float(contrast(features)[row, column]) == pytest.approx(float(differences.sum()) / 8, rel=1e-5)
