"""Suppression of rotated boxes against the definition, one pair at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from cosense.geometry.iou import bev_iou
from cosense.geometry.nms import rotated_nms


def reference(boxes, scores, threshold):
    """Take the best box, drop all that overlap it, repeat."""
    overlaps = bev_iou(boxes, boxes)
    left = sorted(range(len(boxes)), key=lambda index: (-scores[index], index))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if overlaps[best, i] <= threshold]
    return kept


def scene(seed: int, count: int, extent_m: float):
    rng = np.random.default_rng(seed)
    low = [-extent_m, -extent_m, -1, 0, 0.5, 1, -4]
    boxes = rng.uniform(low, [extent_m, extent_m, 1, 6, 3, 2, 4], (count, 7))
    return boxes, rng.integers(0, 50, count) / 50


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 40),
    extent_m=st.sampled_from([1.0, 5.0, 20.0]),
    threshold=st.sampled_from([0.0, 0.15, 0.5, 1.0]),
)
def test_agrees_with_the_definition(seed, count, extent_m, threshold):
    boxes, scores = scene(seed, count, extent_m)
    kept = rotated_nms(boxes, scores, threshold)
    assert kept.dtype == np.int64
    assert kept.tolist() == reference(boxes, scores, threshold)


@pytest.mark.parametrize("extent_m", [3, 60])
def test_more_boxes_than_are_compared_at_once(extent_m):
    boxes, scores = scene(7, 300, extent_m)
    assert rotated_nms(boxes, scores, 0.3).tolist() == reference(boxes, scores, 0.3)


def test_the_better_of_two_stays_and_a_third_elsewhere():
    boxes = [[0, 0, 0, 4, 2, 2, 0], [0.5, 0, 0, 4, 2, 2, 0.1], [30, 0, 0, 4, 2, 2, 0]]
    assert_array_equal(rotated_nms(boxes, [0.5, 0.9, 0.7], 0.15), [1, 2])
    assert_array_equal(rotated_nms(boxes, [0.5, 0.9, 0.7], 0.95), [1, 2, 0])


def test_suppressed_boxes_suppress_nothing():
    chain = [[x, 0, 0, 4, 2, 2, 0] for x in (0, 2.5, 5)]
    assert_array_equal(rotated_nms(chain, [0.9, 0.8, 0.7], 0.1), [0, 2])


def test_overlap_of_just_the_threshold_stays():
    halves = [[0, 0, 0, 2, 1, 1, 0], [0, 0, 0, 1, 1, 1, 0]]
    assert_array_equal(rotated_nms(halves, [1, 0.5], 0.5), [0, 1])
    assert_array_equal(rotated_nms(halves, [1, 0.5], 0.499), [0])


def test_ties_go_by_index():
    apart = [[10 * k, 0, 0, 4, 2, 2, 0] for k in range(100)]
    assert_array_equal(rotated_nms(apart, np.ones(100), 0.1), np.arange(100))
    assert_array_equal(rotated_nms([[0, 0, 0, 4, 2, 2, 0]] * 3, np.ones(3), 0.1), [0])


def test_max_keep_takes_the_best():
    boxes, scores = scene(1, 200, 30)
    everything = rotated_nms(boxes, scores, 0.2)
    assert len(everything) > 70
    for limit in (0, 1, 64, 70, 1000):
        assert_array_equal(rotated_nms(boxes, scores, 0.2, max_keep=limit), everything[:limit])


def test_no_boxes():
    kept = rotated_nms(np.zeros((0, 7)), [], 0.1)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


@pytest.mark.parametrize(
    ("boxes", "scores", "threshold", "message"),
    [
        ([[0, 0, 0, 4, 2, 2, math.nan]], [1], 0.1, "row 0 of boxes"),
        ([[0, 0, 0, 4, 2, 2, 0]], [1, 2], 0.1, "1 box, but 2 scores"),
        ([[0, 0, 0, 4, 2, 2, 0]] * 2, [1, math.nan], 0.1, "score 1 is NaN"),
        ([[0, 0, 0, 4, 2, 2, 0]], [1], 1.5, "iou_threshold is 1.5"),
        ([[0, 0, 0, 4, 2, 2, 0]], [1], math.nan, "iou_threshold is nan"),
    ],
)
def test_bad_input_is_named(boxes, scores, threshold, message):
    with pytest.raises(ValueError, match=message):
        rotated_nms(boxes, scores, threshold)
