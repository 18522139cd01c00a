"""Average precision against numbers worked out by hand, and what must hold for any detections."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.evaluation.metrics.average_precision import average_precision, dair_average_precision


def test_perfect_detections_give_one() -> None:
    assert average_precision([0.9, 0.8, 0.7], [True, True, True], 3) == 1.0


def test_missed_half_gives_half() -> None:
    assert average_precision([0.9, 0.8], [True, True], 4) == 0.5


def test_one_false_positive_first_halves_the_precision_of_the_one_object() -> None:
    assert average_precision([0.9, 0.8], [False, True], 1) == 0.5


def test_interleaved_by_hand() -> None:
    # Rank 1 hit (1/1), 2 miss, 3 hit (2/3), 4 miss, 5 hit (3/5); recall steps of 1/4, one object never found.
    expected = (1 + 2 / 3 + 3 / 5) / 4
    assert average_precision([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 0, 1], 4) == pytest.approx(expected)


def test_envelope_lifts_precision_to_that_of_a_later_rank() -> None:
    # Precision 0, 1/2, 2/3: the best at recall 1/2 or more is 2/3, for both steps.
    assert average_precision([0.9, 0.8, 0.7], [0, 1, 1], 2) == pytest.approx(2 / 3)


def test_unsorted_keeps_frame_after_frame() -> None:
    # Frame 1: a weak hit and a weaker miss; frame 2: a strong hit.
    scores, hits = [0.5, 0.4, 0.9], [True, False, True]
    assert average_precision(scores, hits, 2) == 1.0
    assert average_precision(scores, hits, 2, global_sort=False) == pytest.approx((1 + 2 / 3) / 2)


def test_equal_scores_keep_the_order_given() -> None:
    assert average_precision([0.5, 0.5], [True, False], 1) == 1.0
    assert average_precision([0.5, 0.5], [False, True], 1) == 0.5


def test_no_detection_gives_zero_and_no_ground_truth_nan() -> None:
    assert average_precision([], [], 3) == 0.0
    assert math.isnan(average_precision([], [], 0))
    assert math.isnan(average_precision([0.9], [False], 0))


@pytest.mark.parametrize(
    ("scores", "hits", "num_ground_truth", "message"),
    [
        ([0.9], [True, False], 2, "1 score, but 2"),
        ([0.9, 0.8], [True, True], 1, "only 1 ground truths"),
        ([float("nan")], [True], 1, "score 0 is NaN"),
    ],
)
def test_contradictory_input_is_refused(
    scores: list[float], hits: list[bool], num_ground_truth: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        average_precision(scores, hits, num_ground_truth)


def test_dair_loses_the_share_of_the_first_detection() -> None:
    # The first hit alone would be 1/4 of the recall at precision 1.
    assert dair_average_precision([0.9, 0.8, 0.7], [1, 1, 1], 4) == 0.5
    assert average_precision([0.9, 0.8, 0.7], [1, 1, 1], 4) == 0.75


def test_dair_loses_nothing_when_a_false_positive_comes_first() -> None:
    # Precision 0, 1/2, 2/3, 2/4 with recall 0, 1/2, 1, 1; the envelope is 2/3 twice.
    assert dair_average_precision([0.9, 0.8, 0.7, 0.6], [0, 1, 1, 0], 2) == pytest.approx(2 / 3)


def test_dair_sorts_globally_and_survives_emptiness() -> None:
    assert dair_average_precision([0.1, 0.9, 0.8], [0, 1, 1], 2) == 0.5
    assert dair_average_precision([], [], 2) == 0.0
    assert math.isnan(dair_average_precision([], [], 0))


@st.composite
def _detections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    hits = np.array(draw(st.lists(st.booleans(), max_size=40)), dtype=bool)
    scores = np.array(draw(st.permutations(range(len(hits)))), dtype=float)
    missed = draw(st.integers(0, 10))
    return scores, hits, max(1, int(hits.sum()) + missed)


@given(_detections(), st.booleans())
def test_between_zero_and_the_recall(case: tuple[np.ndarray, np.ndarray, int], global_sort: bool) -> None:
    scores, hits, num_ground_truth = case
    recall = hits.sum() / num_ground_truth
    assert 0 <= average_precision(scores, hits, num_ground_truth, global_sort=global_sort) <= recall + 1e-12
    assert 0 <= dair_average_precision(scores, hits, num_ground_truth) <= recall + 1e-12


@given(_detections(), st.randoms(use_true_random=False))
def test_global_sort_does_not_see_the_order(case: tuple[np.ndarray, np.ndarray, int], random: Random) -> None:
    scores, hits, num_ground_truth = case
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled = average_precision(scores[order], hits[order], num_ground_truth)
    assert shuffled == average_precision(scores, hits, num_ground_truth)


@given(_detections())
def test_turning_a_false_positive_into_a_hit_never_lowers_it(
    case: tuple[np.ndarray, np.ndarray, int],
) -> None:
    scores, hits, num_ground_truth = case
    before = average_precision(scores, hits, num_ground_truth)
    for index in np.flatnonzero(~hits):
        if hits.sum() < num_ground_truth:
            better = hits.copy()
            better[index] = True
            assert average_precision(scores, better, num_ground_truth) >= before - 1e-12


@given(_detections())
def test_mean_over_objects_of_the_best_precision_from_their_rank_on(
    case: tuple[np.ndarray, np.ndarray, int],
) -> None:
    # The same area summed object by object, as a sentence rather than as arrays.
    scores, hits, num_ground_truth = case
    ranked = [hit for _, hit in sorted(zip(scores, hits, strict=True), reverse=True)]
    precision = [sum(ranked[: rank + 1]) / (rank + 1) for rank in range(len(ranked))]
    shares = [max(precision[rank:]) / num_ground_truth for rank, hit in enumerate(ranked) if hit]
    assert average_precision(scores, hits, num_ground_truth) == pytest.approx(sum(shares))
    first_is_lost = shares[1:] if ranked and ranked[0] else shares
    assert dair_average_precision(scores, hits, num_ground_truth) == pytest.approx(sum(first_is_lost))


@given(_detections())
def test_difference_of_the_two_readings_is_at_most_one_object(
    case: tuple[np.ndarray, np.ndarray, int],
) -> None:
    scores, hits, num_ground_truth = case
    voc = average_precision(scores, hits, num_ground_truth)
    dair = dair_average_precision(scores, hits, num_ground_truth)
    assert -1e-12 <= voc - dair <= 1 / num_ground_truth + 1e-12
