"""How a box becomes a hill and the codes around it; what training and fusion make of it is tested there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosense.detectors.box_maps import code_maps, hills, middle_cells
from cosense.detectors.head import cell_centers, decode_boxes
from cosense.sensing.grid import BevGrid

GRID = BevGrid((-8.0, -4.0, 0.0, 8.0, 4.0, 1.0), 0.8)
CAR = [0.5, 0.3, 0.8, 4.0, 2.0, 1.5, 0.4]


def drawn(boxes: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    array = np.array(boxes, dtype=float).reshape(-1, 7)
    middles, inside = middle_cells(array, GRID)
    assert inside.all()
    return (torch.from_numpy(array).float(), *hills(torch.from_numpy(array).float(), middles, GRID))


def test_the_middle_cell_is_the_one_that_holds_the_middle() -> None:
    corners = [[-8.0, -4.0], [7.99, 3.99], [8.0, 0.0], [0.0, 4.0], [-8.01, 0.0], [0.0, -4.01], [1e9, 0.0]]
    boxes = np.array([[x, y, *CAR[2:]] for x, y in corners])
    cells, inside = middle_cells(boxes, GRID)
    assert inside.tolist() == [True, True, False, False, False, False, False]
    assert cells[:2].tolist() == [[0, 0], [9, 19]]


@pytest.mark.parametrize(
    ("length", "width", "radius"), [(4.0, 2.0, 1.5), (0.6, 0.6, 1.5), (9.6, 3.2, 2.0), (60.0, 40.0, 4.0)]
)
def test_a_hill_is_a_gaussian_as_wide_as_the_object_within_bounds(length, width, radius) -> None:
    _, patch, hill = drawn([[*CAR[:3], length, width, *CAR[5:]]])
    heights = dict(zip(patch[0].tolist(), hill[0].tolist(), strict=True))
    middle = 5 * 20 + 10
    assert heights[middle] == 1.0
    for steps, cell in ((1, middle + 1), (1, middle - 20), (2, middle + 21), (4, middle - 2)):
        expected = np.exp(-steps / (2 * (radius / 2) ** 2))
        assert heights[cell] == pytest.approx(expected if expected >= 0.01 else 0.0, abs=1e-6)


def test_cells_beyond_the_border_have_no_number() -> None:
    _, patch, _ = drawn([[-7.9, -3.9, *CAR[2:]]])
    assert int((patch >= 0).sum()) == 25
    assert len(patch[0].unique()) == 26


def test_codes_stand_on_three_by_three_cells_and_decode_to_the_box() -> None:
    boxes, patch, hill = drawn([CAR])
    codes, weights = code_maps(boxes, patch, hill, GRID)
    cells = weights.flatten().nonzero()[:, 0]
    assert len(cells) == 9
    read = decode_boxes(codes[0].flatten(1).T[cells], cell_centers(cells, GRID), GRID.cell_m)
    np.testing.assert_allclose(read, np.tile(CAR, (9, 1)), atol=1e-5)
    assert int(codes.any(dim=1).sum()) == 9


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_two_that_claim_a_cell_the_nearer_middle_wins(order: list[int]) -> None:
    pair = [CAR, [CAR[0] + 1.6, *CAR[1:6], -1.0]]
    boxes, patch, hill = drawn([pair[index] for index in order])
    codes, weights = code_maps(boxes, patch, hill, GRID)
    for box, column in ((pair[0], 10), (pair[1], 12)):
        cell = torch.tensor([5 * 20 + column])
        assert float(weights[0, 0, 5, column]) == 1.0
        read = decode_boxes(codes[0].flatten(1).T[cell], cell_centers(cell, GRID), GRID.cell_m)
        np.testing.assert_allclose(read[0], box, atol=1e-5)


def test_of_no_boxes_nothing_is_drawn() -> None:
    boxes, patch, hill = drawn([])
    codes, weights = code_maps(boxes, patch, hill, GRID)
    assert codes.shape == (1, 10, 10, 20)
    assert not codes.any()
    assert not weights.any()
