from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cosense.cooperation.gate import AdmissionSettings, judge
from cosense.messages.envelope import Message, PayloadKind

MODEL = b"12345678"
SETTINGS = AdmissionSettings()
SURE = np.zeros((3, 3))


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
