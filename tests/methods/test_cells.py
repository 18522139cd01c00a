from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.detectors.head import cell_centers
from cosense.geometry.transforms import transform_from_planar, transform_points
from cosense.methods.cells import Cells, cell_places, look_up, rounded, spread
from cosense.sensing.grid import BevGrid

GRID = BevGrid((-8.0, -4.0, 0.0, 8.0, 4.0, 1.0), 1.6)
FINE_GRID = BevGrid((-12.8, -6.4, -12.0, 12.8, 6.4, 5.0), 0.8)


def cells(values: list, places: list) -> Cells:
    return Cells(torch.tensor(values, dtype=torch.float32), torch.tensor(places, dtype=torch.float32))


def test_numbers_are_rounded_into_their_bits():
    latent = torch.tensor([-9.0, -8.4, -0.6, 0.4, 6.6, 7.4, 50.0])
    assert rounded(latent, 4).tolist() == [-8, -8, -1, 0, 7, 7, 7]
    assert rounded(latent, 2).tolist() == [-2, -2, -1, 0, 1, 1, 1]
    assert rounded(torch.tensor([-200.0, 200.0]), 8).tolist() == [-128, 127]


def test_gradients_pass_the_rounding_where_it_does_not_clip():
    latent = torch.tensor([-20.0, -0.6, 3.2, 7.4], requires_grad=True)
    (rounded(latent, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert latent.grad.tolist() == [0, 2, 3, 0]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-7.2, 7.2), st.floats(-3.2, 3.2), st.floats(-5, 5)), min_size=1, max_size=12)
)
def test_what_is_spread_within_the_map_adds_up_to_what_was_sent(drawn):
    sent = cells([[value, 1.0] for *_, value in drawn], [[x, y] for x, y, _ in drawn])
    total = spread(sent, GRID).sum(dim=(1, 2))
    torch.testing.assert_close(total, sent.values.sum(dim=0), atol=1e-4, rtol=1e-4)


def test_a_cell_at_the_middle_of_a_cell_lands_there_alone():
    placed = spread(cells([[3.0, -2.0]], [[-8.0 + 2.5 * 1.6, -4.0 + 1.5 * 1.6]]), GRID)
    expected = torch.zeros(2, *GRID.shape)
    expected[:, 1, 2] = torch.tensor([3.0, -2.0])
    torch.testing.assert_close(placed, expected, atol=1e-5, rtol=0)


def test_between_four_middles_nearness_decides():
    x, y = -8.0 + (2.5 + 0.25) * 1.6, -4.0 + (1.5 + 0.4) * 1.6
    placed = spread(cells([[1.0]], [[x, y]]), GRID)[0]
    expected = torch.zeros(GRID.shape)
    expected[1, 2], expected[1, 3], expected[2, 2], expected[2, 3] = 0.45, 0.15, 0.3, 0.1
    torch.testing.assert_close(placed, expected, atol=1e-5, rtol=0)


def test_what_hangs_over_the_border_is_lost_and_what_lies_outside_too():
    corner = spread(cells([[1.0]], [[-8.0, -4.0]]), GRID)
    assert float(corner.sum()) == pytest.approx(0.25)
    assert float(corner[0, 0, 0]) == pytest.approx(0.25)
    far = spread(cells([[1.0]] * 4, [[-9.0, 0.0], [9.0, 0.0], [0.0, 1e8], [-1e8, 0.0]]), GRID)
    assert not far.any()
    assert not spread(Cells(torch.zeros(0, 8), torch.zeros(0, 2)), GRID).any()


def test_cells_are_placed_by_the_poses_of_both():
    T_ego_sender = transform_from_planar(30.0, -12.0, 2.5, z=4.0)
    cells = torch.tensor([0, 17, 40, 511])
    places = cell_places(cells, FINE_GRID, T_ego_sender)
    centres = np.column_stack([cell_centers(cells, FINE_GRID).numpy(), np.zeros(4)])
    expected = transform_points(T_ego_sender, centres.astype(np.float64))[:, :2]
    np.testing.assert_allclose(places, expected, atol=1e-4)
    torch.testing.assert_close(cell_places(cells, FINE_GRID, np.eye(4)), cell_centers(cells, FINE_GRID))
    assert cell_places(cells[:0], FINE_GRID, T_ego_sender).shape == (0, 2)


def test_a_map_is_looked_up_where_a_place_lies_and_is_false_outside():
    there = torch.zeros(GRID.shape, dtype=torch.bool)
    there[1, 2] = True
    inside = [[-8.0 + 2.01 * 1.6, -4.0 + 1.99 * 1.6], [-8.0 + 1.99 * 1.6, -4.0 + 1.5 * 1.6]]
    places = torch.tensor([*inside, [9.0, 0.0], [-9.0, 0.0]])
    assert look_up(there, places, GRID).tolist() == [True, False, False, False]
    assert look_up(~there, places, GRID).tolist() == [False, True, False, False]
