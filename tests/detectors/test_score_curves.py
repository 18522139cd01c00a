"""Curves of scores against closed forms."""

from __future__ import annotations

import pytest
import torch

from cosense.detectors.score_curves import ScoreCurves, check_curves
from cosense.sensing.grid import BevGrid

GRID = BevGrid((0.0, 0.0, -1.0, 60.0, 80.0, 3.0), 20.0)
CPU = torch.device("cpu")


def test_a_probability_depends_on_class_and_distance() -> None:
    logits = torch.full((3, 4, 3), 2.0)
    calibrated = ScoreCurves({"car": (1.5, -0.5, -2.0)}, GRID, CPU).calibrated(logits)
    # Middles of cells at (50, 50) m and (10, 10) m.
    assert float(calibrated[0, 2, 2]) == pytest.approx(1.5 * 2 - 0.5 - 2 * 2**0.5)
    assert float(calibrated[0, 0, 0]) == pytest.approx(1.5 * 2 - 0.5 - 2 * 0.2 * 2**0.5)
    # People have no curve.
    torch.testing.assert_close(calibrated[1:], logits[1:])


def test_without_curves_nothing_is_touched() -> None:
    logits = torch.randn(3, 4, 3)
    assert ScoreCurves({}, GRID, CPU).calibrated(logits) is logits


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        ({"bus": (1.0, 0.0, 0.0)}, "'bus' is not one of car, pedestrian, cyclist"),
        ({"car": (0.0, 0.0, 0.0)}, "a first number above 0"),
        ({"car": (1.0, float("nan"), 0.0)}, "all finite"),
    ],
)
def test_a_curve_that_cannot_be_is_refused(curves: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_curves(curves)
