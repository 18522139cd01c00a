"""Numbers of whole runs that can be worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.evaluation.metrics.summary import average_precision_so_far, score, summarise
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FrameResult
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass, Objects
from tests.evaluation.scenes import BUS_SIZE, box, detections, objects, result

SIMULATED = load_protocol("simulated")


def two_frames() -> list[FrameResult]:
    """Frame 1: a weak hit, a weaker miss; frame 2: a strong hit and an object that nobody sees."""
    first = result(detections([box(10), box(40)], [0.5, 0.4]), objects([box(10)]), frame_id="1")
    second = result(detections([box(20)], [0.9]), objects([box(20), box(70)]), frame_id="2")
    return [first, second]


def test_sorted_and_unsorted_differ_on_two_frames() -> None:
    ranked = summarise(two_frames(), load_protocol("opencood"))
    unsorted = summarise(two_frames(), load_protocol("opencood_unsorted"))
    assert ranked["ap"]["0.5"] == pytest.approx(2 / 3)
    assert unsorted["ap"]["0.5"] == pytest.approx((1 + 2 / 3) / 3)


def test_near_and_bands_have_their_own_number() -> None:
    summary = summarise(two_frames(), SIMULATED)
    assert summary["ap_near"] == {"0.3": 1.0, "0.5": 1.0, "0.7": 1.0}
    assert summary["ap_per_band"]["50-100"]["bev"]["0.5"] == 0.0
    assert summary["ap_per_band"]["30-50"] == {
        "num_ground_truth": 0,
        "bev": {"0.3": None, "0.5": None, "0.7": None},
        "3d": {"0.3": None, "0.5": None, "0.7": None},
    }
    assert (summary["num_ground_truth"], summary["num_detections"]) == (3, 3)


def test_official_reports_footprint_and_volume() -> None:
    truth = objects([box(10), box(20), box(30)])
    lifted = [box(10, z=0), box(20), box(30)]
    summary = summarise(
        [result(detections(lifted, [0.9, 0.8, 0.7]), truth)], load_protocol("dair_v2x_official")
    )
    # The first detection's own third is lost: two of three by footprint. By volume it is a false positive,
    # so nothing is lost, and the envelope of 1/2, 2/3 is 2/3 for two of three objects.
    assert summary["ap"]["0.5"] == pytest.approx(2 / 3)
    assert summary["ap_3d"]["0.5"] == pytest.approx(4 / 9)
    assert summary["ap_per_class"]["vehicle"]["bev"] == summary["ap"]
    assert "ap_near" not in summary


def test_recall_by_class_and_of_long_vehicles() -> None:
    truth = objects(
        [box(10), box(20), box(40, size=BUS_SIZE), box(60, size=BUS_SIZE), box(5, y=9, size=(0.8, 0.8, 1.7))],
        [ObjectClass.CAR, ObjectClass.CAR, ObjectClass.BUS, ObjectClass.TRUCK, ObjectClass.PEDESTRIAN],
    )
    found = detections([box(10), box(40, size=BUS_SIZE)], [0.9, 0.8])
    summary = summarise([result(found, truth)], SIMULATED)
    half = {"0.3": 0.5, "0.5": 0.5, "0.7": 0.5}
    assert summary["recall"]["car"] == {"num_ground_truth": 2, **half}
    assert summary["recall"]["bus"]["0.5"] == 1.0
    assert summary["recall"]["truck"]["0.5"] == 0.0
    assert summary["recall"]["pedestrian"] == {"num_ground_truth": 1, "0.25": 0.0, "0.5": 0.0}
    assert summary["recall"]["van"] == {"num_ground_truth": 0, "0.3": None, "0.5": None, "0.7": None}
    assert summary["recall_long_vehicles"] == {"num_ground_truth": 2, **half}


def test_bytes_are_per_collaborator_and_frame() -> None:
    nothing = (Detections.empty(), Objects.empty())
    frames = [
        result(*nothing, sent={"a": 100, "b": 300}, elapsed_ms=10),
        result(*nothing, sent={"a": 200}, elapsed_ms=30),
    ]
    summary = summarise(frames, SIMULATED)
    assert summary["bytes_per_frame"] == {"mean": 200, "p50": 200, "p95": pytest.approx(290)}
    assert summary["bytes_total"] == 600
    assert summary["ms_per_frame"]["p50"] == 20


def test_alone_costs_no_bytes() -> None:
    summary = summarise(two_frames(), SIMULATED)
    assert summary["bytes_per_frame"] == {"mean": 0, "p50": 0, "p95": 0}
    assert summary["bytes_total"] == 0


@pytest.mark.parametrize("frames", [[], [result(Detections.empty(), Objects.empty())]])
def test_nothing_at_all_is_valid_json_without_numbers(frames: list[FrameResult]) -> None:
    summary = summarise(frames, SIMULATED)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["ap"] == {"0.3": None, "0.5": None, "0.7": None}


def test_average_precision_so_far_is_that_of_the_summary() -> None:
    threshold, value = average_precision_so_far([score(r, SIMULATED) for r in two_frames()], SIMULATED)
    assert (threshold, value) == (0.5, summarise(two_frames(), SIMULATED)["ap"]["0.5"])
    assert np.isnan(average_precision_so_far([], SIMULATED)[1])


def test_points_of_another_frame_are_refused() -> None:
    with pytest.raises(ValueError, match="1 object, but 2 numbers of points"):
        result(Detections.empty(), objects([box(10)]), num_points=[1, 2])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.data())
def test_order_of_frames_is_irrelevant_with_global_sort(seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    scores = random.permutation(40) / 40 + 0.01
    frames = []
    for index in range(5):
        truth = [box(x) for x in np.arange(-60, 61, 10) if random.random() < 0.5]
        found = [box(x + random.normal(0, 0.8)) for x in np.arange(-60, 61, 10)[:8]]
        frames.append(
            result(detections(found, scores[8 * index : 8 * index + 8]), objects(truth), frame_id=str(index))
        )
    shuffled = data.draw(st.permutations(frames))
    for name in ("simulated", "opencood", "dair_v2x_official"):
        protocol = load_protocol(name)
        summary = summarise(frames, protocol)
        assert summarise(shuffled, protocol) == summary
        aps = [value for value in summary["ap"].values() if value is not None]
        assert aps == sorted(aps, reverse=True)
        assert all(0 <= value <= 1 for value in aps)
