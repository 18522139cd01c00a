"""Each rule of a protocol, switched on and off, on boxes at the border of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.evaluation.metrics.scoring import ALL, Outcome, admissible_detections, in_band, score_frame
from cosense.evaluation.protocol import Band, Protocol, load_protocol
from cosense.geometry.boxes import as_boxes, bev_corners
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass, Objects
from tests.evaluation.scenes import BUS_SIZE, box, detections, objects

OPENCOOD = load_protocol("opencood")
OFFICIAL = load_protocol("dair_v2x_official")
SIMULATED = load_protocol("simulated")
NOBODY = np.zeros((0, 2))


def outcome(
    found: Detections,
    truth: Objects,
    protocol: Protocol,
    num_points: list[int] | None = None,
    band: str = ALL,
) -> Outcome:
    counts = np.array(num_points if num_points is not None else [100] * len(truth))
    name, kind = protocol.main_class.name, protocol.iou[0]
    return score_frame(found, truth, counts, protocol, NOBODY)[band, name, kind, 0.5]


def test_six_metre_rule_drops_the_detected_bus_and_keeps_it_in_the_ground_truth() -> None:
    bus = [box(20, size=BUS_SIZE, z=-1.4)]
    found, truth = detections(bus, [0.9]), objects(bus, [ObjectClass.BUS])
    strict = outcome(found, truth, OPENCOOD)
    assert (len(strict.scores), strict.is_found.tolist()) == (0, [False])
    lenient = outcome(found, truth, replace(OPENCOOD, max_extent_m=None, detection_z_m=None))
    assert (lenient.is_true_positive.tolist(), lenient.is_found.tolist()) == ([True], [True])


def test_six_metre_rule_is_along_the_axes_of_the_ego() -> None:
    # 6.5 m long: along x it is dropped, at 45 degrees its extent is (6.5 + 1.8) / sqrt(2) = 5.9 m.
    size = (6.5, 1.8, 1.5)
    found = detections([box(20, size=size), box(40, size=size, yaw=np.pi / 4)], [0.9, 0.8])
    assert admissible_detections(found, OPENCOOD).tolist() == [1]


def test_score_threshold_is_exclusive() -> None:
    found = detections([box(10), box(20), box(30)], [0.2, 0.21, 0.1])
    assert admissible_detections(found, OPENCOOD).tolist() == [1]


def test_height_rules_concern_every_corner() -> None:
    low, right, high = box(10, z=-2.3), box(20, z=-2.2), box(30, z=0.3)
    assert admissible_detections(detections([low, right, high], [0.9, 0.8, 0.7]), OPENCOOD).tolist() == [1]
    truth = objects([box(10, z=-3.7), box(20, z=-3.8)])
    assert len(outcome(Detections.empty(), truth, OPENCOOD).labels) == 1


def test_overlapping_detections_are_suppressed_by_the_better_one() -> None:
    found = detections([box(10), box(11), box(30)], [0.5, 0.9, 0.8])
    assert admissible_detections(found, OPENCOOD).tolist() == [1, 2]
    assert admissible_detections(found, replace(OPENCOOD, nms_iou=None)).tolist() == [1, 2, 0]


def test_labels_that_no_class_knows_are_left_out() -> None:
    found = detections([box(10), box(20)], [0.9, 0.8], [ObjectClass.PEDESTRIAN, ObjectClass.TRUCK])
    assert admissible_detections(found, OPENCOOD).tolist() == [1]


def test_any_corner_and_all_corners() -> None:
    # x from -2.25 to 2.25: a corner is ahead of the ego, another behind.
    across = as_boxes([box(0), box(-2.3), box(102.2), box(102.3)])
    assert in_band(across, Band(), OFFICIAL).tolist() == [True, False, True, False]
    border = as_boxes([box(98.5), box(98.6), box(0, y=39.0), box(0, y=39.2)])
    assert in_band(border, Band(), OPENCOOD).tolist() == [True, False, True, False]
    assert in_band(border, Band(), SIMULATED).all()
    assert not in_band(as_boxes([box(0, y=40.1), box(101)]), Band(), SIMULATED).any()


def test_any_corner_needs_height_too() -> None:
    boxes = as_boxes([box(20, z=1.7), box(20, z=1.8), box(20, z=-4)])
    assert in_band(boxes, Band(), OFFICIAL).tolist() == [True, False, False]


@pytest.mark.parametrize("noise_m", [1e-6, 1.23e-4])
def test_rounding_below_the_tolerance_drops_no_box(noise_m: float) -> None:
    # The bottom lies at -3 and comes out of a transform as -3.000001; likewise at the sides.
    at_floor = detections([box(20, z=-2.25 - noise_m)], [0.9])
    assert len(admissible_detections(at_floor, OPENCOOD)) == 1
    assert in_band(as_boxes([box(98.55 + noise_m), box(-98.55 - noise_m)]), Band(), OPENCOOD).all()
    assert in_band(as_boxes([box(102.25 + noise_m)]), Band(), OFFICIAL).all()
    assert len(outcome(Detections.empty(), objects([box(20, z=-3.75 - noise_m)]), OPENCOOD).labels) == 1


@given(
    st.floats(-90, 90),
    st.floats(-30, 30),
    st.floats(-np.pi, np.pi),
    st.floats(-5e-4, 5e-4),
    st.integers(0, 1),
)
def test_range_ends_at_the_border_whatever_the_heading(
    x: float, y: float, yaw: float, noise_m: float, axis: int
) -> None:
    # Push a box along one axis until its outermost corner is on the border, give or take rounding.
    boxes = as_boxes([box(x, y, yaw=yaw)])
    border = OPENCOOD.range_m[3 + axis]
    boxes[:, axis] += border - bev_corners(boxes)[0, :, axis].max() + noise_m
    assert in_band(boxes, Band(), OPENCOOD).all()
    boxes[:, axis] += 0.002
    assert not in_band(boxes, Band(), OPENCOOD).any()


def test_bands_by_distance_share_every_box_once() -> None:
    boxes = [box(0, y=10), box(29.9), box(30), box(20, y=30), box(60), box(-70)]
    found, truth = detections(boxes, np.linspace(0.9, 0.4, 6)), objects(boxes)
    for band, count in {"0-30": 2, "30-50": 2, "50-100": 2, ALL: 6}.items():
        answer = outcome(found, truth, SIMULATED, band=band)
        assert (len(answer.scores), len(answer.labels)) == (count, count)


def test_official_bands_count_a_box_on_the_border_twice() -> None:
    boxes = [box(30), box(40)]
    for band, count in {"0-30": 1, "30-50": 2, "50-100": 0}.items():
        assert (
            len(outcome(detections(boxes, [0.9, 0.8]), objects(boxes), OFFICIAL, band=band).labels) == count
        )


def test_objects_with_few_points_count_neither_way() -> None:
    boxes = [box(10), box(20), box(30)]
    found = detections([*boxes, box(60)], [0.9, 0.8, 0.7, 0.6])
    answer = outcome(found, objects(boxes), SIMULATED, num_points=[5, 4, 0])
    np.testing.assert_array_equal(answer.scores, np.array([0.9, 0.6], dtype=np.float32))
    assert answer.is_true_positive.tolist() == [True, False]
    assert answer.is_found.tolist() == [True]


def test_classes_do_not_mix() -> None:
    truth = objects([box(10), box(20)], [ObjectClass.VAN, ObjectClass.CYCLIST])
    found = detections([box(10), box(20)], [0.9, 0.8])
    answers = score_frame(found, truth, np.array([50, 50]), SIMULATED, NOBODY)
    assert answers[ALL, "vehicle", "bev", 0.5].is_true_positive.tolist() == [True, False]
    assert answers[ALL, "cyclist", "bev", 0.5].is_found.tolist() == [False]


def test_scores_leave_a_frame_best_first() -> None:
    boxes = [box(10), box(20), box(30)]
    answer = outcome(detections(boxes, [0.3, 0.9, 0.5]), objects(boxes[1:]), SIMULATED)
    assert answer.is_true_positive.tolist() == [True, True, False]
    assert (np.diff(answer.scores) < 0).all()


def test_volume_and_footprint_are_answered_apart() -> None:
    truth, found = objects([box(10, z=-1)]), detections([box(10, z=0)], [0.9])
    answers = score_frame(found, truth, np.array([50]), OFFICIAL, NOBODY)
    assert answers[ALL, "vehicle", "bev", 0.5].is_true_positive.tolist() == [True]
    assert answers[ALL, "vehicle", "3d", 0.5].is_true_positive.tolist() == [False]
