from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from cosense.errors import CosenseError
from cosense.methods.calibration import FILE_NAME, IDENTITY, Calibration, fit_curve, read_calibration
from cosense.sensing.detections import Source
from cosense.sensing.objects import ObjectClass
from tests.cooperation.networks import detections

CAR = [10.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0]
CURVES = Calibration({"ego": {"car": (2.0, 0.5)}, "late": {"car": (1.0, -1.0), "pedestrian": (0.5, 0.0)}})


def found(scores, labels=None, source=Source.EGO):
    drawn = detections([CAR] * len(scores), scores, labels)
    return dataclasses.replace(drawn, sources=np.full(len(scores), source, np.uint8))


@pytest.mark.parametrize(("a", "b"), [(1.0, 0.0), (2.0, -1.0), (0.5, 1.5), (1.4, 2.5)])
def test_a_known_curve_is_found(a, b):
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.02, 0.98, 20_000)
    is_hit = rng.random(len(scores)) < expit(a * logit(scores) + b)
    np.testing.assert_allclose(fit_curve(scores, is_hit), (a, b), atol=0.1)


@pytest.mark.parametrize(("hits", "sign"), [(True, 1), (False, -1)])
def test_few_boxes_bend_a_curve_little_and_none_not_at_all(hits, sign):
    np.testing.assert_allclose(fit_curve(np.zeros(0), np.zeros(0, bool)), (1.0, 0.0), atol=1e-6)
    a, b = fit_curve(np.array([0.5, 0.5]), np.array([hits, hits]))
    assert a == pytest.approx(1.0, abs=1e-3)
    assert 0.1 < sign * b < 1.0


def test_scores_of_nought_and_one_can_be_fitted():
    scores, is_hit = np.array([0.0, 1.0] * 50), np.array([False, True] * 50)
    assert np.isfinite(fit_curve(scores, is_hit)).all()
    # The worst possible scores still give a curve that rises.
    assert fit_curve(scores, ~is_hit)[0] > 0


def test_each_source_and_class_has_its_curve():
    for source, label, a, b in (
        (Source.EGO, ObjectClass.CAR, 2.0, 0.5),
        (Source.EGO, ObjectClass.BUS, 2.0, 0.5),
        (Source.EGO, ObjectClass.PEDESTRIAN, 1.0, 0.0),
        (Source.LATE, ObjectClass.TRUCK, 1.0, -1.0),
        (Source.LATE, ObjectClass.PEDESTRIAN, 0.5, 0.0),
        (Source.LATE, ObjectClass.TRAFFIC_CONE, 1.0, 0.0),
        (Source.FUSED, ObjectClass.CAR, 1.0, 0.0),
    ):
        scores = np.array([0.9, 0.3])
        applied = CURVES.apply(found(scores, [label] * 2, source))
        np.testing.assert_allclose(applied.scores, expit(a * logit(scores) + b), rtol=1e-6)
        assert applied.sources.tolist() == [source] * 2
        assert applied.labels.tolist() == [label] * 2


def test_mixed_boxes_come_out_best_first():
    mixed = found([0.8, 0.6], [ObjectClass.CAR, ObjectClass.CYCLIST], Source.LATE)
    mixed = dataclasses.replace(mixed, boxes=np.array([CAR, [20.0, *CAR[1:]]]))
    applied = CURVES.apply(mixed)
    # expit(logit(0.8) - 1) = 0.595.
    np.testing.assert_allclose(applied.scores, [0.6, 0.595], atol=1e-3)
    assert applied.boxes[:, 0].tolist() == [20.0, 10.0]


@given(st.lists(st.floats(0, 1, width=32), max_size=20), st.floats(0.05, 20), st.floats(-20, 20))
def test_the_order_within_one_source_never_changes(scores, a, b):
    ordered = np.sort(np.array(scores, np.float32))[::-1]
    applied = Calibration({"ego": {"car": (a, b)}}).apply(found(ordered))
    assert np.all(np.diff(applied.scores) <= 0)
    assert np.all((applied.scores >= 0) & (applied.scores <= 1))


def test_factors_lower_what_may_have_moved():
    applied = IDENTITY.apply(found([0.8, 0.6]), np.array([0.5, 1.0]))
    np.testing.assert_allclose(applied.scores, [0.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(IDENTITY.apply(found([0.8, 0.6])).scores, [0.8, 0.6], rtol=1e-6)
    assert len(CURVES.apply(found([]), np.zeros(0))) == 0


def test_curves_are_written_and_read_back(tmp_path):
    CURVES.write(tmp_path, "cosense train calibration")
    assert json.loads((tmp_path / FILE_NAME).read_text())["command"] == "cosense train calibration"
    assert read_calibration(tmp_path) == CURVES


def test_without_a_file_a_score_is_taken_as_it_is(tmp_path):
    assert read_calibration(tmp_path) == IDENTITY


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"curves": []}',
        '{"curves": {"ego": [1, 2]}}',
        '{"curves": {"ego": {"car": 1}}}',
        '{"curves": {"ego": {"car": [1]}}}',
        '{"curves": {"ego": {"car": [1, 2, 3]}}}',
        '{"curves": {"ego": {"car": ["a", 2]}}}',
        '{"curves": {"ego": {"car": [null, 2]}}}',
        '{"curves": {"ego": {"car": [NaN, 0]}}}',
        '{"curves": {"ego": {"car": [1, Infinity]}}}',
        '{"curves": {"ego": {"car": [-1, 0]}}}',
        "\udcff",
    ],
)
def test_a_broken_file_is_one_error_that_names_it(tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CosenseError, match=r"calibration\.json: is no calibration: .*; fit it again"):
        read_calibration(tmp_path)
