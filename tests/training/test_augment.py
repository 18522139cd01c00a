"""A changed cloud is still labelled right: points stay in their boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.boxes import points_in_boxes
from cosense.training.augment import AugmentationConfig, augment, beam_of, mirror_y, rotate, scale, thin
from tests.training.toys import UNCHANGED, toy_sample


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_points_stay_in_their_boxes(seed: int, all_round: bool) -> None:
    sample = toy_sample(seed % 7, cars=1)
    rng = np.random.default_rng(seed)
    kept = thin(sample.points, AugmentationConfig(), rng)
    points, boxes = augment(sample.points[kept], sample.boxes, all_round, AugmentationConfig(), rng)
    # A hair of room, since positions are float32.
    boxes = boxes + np.array([0, 0, 0, 1e-3, 1e-3, 1e-3, 0])
    np.testing.assert_array_equal(points_in_boxes(points[:, :3], boxes)[0], sample.owner[kept] == 0)


def test_nothing_asked_for_nothing_changed() -> None:
    sample = toy_sample(0)
    rng = np.random.default_rng(0)
    assert thin(sample.points, UNCHANGED, rng).all()
    points, boxes = augment(sample.points, sample.boxes, True, UNCHANGED, rng)
    np.testing.assert_allclose(points, sample.points, atol=1e-6)
    np.testing.assert_allclose(boxes, sample.boxes, atol=1e-12)


def test_the_original_is_left_alone() -> None:
    sample = toy_sample(0)
    points, boxes = sample.points.copy(), sample.boxes.copy()
    augment(sample.points, sample.boxes, True, AugmentationConfig(), np.random.default_rng(3))
    np.testing.assert_array_equal(sample.points, points)
    np.testing.assert_array_equal(sample.boxes, boxes)


def test_parts_do_what_their_names_say() -> None:
    points = np.array([[1, 2, 3, 0.5]], dtype=np.float32)
    boxes = np.array([[1, 2, 3, 4, 2, 1.5, 0.25]])
    turned, box = rotate(points, boxes, np.pi / 2)
    np.testing.assert_allclose(turned, [[-2, 1, 3, 0.5]], atol=1e-6)
    np.testing.assert_allclose(box, [[-2, 1, 3, 4, 2, 1.5, 0.25 + np.pi / 2]], atol=1e-9)
    np.testing.assert_allclose(mirror_y(points, boxes)[1], [[1, -2, 3, 4, 2, 1.5, -0.25]])
    np.testing.assert_allclose(scale(points, boxes, 2.0)[1], [[2, 4, 6, 8, 4, 3, 0.25]])


def test_whole_beams_are_dropped() -> None:
    elevation = np.repeat(np.deg2rad(0.33) * (np.arange(-75, 75, 5) + 0.5), 50)
    distance = np.tile(np.linspace(5, 50, 50), 30)
    xyz = np.column_stack([distance, 0 * distance, distance * np.tan(elevation)])
    points = np.column_stack([xyz, 0 * distance]).astype(np.float32)
    assert len(set(beam_of(points))) == 30
    kept = thin(points, replace(UNCHANGED, drop_beams=1.0), np.random.default_rng(0))
    per_beam = kept.reshape(30, 50).mean(axis=1)
    assert set(per_beam) == {0.0, 1.0}


def test_intensity_can_be_taken_away() -> None:
    sample = toy_sample(0)
    config = replace(UNCHANGED, no_intensity=1.0)
    points, _ = augment(sample.points, sample.boxes, True, config, np.random.default_rng(0))
    assert not points[:, 3].any()


@pytest.mark.parametrize("change", [{"mirror": 1.5}, {"scale": 1.0}, {"drop_beams": -0.1}])
def test_impossible_amounts_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AugmentationConfig(**change)
