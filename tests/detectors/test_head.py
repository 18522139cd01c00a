"""Box codes and heat map peaks, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.detectors.head import (
    DETECTED_CLASSES,
    cell_centers,
    code_maps,
    decode_boxes,
    detected_class,
    encode_boxes,
    find_peaks,
    hills,
    middle_cells,
)
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import ObjectClass

GRID = BevGrid((-8.0, -4.0, -1.0, 8.0, 4.0, 3.0), 0.8)


@settings(deadline=None)
@given(
    st.floats(-50, 50),
    st.floats(-30, 30),
    st.floats(-1, 4),
    st.tuples(st.floats(0.3, 15), st.floats(0.3, 4), st.floats(0.3, 4)),
    st.floats(-3.1, 3.1),
)
def test_decoding_inverts_encoding(
    x: float, y: float, z: float, size: tuple[float, float, float], yaw: float
) -> None:
    boxes = torch.tensor([[x, y, z, *size, yaw]])
    centers = torch.tensor([[x - 0.3, y + 0.2]])
    decoded = decode_boxes(encode_boxes(boxes, centers, 0.8), centers, 0.8)
    torch.testing.assert_close(decoded, boxes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("forward", [(0.01, 0.0), (1.0, 0.0)])
def test_the_axis_does_not_depend_on_how_sure_the_front_is(forward: tuple[float, float]) -> None:
    code = torch.tensor([[0, 0, 0, 0, 0, 0, math.cos(0.2), math.sin(0.2), *forward]])
    yaw = decode_boxes(code, torch.zeros(1, 2), 0.8)[0, 6]
    assert float(yaw) == pytest.approx(0.1, abs=1e-6)
    code[:, 8:] *= -1
    yaw = decode_boxes(code, torch.zeros(1, 2), 0.8)[0, 6]
    assert float(yaw) == pytest.approx(0.1 - math.pi, abs=1e-6)


def test_cell_centers_run_along_x_first() -> None:
    centers = cell_centers(torch.tensor([0, 1, 20]), GRID)
    torch.testing.assert_close(centers, torch.tensor([[-7.6, -3.6], [-6.8, -3.6], [-7.6, -2.8]]))


def test_peaks_are_local_maxima_above_the_threshold_best_first() -> None:
    logits = torch.full((2, 10, 20), -9.0)
    logits[0, 3, 4], logits[0, 3, 5] = 2.0, 1.0  # the second is its neighbour
    logits[1, 3, 5] = 3.0  # another class
    logits[0, 9, 19] = -3.0  # below
    scores, labels, cells = find_peaks(logits, count=10, score_threshold=0.1)
    assert labels.tolist() == [1, 0]
    assert cells.tolist() == [3 * 20 + 5, 3 * 20 + 4]
    torch.testing.assert_close(scores, torch.sigmoid(torch.tensor([3.0, 2.0])))
    assert find_peaks(logits, count=1, score_threshold=0.1)[1].tolist() == [1]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 0.9]), st.sampled_from([1, 5, 1000]))
def test_peaks_are_those_of_a_maximum_filter(seed: int, threshold: float, count: int) -> None:
    # Few values, so that neighbours are often equal: all of these are peaks.
    logits = torch.from_numpy(np.random.default_rng(seed).integers(-4, 5, (3, 7, 9))).float()
    highest = torch.nn.functional.max_pool2d(logits[None], 3, stride=1, padding=1)[0]
    is_peak = (logits == highest) & (torch.sigmoid(logits) >= threshold)
    expected = sorted(is_peak.flatten().nonzero()[:, 0].tolist(), key=lambda cell: -logits.flatten()[cell])
    scores, labels, cells = find_peaks(logits, count, threshold)
    assert (labels * 63 + cells).tolist() == expected[:count]
    torch.testing.assert_close(scores, torch.sigmoid(logits.flatten()[expected[:count]]))


def test_every_vehicle_is_a_car_and_what_is_not_detected_is_nothing() -> None:
    for label in (ObjectClass.CAR, ObjectClass.VAN, ObjectClass.TRUCK, ObjectClass.BUS):
        assert detected_class(label) == 0
    assert [detected_class(label) for label in DETECTED_CLASSES] == [0, 1, 2]
    assert detected_class(ObjectClass.MOTORCYCLIST) == detected_class(ObjectClass.CYCLIST)
    assert detected_class(ObjectClass.TRAFFIC_CONE) is None


DRAWN_GRID = BevGrid((-8.0, -4.0, 0.0, 8.0, 4.0, 1.0), 0.8)
CAR = [0.5, 0.3, 0.8, 4.0, 2.0, 1.5, 0.4]


def drawn(boxes: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    array = np.array(boxes, dtype=float).reshape(-1, 7)
    middles, inside = middle_cells(array, DRAWN_GRID)
    assert inside.all()
    return (torch.from_numpy(array).float(), *hills(torch.from_numpy(array).float(), middles, DRAWN_GRID))


def test_the_middle_cell_is_the_one_that_holds_the_middle() -> None:
    corners = [[-8.0, -4.0], [7.99, 3.99], [8.0, 0.0], [0.0, 4.0], [-8.01, 0.0], [0.0, -4.01], [1e9, 0.0]]
    boxes = np.array([[x, y, *CAR[2:]] for x, y in corners])
    cells, inside = middle_cells(boxes, DRAWN_GRID)
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
    codes, weights = code_maps(boxes, patch, hill, DRAWN_GRID)
    cells = weights.flatten().nonzero()[:, 0]
    assert len(cells) == 9
    read = decode_boxes(codes[0].flatten(1).T[cells], cell_centers(cells, DRAWN_GRID), DRAWN_GRID.cell_m)
    np.testing.assert_allclose(read, np.tile(CAR, (9, 1)), atol=1e-5)
    assert int(codes.any(dim=1).sum()) == 9


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_two_that_claim_a_cell_the_nearer_middle_wins(order: list[int]) -> None:
    pair = [CAR, [CAR[0] + 1.6, *CAR[1:6], -1.0]]
    boxes, patch, hill = drawn([pair[index] for index in order])
    codes, weights = code_maps(boxes, patch, hill, DRAWN_GRID)
    for box, column in ((pair[0], 10), (pair[1], 12)):
        cell = torch.tensor([5 * 20 + column])
        assert float(weights[0, 0, 5, column]) == 1.0
        read = decode_boxes(codes[0].flatten(1).T[cell], cell_centers(cell, DRAWN_GRID), DRAWN_GRID.cell_m)
        np.testing.assert_allclose(read[0], box, atol=1e-5)


def test_of_no_boxes_nothing_is_drawn() -> None:
    boxes, patch, hill = drawn([])
    codes, weights = code_maps(boxes, patch, hill, DRAWN_GRID)
    assert codes.shape == (1, 10, 10, 20)
    assert not codes.any()
    assert not weights.any()
