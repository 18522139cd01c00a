"""Boxes of one object become one box, which lies where all of them say, as far as they are sure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.cooperation.merge import (
    MergeSettings,
    is_ego_body,
    on_own_objects,
    suppress,
    suppress_and_average,
)
from cosense.sensing.detections import Detections, Source

CAR = [0.0, 0.0, -1.0, 4.5, 1.9, 1.6, 0.2]


def boxes(*rows: tuple[list[float], float], labels: list[int] | None = None) -> Detections:
    """Return detections of (box, score) rows, the first from the fused head, the others late."""
    count = len(rows)
    sources = np.array([Source.FUSED] + [Source.LATE] * (count - 1), dtype=np.uint8)[:count]
    return Detections(
        np.array([box for box, _ in rows]).reshape(-1, 7),
        np.array([score for _, score in rows], dtype=np.float32),
        np.array(labels or [0] * count, dtype=np.int64),
        sources,
    )


def moved(dx: float, dy: float = 0.0, turn: float = 0.0) -> list[float]:
    return [CAR[0] + dx, CAR[1] + dy, *CAR[2:6], CAR[6] + turn]


def test_two_boxes_of_a_car_become_their_mean_weighted_by_their_odds() -> None:
    found = suppress_and_average(boxes((CAR, 0.8), (moved(0.5, turn=0.1), 0.4)), 0.15)
    assert len(found) == 1
    doubtful, sure = (0.4 / 0.6) ** 0.3, (0.8 / 0.2) ** 0.3
    share = doubtful / (doubtful + sure)
    np.testing.assert_allclose(found.boxes[0], moved(share * 0.5, turn=share * 0.1), atol=1e-6)
    assert found.scores[0] == np.float32(0.8)
    assert found.sources[0] == Source.FUSED


def test_a_box_that_looks_the_other_way_keeps_the_axis_and_not_the_front() -> None:
    found = suppress_and_average(boxes((CAR, 0.8), (moved(0.0, turn=np.pi + 0.1), 0.8)), 0.15)
    np.testing.assert_allclose(found.boxes[0], moved(0.0, turn=0.05), atol=1e-6)


def test_what_hardly_overlaps_is_suppressed_but_not_averaged() -> None:
    found = suppress_and_average(boxes((CAR, 0.8), (moved(2.4), 0.7)), 0.15)
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0], CAR)


def test_other_classes_and_other_objects_stay_as_they_are() -> None:
    person = [0.3, 0.2, -1.0, 0.6, 0.6, 1.7, 0.0]
    found = suppress_and_average(boxes((CAR, 0.8), (person, 0.6), (moved(20.0), 0.5), labels=[0, 4, 0]), 0.15)
    np.testing.assert_allclose(found.boxes, [CAR, person, moved(20.0)])


@pytest.mark.parametrize(("error_m", "dx", "lands"), [(0.7, 1.3, 0.0), (0.7, 1.5, 1.5), (0.3, 0.5, 0.5)])
def test_a_box_in_doubt_takes_the_place_of_an_own_box_that_it_can_mean(error_m, dx, lands) -> None:
    """Within two standard deviations, and not where its place is certain."""
    found = on_own_objects(boxes((moved(dx), 0.9)), boxes((CAR, 0.3)), np.array([error_m]))
    np.testing.assert_allclose(found.boxes, [moved(lands)])
    assert found.scores[0] == np.float32(0.9)


def test_an_own_box_stands_for_one_box_in_doubt_of_its_kind() -> None:
    errors_m = np.full(3, 0.7)
    received = boxes((moved(0.9), 0.9), (moved(-0.4), 0.9), (moved(0.2), 0.9), labels=[0, 0, 4])
    found = on_own_objects(received, boxes((CAR, 0.3)), errors_m)
    np.testing.assert_allclose(found.boxes, [moved(0.9), CAR, moved(0.2)])
    np.testing.assert_array_equal(
        on_own_objects(received, Detections.empty(), errors_m).boxes, received.boxes
    )


def test_suppression_of_nothing_is_nothing() -> None:
    assert len(suppress(Detections.empty(), 0.15)) == 0


@pytest.mark.parametrize("change", [{"iou": 0.0}, {"iou": 1.1}, {"roof_below_sensor_m": -0.1}])
def test_settings_refuse_nonsense(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        MergeSettings(**change)


def test_the_roof_margin_says_what_is_the_egos_own_body() -> None:
    below = np.array([[0.1, 0.0, -3.0, 4.6, 1.9, 1.6, 0.0]])
    assert not is_ego_body(below, 1.0).any()
    assert is_ego_body(below, 2.5).all()


def test_nothing_becomes_nothing_and_a_box_without_score_hardly_counts() -> None:
    assert len(suppress_and_average(Detections.empty(), 0.15)) == 0
    found = suppress_and_average(boxes((CAR, 1.0), (moved(0.4), 0.0)), 0.15)
    assert 0 < found.boxes[0, 0] < 0.01


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(-1, 1), st.floats(-0.6, 0.6), st.floats(-0.2, 0.2), st.floats(0.01, 1.0)),
        min_size=1,
        max_size=6,
    )
)
def test_the_mean_lies_between_the_boxes(around: list[tuple[float, float, float, float]]) -> None:
    rows = [(moved(dx, dy, turn), score) for dx, dy, turn, score in around]
    found = suppress_and_average(boxes(*rows), 0.15)
    given_boxes = np.array([row for row, _ in rows])
    assert (found.boxes[:, :2] >= given_boxes[:, :2].min(0) - 1e-9).all()
    assert (found.boxes[:, :2] <= given_boxes[:, :2].max(0) + 1e-9).all()
