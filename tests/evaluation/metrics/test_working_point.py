"""What boxes above the working score are like, on scenes that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.evaluation.metrics.scoring import NOT_COUNTED, NOT_MATCHED, verdict_of
from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FrameResult, frame_record, frame_result
from cosense.sensing.labelled_area import LabelledArea, Sector
from cosense.sensing.objects import ObjectClass
from tests.evaluation.scenes import CAR_SIZE, box, detections, objects, result

REAL, SIMULATED = load_protocol("real_frames"), load_protocol("simulated")
AHEAD = LabelledArea((Sector.of_degrees(-45, 45),), np.array([box(30, 10)]))
LONGER = (CAR_SIZE[0] + 0.4, *CAR_SIZE[1:])


def camera_view() -> FrameResult:
    """Ahead a hit that is too long, a reversed one, a false alarm, one on an ignored object; one behind."""
    boxes = [box(10, size=LONGER), box(20, yaw=np.pi), box(40, -5), box(30, 10), box(-20)]
    found = detections(boxes, [0.9, 0.8, 0.7, 0.6, 0.5])
    return result(found, objects([box(10), box(20), box(45)]), labelled=AHEAD)


def test_what_is_found_where_nothing_is_labelled_counts_neither_way() -> None:
    frame = camera_view()
    summary = summarise([frame], REAL)
    assert summary["ap_per_class"]["vehicle"]["num_ground_truth"] == 3
    assert summary["num_detections"] == 3
    assert summary["ap"]["0.5"] == pytest.approx(2 / 3)
    verdict = verdict_of(
        frame.detections, frame.ground_truth, frame.num_points, REAL, frame.participants, AHEAD
    )
    assert verdict.found.tolist() == [0, 1, NOT_MATCHED, NOT_COUNTED, NOT_COUNTED]
    assert verdict.is_counted.all()


def test_figures_of_the_boxes_that_are_acted_upon() -> None:
    working = summarise([camera_view(), camera_view()], REAL)["working"]["vehicle"]
    assert (working["num_ground_truth"], working["num_hits"], working["num_false"]) == (6, 4, 2)
    assert working["recall"] == pytest.approx({"0.3": 2 / 3, "0.5": 2 / 3, "0.7": 2 / 3})
    assert working["recall_by_distance"] == {
        **{"0-15": 1.0, "15-30": 1.0, "30-50": 0.0},
        **{"50-100": None, "100-150": None},
    }
    assert working["precision"] == pytest.approx(2 / 3)
    assert working["mean_score"] == pytest.approx(0.8)
    assert (working["false_per_frame"], working["other_boxes_per_frame"]) == (1.0, 3.0)
    assert working["reversed"] == 0.5
    assert working["length_bias_m"] == pytest.approx(0.2)


def test_boxes_below_the_working_score_find_nothing() -> None:
    found = detections([box(10), box(20), box(30)], [0.5, 0.15, 0.1])
    working = summarise([result(found, objects([box(10), box(20)]))], SIMULATED)["working"]["vehicle"]
    assert (working["num_hits"], working["num_false"], working["recall"]["0.5"]) == (1, 0, 0.5)


def test_of_a_class_without_a_label_nobody_knows_what_is_false() -> None:
    found = detections([box(10)], [0.9], [ObjectClass.PEDESTRIAN])
    working = summarise([result(found, objects([box(20)]))], REAL)["working"]["pedestrian"]
    assert (working["false_per_frame"], working["precision"]) == (None, None)
    assert working["other_boxes_per_frame"] == 1.0


def test_without_frames_nothing_is_defined() -> None:
    working = summarise([], REAL)["working"]["vehicle"]
    assert {working[key] for key in ("false_per_frame", "precision", "reversed", "length_bias_m")} == {None}


def test_what_is_labelled_is_kept_with_the_frame() -> None:
    frame = camera_view()
    again = frame_result(frame_record(frame))
    assert again.labelled.sectors == AHEAD.sectors
    old = {key: value for key, value in frame_record(frame).items() if key != "labelled"}
    assert frame_result(old).labelled.sectors is None
