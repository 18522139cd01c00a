from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import norm

from cosense.cooperation.gate import AdmissionSettings, judge, place_errors_m, reliability
from cosense.messages.envelope import Message, PayloadKind
from cosense.sensing.objects import ObjectClass
from tests.cooperation.networks import detections

MODEL = b"12345678"
SETTINGS = AdmissionSettings()
SURE = np.zeros((3, 3))
CAR = [10.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0]
STANDING, UNKNOWN = np.zeros((1, 2)), np.full((1, 2), np.nan)


def message(fingerprint: bytes = MODEL, covariance: np.ndarray = SURE) -> Message:
    return Message(PayloadKind.FEATURES, "unit", 0, 0, np.eye(4), covariance, fingerprint, b"")


def off_by(metres: float) -> np.ndarray:
    """Return a covariance with this standard deviation in x and y."""
    return np.diag([metres**2, metres**2, 0.0])


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [
        (0.0, ("features", "")),
        (150.0, ("features", "")),
        (151.0, ("boxes", "features are 151 ms old, the limit is 150")),
        (1000.0, ("boxes", "features are 1000 ms old, the limit is 150")),
        (1001.0, ("nothing", "1001 ms old, the limit is 1000")),
        (-100.0, ("features", "")),
        (-101.0, ("nothing", "101 ms ahead, the limit is 100")),
        (-1e15, ("nothing", "1000000000000000 ms ahead, the limit is 100")),
    ],
)
def test_age_decides(age_ms, expected):
    assert judge(message(), age_ms, SURE, MODEL, SETTINGS) == expected


@pytest.mark.parametrize(
    ("metres", "expected"),
    [
        (0.2, ("features", "")),
        (0.21, ("boxes", "poses are uncertain by 0.21 m, the limit for features is 0.2")),
        (3.0, ("boxes", "poses are uncertain by 3.00 m, the limit for features is 0.2")),
        (3.01, ("nothing", "poses are uncertain by 3.01 m, the limit is 3")),
    ],
)
@pytest.mark.parametrize("whose", ["sender", "ego"])
def test_an_uncertain_pose_decides_whoever_it_belongs_to(metres, expected, whose):
    covariance = np.nextafter(off_by(metres), 0)
    sender, ego = (covariance, SURE) if whose == "sender" else (SURE, covariance)
    assert judge(message(covariance=sender), 0.0, ego, MODEL, SETTINGS) == expected


def test_uncertainties_of_both_add_up():
    assert judge(message(covariance=off_by(0.4)), 0.0, off_by(0.4), MODEL, SETTINGS)[0] == "boxes"


def test_an_uncertain_heading_counts_as_much_as_it_moves_things():
    # At 30 m, over both axes: 30 m * yaw / sqrt(2).
    limit = 0.2 * 2**0.5 / 30
    below, above = (np.diag([0, 0, (limit * factor) ** 2]) for factor in (0.99, 1.01))
    assert judge(message(covariance=below), 0.0, SURE, MODEL, SETTINGS)[0] == "features"
    assert judge(message(covariance=above), 0.0, SURE, MODEL, SETTINGS)[0] == "boxes"


def test_features_of_another_model_are_refused_its_boxes_are_not():
    reason = "features are of model 6f74686572212121, this is 3132333435363738"
    assert judge(message(b"other!!!"), 0.0, SURE, MODEL, SETTINGS) == ("boxes", reason)
    # Whoever may do nothing at all is told that first.
    assert judge(message(b"other!!!"), 2000.0, SURE, MODEL, SETTINGS)[0] == "nothing"


def test_limits_are_settings():
    patient = AdmissionSettings(features_max_age_ms=5000, boxes_max_age_ms=9000, max_ahead_ms=0)
    assert judge(message(), 5000.0, SURE, MODEL, patient)[0] == "features"
    assert judge(message(), 9000.0, SURE, MODEL, patient)[0] == "boxes"
    assert judge(message(), -1.0, SURE, MODEL, patient)[0] == "nothing"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(AdmissionSettings)])
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_settings_refuse_nonsense(name, value):
    least = 1 if name == "max_senders" else 0
    with pytest.raises(ValueError, match=f"{name} is {value}, expected at least {least}"):
        AdmissionSettings(**{name: value})


def test_place_errors_are_those_of_both_poses_at_their_distances():
    sender, ego = np.diag([0.04, 0.16, 0.01]), np.diag([0.1, 0.3, 0.02])
    expected = np.sqrt(0.1 + 0.2 + (np.array([0, 10]) ** 2 * 0.01 + 5**2 * 0.02) / 2)
    np.testing.assert_allclose(place_errors_m(sender, ego, np.array([0.0, 10.0]), 5.0), expected)


def sure(box=CAR, velocity=STANDING, sender=SURE, ego=SURE, age_ms=0.0, label=ObjectClass.CAR) -> float:
    found = detections([box], [0.5], [label])
    return float(reliability(found, velocity, np.eye(4), sender, ego, age_ms)[0])


@pytest.mark.parametrize("label", [ObjectClass.CAR, ObjectClass.PEDESTRIAN])
@pytest.mark.parametrize("velocity", [STANDING, UNKNOWN])
def test_a_new_box_by_certain_poses_is_where_it_says(label, velocity):
    assert sure(label=label, velocity=velocity) == 1.0
    # One that was measured ahead of the ego is not old.
    assert sure(label=label, velocity=velocity, age_ms=-80.0) == 1.0


@pytest.mark.parametrize("length", [2.0, 4.0, 10.0])
@pytest.mark.parametrize(("age_ms", "velocity", "speed_error"), [(700, STANDING, 1.0), (500, UNKNOWN, 4.0)])
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


def test_of_no_boxes_there_is_nothing_to_say():
    assert reliability(detections([], []), np.zeros((0, 2)), np.eye(4), SURE, SURE, 100.0).shape == (0,)
