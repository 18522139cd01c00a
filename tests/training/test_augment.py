"""A changed cloud is still labelled right: points stay in their boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.boxes import points_in_boxes
from cosense.training.augment import AugmentationConfig, augment, beam_of, move, resize, thin
from tests.training.toys import UNCHANGED, toy_sample

# Points that are moved along their rays leave their box, and boxes stay upright in a tilted cloud.
EXACT = AugmentationConfig(jitter=0, tilt=0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_points_stay_in_their_boxes(seed: int, all_round: bool) -> None:
    sample = toy_sample(seed % 7, cars=1)
    rng = np.random.default_rng(seed)
    kept = thin(sample.points, sample.owner, 1, EXACT, rng)
    owner = sample.owner[kept]
    points, boxes, _ = augment(sample.points[kept], owner, sample.boxes, all_round, EXACT, rng)
    # A hair of room, since positions are float32.
    boxes = boxes + np.array([0, 0, 0, 1e-3, 1e-3, 1e-3, 0])
    inside = points_in_boxes(points[:, :3], boxes)[0]
    assert inside[owner == 0].all()


def test_nothing_asked_for_nothing_changed() -> None:
    sample = toy_sample(0)
    rng = np.random.default_rng(0)
    assert thin(sample.points, sample.owner, 1, UNCHANGED, rng).all()
    points, boxes, _ = augment(sample.points, sample.owner, sample.boxes, True, UNCHANGED, rng)
    np.testing.assert_allclose(points, sample.points, atol=1e-6)
    np.testing.assert_allclose(boxes, sample.boxes, atol=1e-12)


def test_the_original_is_left_alone() -> None:
    sample = toy_sample(0)
    points, boxes = sample.points, sample.boxes.copy()
    before = points.copy()
    augment(points, sample.owner, sample.boxes, True, AugmentationConfig(), np.random.default_rng(3))
    np.testing.assert_array_equal(points, before)
    np.testing.assert_array_equal(sample.boxes, boxes)


TURN, MIRROR, TILT = (
    np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    np.diag([1, -1, 1]),
    # By 5 degrees about y: what lies ahead sinks.
    np.array([[0.99619, 0, 0.08716], [0, 1, 0], [-0.08716, 0, 0.99619]]),
)


@pytest.mark.parametrize(
    ("matrix", "point", "box"),
    [
        (TURN, [-2, 1, 3], [-2, 1, 3, 4, 2, 1.5, 0.25 + np.pi / 2]),
        (MIRROR, [1, -2, 3], [1, -2, 3, 4, 2, 1.5, -0.25]),
        (2 * np.eye(3), [2, 4, 6], [2, 4, 6, 8, 4, 3, 0.25]),
        (TILT, [1.25767, 2, 2.90141], [1.25767, 2, 2.90141, 4, 2, 1.5, 0.25096]),
    ],
    ids=["turn", "mirror", "scale", "tilt"],
)
def test_points_and_boxes_move_together(matrix: np.ndarray, point: list, box: list) -> None:
    points = np.array([[1, 2, 3, 0.5]], dtype=np.float32)
    boxes = np.array([[1, 2, 3, 4, 2, 1.5, 0.25]])
    move(points, boxes, matrix)
    np.testing.assert_allclose(points, [[*point, 0.5]], atol=1e-4)
    np.testing.assert_allclose(boxes, [box], atol=1e-4)


def test_a_resized_object_stays_on_its_ground() -> None:
    boxes = np.array([[10, 0, 1, 4, 2, 2, np.pi / 2]])
    # A corner at the front, left, at the top; and a point of nothing.
    points = np.array([[9, 2, 2, 0], [9, 2, 2, 0]], dtype=np.float32)
    resize(points, np.array([0, -1], np.int16), boxes, np.array([[1.5, 0.5, 0.75]]))
    np.testing.assert_allclose(boxes, [[10, 0, 0.75, 6, 1, 1.5, np.pi / 2]])
    np.testing.assert_allclose(points, [[9.5, 3, 1.5, 0], [9, 2, 2, 0]], atol=1e-6)


def test_whole_beams_are_dropped() -> None:
    elevation = np.repeat(np.deg2rad(0.33) * (np.arange(-75, 75, 5) + 0.5), 50)
    distance = np.tile(np.linspace(5, 50, 50), 30)
    xyz = np.column_stack([distance, 0 * distance, distance * np.tan(elevation)])
    points = np.column_stack([xyz, 0 * distance]).astype(np.float32)
    assert len(set(beam_of(points))) == 30
    owner = np.full(len(points), -1, np.int16)
    kept = thin(points, owner, 0, replace(UNCHANGED, drop_beams=1.0), np.random.default_rng(0))
    per_beam = kept.reshape(30, 50).mean(axis=1)
    assert set(per_beam) == {0.0, 1.0}


@pytest.mark.parametrize(("name", "share"), [("drop_columns", 0.5), ("drop_far", 0.5), ("drop_points", 0.75)])
def test_a_share_of_the_points_is_dropped(name: str, share: float) -> None:
    rng = np.random.default_rng(1)
    azimuth, distance = rng.uniform(-np.pi, np.pi, 20_000), rng.uniform(50, 100, 20_000)
    points = np.column_stack([distance * np.cos(azimuth), distance * np.sin(azimuth), azimuth, azimuth])
    owner = np.full(len(points), -1, np.int16)
    config = replace(UNCHANGED, **{name: 1.0})
    kept = [thin(points.astype(np.float32), owner, 0, config, np.random.default_rng(n)) for n in range(60)]
    assert np.mean(kept) == pytest.approx(share, abs=0.07)


def test_an_object_can_be_dark() -> None:
    points, owner = np.ones((3000, 4), np.float32), np.repeat([-1, 0, 1], 1000).astype(np.int16)
    kept = thin(points, owner, 2, replace(UNCHANGED, drop_of_object=1.0), np.random.default_rng(0))
    assert kept[:1000].all()
    assert not kept[1000:2000].all()
    assert not kept[2000:].all()


def test_intensity_can_be_taken_away() -> None:
    sample = toy_sample(0)
    config = replace(UNCHANGED, no_intensity=1.0)
    points, _, _ = augment(sample.points, sample.owner, sample.boxes, True, config, np.random.default_rng(0))
    assert not points[:, 3].any()


@pytest.mark.parametrize(
    "change",
    [{"mirror": 1.5}, {"scale": 1.0}, {"drop_beams": -0.1}, {"gamma": 0.5}, {"size_range": (1, 0.9)}],
)
def test_impossible_amounts_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AugmentationConfig(**change)
