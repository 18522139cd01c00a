"""Matching on boxes that are unit squares shifted by known amounts: IoU of a shift d is (1 - d) / (1 + d)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.evaluation.metrics.matching import (
    NOT_MATCHED,
    iou_matrix,
    match_by_detection,
    match_by_ground_truth,
    match_frame,
)


def squares(*x: float, z: float = 0.0) -> np.ndarray:
    return np.array([[value, 0, z, 1, 1, 1, 0] for value in x]).reshape(-1, 7)


def test_result_keeps_the_order_of_the_detections() -> None:
    is_hit = match_frame(squares(9, 0, 5), [0.1, 0.2, 0.9], squares(0, 9), 0.5)
    assert is_hit.tolist() == [True, True, False]


def test_duplicate_with_the_lower_score_is_false() -> None:
    # The weaker one lies better, but the stronger one comes first.
    assert match_frame(squares(0, 0.2), [0.3, 0.8], squares(0), 0.5).tolist() == [False, True]


def test_equal_scores_go_in_the_order_given() -> None:
    assert match_frame(squares(0.2, 0), [0.5, 0.5], squares(0), 0.5).tolist() == [True, False]


def test_takes_the_best_of_what_is_left() -> None:
    # The second detection prefers the object at 0, which is taken; the one at 0.4 (IoU 0.54) is left for it.
    assert match_frame(squares(0, 0.1), [0.9, 0.8], squares(0, 0.4), 0.5).tolist() == [True, True]


def test_threshold_itself_is_enough() -> None:
    # A shift of half a metre: overlap 0.5, union 1.5.
    overlap = np.array([[0.5]])
    assert match_by_detection(overlap, np.array([1.0]), 0.5).tolist() == [0]
    assert match_by_ground_truth(overlap, np.array([1.0]), 0.5).tolist() == [0]
    assert match_frame(squares(0.5), [1.0], squares(0), 0.33).all()
    assert not match_frame(squares(0.5), [1.0], squares(0), 0.34).any()


def test_height_counts_only_in_3d() -> None:
    above = squares(0, z=5)
    assert match_frame(above, [0.9], squares(0), 0.5).tolist() == [True]
    assert [iou_matrix(above, squares(0), kind).item() for kind in ("bev", "3d")] == [1.0, 0.0]


@pytest.mark.parametrize(("detections", "objects"), [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_match(detections: int, objects: int) -> None:
    is_hit = match_frame(squares(*range(detections)), np.ones(detections), squares(*range(objects)), 0.5)
    assert is_hit.shape == (detections,)
    assert is_hit.dtype == bool
    assert not is_hit.any()
    empty = np.zeros((detections, objects))
    assert match_by_ground_truth(empty, np.ones(detections), 0.5).tolist() == [NOT_MATCHED] * detections


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 detections, but 1 score"):
        match_frame(squares(0, 1), [0.5], squares(0), 0.5)
    with pytest.raises(ValueError, match="2 detections, but 1 score"):
        match_by_ground_truth(np.zeros((2, 1)), np.ones(1), 0.5)


def test_by_ground_truth_ignores_the_score() -> None:
    overlap, scores = np.array([[0.6], [0.9]]), np.array([0.95, 0.1])
    assert match_by_detection(overlap, scores, 0.5).tolist() == [0, NOT_MATCHED]
    assert match_by_ground_truth(overlap, scores, 0.5).tolist() == [NOT_MATCHED, 0]


def test_by_ground_truth_goes_in_the_order_of_the_labels() -> None:
    # The first object takes the only good detection of the second one, which is then missed.
    overlap = np.array([[0.6, 0.9], [0.0, 0.0]])
    assert match_by_ground_truth(overlap, np.array([0.5, 0.4]), 0.5).tolist() == [0, NOT_MATCHED]
    assert match_by_ground_truth(overlap[:, ::-1], np.array([0.5, 0.4]), 0.5).tolist() == [0, NOT_MATCHED]
    assert match_by_detection(overlap, np.array([0.5, 0.4]), 0.5).tolist() == [1, NOT_MATCHED]


def test_by_ground_truth_the_lowest_score_wins_a_tie() -> None:
    overlap = np.array([[0.7], [0.7], [0.7]])
    assert match_by_ground_truth(overlap, np.array([0.2, 0.9, 0.5]), 0.5).tolist() == [0, -1, -1]
    assert match_by_ground_truth(overlap, np.array([0.5, 0.5, 0.5]), 0.5).tolist() == [-1, -1, 0]


_MATRICES = st.integers(0, 6).flatmap(
    lambda rows: st.integers(0, 6).flatmap(
        lambda columns: st.lists(
            st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]), min_size=rows * columns, max_size=rows * columns
        ).map(lambda values: np.array(values).reshape(rows, columns))
    )
)


@given(_MATRICES, st.data())
def test_each_object_is_found_once_and_nothing_good_is_left(overlap: np.ndarray, data: st.DataObject) -> None:
    scores = np.array(
        data.draw(st.lists(st.floats(0, 1), min_size=len(overlap), max_size=len(overlap))), dtype=float
    )
    for match in (match_by_detection, match_by_ground_truth):
        found = match(overlap, scores, 0.5)
        hits = np.flatnonzero(found != NOT_MATCHED)
        assert len(set(found[hits])) == len(hits)
        assert (overlap[hits, found[hits]] >= 0.5).all()
        left = np.setdiff1d(np.arange(overlap.shape[1]), found[hits])
        assert not (overlap[np.ix_(found == NOT_MATCHED, left)] >= 0.5).any()
