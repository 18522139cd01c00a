"""Box codes and heat map peaks, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.detectors.head import (
    DETECTED_CLASSES,
    cell_centers,
    decode_boxes,
    detected_class,
    encode_boxes,
    find_peaks,
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


def test_every_vehicle_is_a_car_and_what_is_not_detected_is_nothing() -> None:
    for label in (ObjectClass.CAR, ObjectClass.VAN, ObjectClass.TRUCK, ObjectClass.BUS):
        assert detected_class(label) == 0
    assert [detected_class(label) for label in DETECTED_CLASSES] == [0, 1, 2]
    assert detected_class(ObjectClass.TRAFFIC_CONE) is None
