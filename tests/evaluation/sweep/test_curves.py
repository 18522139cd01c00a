"""What a curve consists of: settings that differ in one thing, and the ego alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cosense.errors import CosenseError
from cosense.evaluation.runs.pose_noise import PoseNoise
from cosense.evaluation.sweep.curves import CURVES, check_curve, points_of, read_values
from cosense.evaluation.sweep.point import Point
from cosense.methods.model import Model
from tests.evaluation.cooperators import tiny_model
from tests.evaluation.scenes import point_is_car

ALONE = Point("tiny", "none")


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


def test_curves_vary_one_thing(model: Model) -> None:
    def points(curve: Any, values: str | None = None, **options: Any) -> list[Point]:
        chosen = {"registrations": ["none"]} | options
        return points_of(curve, {"tiny": model}, read_values(curve, values, 3), **chosen)

    budget = points("budget", "300,none")
    assert budget == [
        ALONE,
        Point("tiny", "late"),
        Point("tiny", "intermediate", budget_bytes=300),
        Point("tiny", "intermediate"),
        Point("tiny", "hybrid", budget_bytes=300),
        Point("tiny", "hybrid"),
    ]
    # What is usual: graphs, where poses are corrected at all.
    assert points("range", "30", fusions=["early", "late"], registrations=())[1:] == [
        Point("tiny", "early", range_m=30.0),
        Point("tiny", "late", range_m=30.0, registration="scene_graph"),
    ]
    assert points("budget", "300", fusions=["hybrid"], selections=["ranked", "random"]) == [
        ALONE,
        Point("tiny", "hybrid", "ranked", 300),
        Point("tiny", "hybrid", "random", 300),
    ]
    assert points("loss", "0,1", fusions=["late", "hybrid"], budget_bytes=900) == [
        ALONE,
        Point("tiny", "late", loss=0.0),
        Point("tiny", "late", loss=1.0),
        Point("tiny", "hybrid", None, 900, loss=0.0),
        Point("tiny", "hybrid", None, 900, loss=1.0),
    ]
    assert points("pose-noise", "0.4", registrations=["none", "scene_graph"], fusions=["early", "late"]) == [
        ALONE,
        Point("tiny", "early", pose_noise=0.4),
        Point("tiny", "late", pose_noise=0.4),
        Point("tiny", "late", pose_noise=0.4, registration="scene_graph"),
    ]
    assert points("loss", "0", fusions=["late"], registrations=["scene_graph"], budget_bytes=900)[1:] == [
        Point("tiny", "late", budget_bytes=900, registration="scene_graph"),
    ]
    unannounced = points("pose-noise", "0.4", fusions=["hybrid"], is_announced=False)[1]
    assert (unannounced.is_announced, unannounced.noise) == (False, PoseNoise(0.4, 0.4, is_announced=False))
    honest = Point("tiny", "late", defence="none")
    lies = {"attack": "ghosts", "attackers": 2}
    as_sent = {"fusions": ["late"], "registrations": ["none"], "attacks": ["ghosts"]}
    assert points("attack", "0,2", defences=["none", "full"], **as_sent) == [
        ALONE,
        honest,
        dataclasses.replace(honest, **lies),
        Point("tiny", "late"),
        Point("tiny", "late", **lies),
    ]
    assert [point.attackers for point in points("attack", fusions=["late"], attacks=["fat"])] == [0, 0, 1, 2]
    errors = points("pose-error", fusions=["late"])[1:]
    assert [point.pose_error for point in errors] == [None, "literature", "dair", "dair_corrected"]
    assert [point.total_delay_ms for point in errors] == [0.0, 100.0, 0.0, 0.0]
    assert points("pose-error", "dair", fusions=["late"])[1].noise == PoseNoise.named("dair")
    with pytest.raises(CosenseError, match="'dairy' is no pose_error: did you mean 'dair'"):
        points("pose-error", "dairy")
    assert points("loss", "0", fusions=["late"], pose_error="dair")[1].noise == PoseNoise.named("dair")
    assert [point.agents for point in points("agents", fusions=["hybrid"])] == [None, 1, 2, 3]
    assert points("rate", "900", fusions=["late"])[1:] == [Point("tiny", "late", rate_bytes_per_s=900)]
    assert points("range", "30", fusions=["late"])[1:] == [Point("tiny", "late", range_m=30.0)]
    burst = points("burst", "1,20", fusions=["late"])[1:]
    assert burst == [Point("tiny", "late", loss=0.3, burst=length) for length in (1.0, 20.0)]
    assert len(points("grid", budget_bytes=2000)) == 1 + 5 * 6 * 5
    # A kind of fusion that one model cannot do is drawn for the others.
    plain = point_is_car("plain")
    both = {"plain": plain, "tiny": model}
    mixed = points_of("loss", both, {"loss": (0.5,)}, fusions=["hybrid"])
    assert [(point.model, point.fusion) for point in mixed] == [
        ("plain", "none"),
        ("tiny", "none"),
        ("tiny", "hybrid"),
    ]
    with pytest.raises(CosenseError, match="needs a model that shares features, 'plain' does not"):
        points_of("loss", {"plain": plain}, {"loss": (0.5,)}, fusions=["hybrid"])
    assert points("grid", "0.2/100/0.5")[1:] == [
        Point("tiny", "hybrid", pose_noise=0.2, delay_ms=100.0, loss=0.5)
    ]


@pytest.mark.parametrize(
    ("curve", "text", "message"),
    [
        ("loss", "0,1.5", r"--values '0,1.5': '1.5' is no loss: expected numbers 0 to 1"),
        ("loss", "0,half", "'half' is no loss"),
        ("delay", "-100", "'-100' is no delay_ms: expected numbers from 0 on"),
        ("budget", "300,,500", "'' is no budget_bytes: expected whole numbers from 1 on or none"),
        ("budget", "300.5", "whole numbers"),
        ("agents", "0", "'0' is no agents: expected whole numbers from 1 on"),
        ("pose-noise", "nan", "'nan' is no pose_noise"),
        ("grid", "0,0.2", "'grid' takes 3 lists, of pose_noise, delay_ms, loss, as 0,0.2/0,100/0,0.5"),
        ("delay", "0/100", "'delay' takes 1 lists, of delay_ms"),
    ],
)
def test_values_that_make_no_sense_are_named(curve: Any, text: str, message: str) -> None:
    with pytest.raises(CosenseError, match=message):
        read_values(curve, text, 3)


def test_an_unknown_curve_names_the_nearest() -> None:
    assert [check_curve(curve) for curve in CURVES] == list(CURVES)
    with pytest.raises(CosenseError, match="unknown curve 'budgt', did you mean 'budget'"):
        check_curve("budgt")
