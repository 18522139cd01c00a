"""How certain the place of another agent's box is, and what that leaves of its chance to be right."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass
from cosense.sensing.places import EXACTLY, ROUGHLY, chance, place_errors_m, spreads_m

SURE = np.zeros((3, 3))
CAR = [10.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0]
STANDING, UNKNOWN = np.zeros((1, 2)), np.full((1, 2), np.nan)


def off_by(metres: float) -> np.ndarray:
    """Return a covariance with this standard deviation in x and y."""
    return np.diag([metres**2, metres**2, 0.0])


def test_place_errors_are_those_of_both_poses_at_their_distances():
    sender, ego = np.diag([0.04, 0.16, 0.01]), np.diag([0.1, 0.3, 0.02])
    expected = np.sqrt(0.1 + 0.2 + (np.array([0, 10]) ** 2 * 0.01 + 5**2 * 0.02) / 2)
    np.testing.assert_allclose(place_errors_m(sender, ego, np.array([0.0, 10.0]), 5.0), expected)


def sure(
    box=CAR, velocity=STANDING, sender=SURE, ego=SURE, age_ms=0.0, label=ObjectClass.CAR, iou=ROUGHLY
) -> float:
    """Return the chance of a box that the ego and a sender at the same place see."""
    found = Detections(np.array([box]), np.ones(1, np.float32), np.array([label]), np.zeros(1, np.uint8))
    away_m = np.linalg.norm(found.boxes[:, :2], axis=1)
    errors_m = place_errors_m(sender, ego, away_m, away_m)
    return float(chance(found.boxes, spreads_m(found, velocity, errors_m, age_ms), iou)[0])


@pytest.mark.parametrize("label", [ObjectClass.CAR, ObjectClass.PEDESTRIAN])
@pytest.mark.parametrize("velocity", [STANDING, UNKNOWN])
def test_a_new_box_by_certain_poses_is_where_it_says(label, velocity):
    assert sure(label=label, velocity=velocity) == 1.0
    # One that was measured ahead of the ego is not old.
    assert sure(label=label, velocity=velocity, age_ms=-80.0) == 1.0


@pytest.mark.parametrize("length", [2.0, 4.0, 10.0])
@pytest.mark.parametrize(("age_ms", "velocity", "speed_error"), [(700, STANDING, 1.0), (500, UNKNOWN, 6.0)])
def test_a_vehicle_gets_uncertain_along_its_axis_only(length, age_ms, velocity, speed_error):
    # 1 - |u| / l >= 2/3 for a Gaussian u; quadrature with 24 nodes is good for 1/24.
    deviation = speed_error * age_ms / 1e3
    expected = 2 * norm.cdf(length / 3 / deviation) - 1
    box = [*CAR[:3], length, *CAR[4:]]
    assert sure(box, velocity, age_ms=age_ms) == pytest.approx(expected, abs=1 / 24)


def test_an_uncertain_pose_moves_both_ways():
    rng = np.random.default_rng(0)
    for deviation in (0.2, 0.4, 1.0):
        u, v = np.abs(rng.normal(0, deviation, (2, 200_000)))
        overlap = np.clip(1 - u / 4, 0, None) * np.clip(1 - v / 2, 0, None)
        expected = np.mean(overlap >= 2 / 3)
        assert sure(sender=off_by(deviation)) == pytest.approx(expected, abs=0.05)
        assert sure(ego=off_by(deviation)) == sure(sender=off_by(deviation))


@pytest.mark.parametrize("label", [ObjectClass.CAR, ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST])
@pytest.mark.parametrize("velocity", [STANDING, UNKNOWN])
def test_it_falls_with_age_and_with_the_covariance(label, velocity):
    by_age = [sure(age_ms=age, velocity=velocity, label=label) for age in (0, 100, 300, 600, 1000, 5000, 1e6)]
    by_pose = [
        sure(sender=off_by(metres), velocity=velocity, label=label) for metres in (0, 0.1, 0.3, 1, 3, 100)
    ]
    by_yaw = [sure(sender=np.diag([0, 0, yaw**2]), label=label) for yaw in (0, 0.01, 0.05, 0.3, 3.0)]
    for series in (by_age, by_pose, by_yaw):
        assert series == sorted(series, reverse=True)
        assert series[0] == 1.0
        assert series[-1] < 0.05


def test_what_is_known_to_move_so_is_surer_than_what_may_move():
    assert sure(age_ms=500, velocity=np.array([[8.0, 0.0]])) == sure(age_ms=500)
    assert sure(age_ms=500, velocity=UNKNOWN) < sure(age_ms=500)
    # Of somebody on foot not to know is no worse than to have measured.
    walker = [*CAR[:3], 0.6, 0.6, 1.7, 0.0]
    label = ObjectClass.PEDESTRIAN
    assert sure(walker, UNKNOWN, age_ms=200, label=label) == sure(walker, age_ms=200, label=label)
    assert sure(walker, age_ms=200, label=label) < sure(age_ms=200)


def test_a_heading_that_is_uncertain_hurts_far_boxes_more():
    heading = np.diag([0.0, 0.0, 0.02**2])
    near, far = [5.0, *CAR[1:]], [60.0, *CAR[1:]]
    assert sure(far, sender=heading) < sure(near, sender=heading) == 1.0


@pytest.mark.parametrize("iou", [0.3, ROUGHLY, EXACTLY])
def test_an_exact_place_asks_for_more_than_a_rough_one(iou):
    # Across, with an exact length: 1 - |v| / w >= 2 iou / (1 + iou).
    expected = 2 * norm.cdf(2.0 * (1 - 2 * iou / (1 + iou)) / 0.3) - 1
    found = chance(np.array([CAR]), np.array([[0.0, 0.3]]), iou)
    np.testing.assert_allclose(found, expected, atol=1 / 24)


def test_of_no_boxes_there_is_nothing_to_say():
    none = spreads_m(Detections.empty(), np.zeros((0, 2)), np.zeros(0), 100.0)
    assert none.shape == (0, 2)
    assert chance(np.zeros((0, 7)), none, EXACTLY).shape == (0,)
