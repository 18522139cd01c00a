"""From points to boxes: what goes in, what comes out, and in which frame."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cosense.detectors.base import BevDetector, BevFeatures
from cosense.errors import CosenseError
from cosense.geometry.boxes import Boxes
from cosense.sensing.detections import Source
from cosense.sensing.ground import GroundSettings, GroundSurface
from cosense.sensing.levelling import levelled
from cosense.sensing.objects import ObjectClass
from cosense.training.targets import make_targets
from tests.detectors.networks import TINY, cloud, frame_of, tiny_detector


@pytest.fixture(scope="module")
def detector() -> BevDetector:
    return tiny_detector()


def rendered(detector: BevDetector, boxes: Boxes, classes: list[int], ground_m: float) -> BevFeatures:
    """Return what a perfect network says of a scene."""
    lowered = boxes - np.array([0, 0, ground_m, 0, 0, 0, 0])
    sure = np.ones(len(boxes), dtype=bool)
    targets = make_targets(lowered, np.array(classes), sure, detector.grid.coarser(2))
    return BevFeatures(
        levels=(),
        context=torch.zeros(0),
        class_logits=torch.logit(targets.heat[0].clamp(1e-4, 0.99)),
        box_codes=targets.codes[0],
        point_counts=torch.zeros(detector.grid.shape, dtype=torch.int64),
        grid=detector.grid,
        ground=GroundSurface.level(ground_m),
    )


def test_decoding_the_targets_gives_the_boxes_back(detector: BevDetector) -> None:
    boxes = np.array(
        [
            [3.0, 2.0, -1.1, 4.5, 1.9, 1.6, 0.3],
            [-7.1, -3.0, -0.2, 11.0, 2.5, 3.2, -2.9],
            [9.0, -2.2, -1.0, 0.6, 0.6, 1.7, 1.5],
            [-2.0, 4.4, -1.0, 1.8, 0.7, 1.7, 3.0],
        ]
    )
    found = detector.decode(rendered(detector, boxes, [0, 0, 1, 2], ground_m=-1.9))
    assert len(found) == len(boxes)
    # All have the same score, so pair them by position.
    nearest = np.argmin(np.linalg.norm(found.boxes[:, None, :2] - boxes[None, :, :2], axis=-1), axis=0)
    np.testing.assert_allclose(found.boxes[nearest], boxes, atol=1e-4)
    classes = [ObjectClass.CAR, ObjectClass.CAR, ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST]
    assert found.labels[nearest].tolist() == classes
    assert set(found.sources.tolist()) == {Source.EGO}
    np.testing.assert_allclose(found.scores, 0.99, atol=1e-5)


def test_two_middles_of_one_car_are_one_car(detector: BevDetector) -> None:
    boxes = np.array([[0.0, 0.0, 0.8, 4.5, 1.9, 1.6, 0.0], [1.6, 0.0, 0.8, 4.5, 1.9, 1.6, 0.0]])
    assert len(detector.decode(rendered(detector, boxes, [0, 0], 0.0))) == 1
    assert len(detector.decode(rendered(detector, boxes, [0, 2], 0.0))) == 2


def test_nobody_walks_and_rides_at_once(detector: BevDetector) -> None:
    boxes = np.array([[0.0, 0.0, 0.8, 1.8, 0.7, 1.6, 0.0], [0.0, 0.0, 0.8, 1.8, 0.7, 1.6, 0.0]])
    assert len(detector.decode(rendered(detector, boxes, [1, 2], 0.0))) == 1


def test_detect_is_encode_then_decode(detector: BevDetector) -> None:
    points = cloud()
    level = levelled(frame_of(points))
    features = detector.encode(level)
    found, again = detector.detect(frame_of(points)), detector.decode(features)
    assert detector.decode(features) is again, "computed once for each encoding"
    np.testing.assert_array_equal(found.boxes, again.transformed(level.T_sensor_level).boxes)
    np.testing.assert_array_equal(found.scores, again.scores)
    assert [tuple(level.shape) for level in features.levels] == [(8, 16, 32), (16, 8, 16), (16, 4, 8)]
    assert features.class_logits.shape == (3, 16, 32)
    inside = detector.grid.contains(level.points)
    assert int(features.point_counts.sum()) == int(inside.sum())
    assert all(float(level.min()) >= 0 for level in features.levels)


def test_a_mast_sees_what_a_car_sees_only_lower(detector: BevDetector) -> None:
    low, high = detector.encode(frame_of(cloud(height_m=1.9))), detector.encode(frame_of(cloud(height_m=6.4)))
    assert low.ground.height_m - high.ground.height_m == pytest.approx(4.5, abs=0.01)
    torch.testing.assert_close(low.class_logits, high.class_logits, rtol=1e-2, atol=1e-2)


def test_what_the_ground_estimate_assumes_of_a_site_is_a_setting() -> None:
    low = dataclasses.replace(TINY, ground=GroundSettings(sensor_height_m=(-3.0, 4.0)))
    mast = frame_of(cloud(height_m=6.4))
    assert tiny_detector().encode(mast).ground.height_m == pytest.approx(-6.4, abs=0.01)
    assert tiny_detector(low).encode(mast).ground.height_m > -4.0


def test_an_empty_cloud_has_nothing_in_it() -> None:
    sensitive = tiny_detector()
    found = sensitive.detect(frame_of(np.zeros((0, 4), np.float32)))
    assert found.boxes.shape == (0, 7)
    assert len(found.scores) == len(found.labels) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_points_that_are_no_numbers_are_refused(detector: BevDetector, value: float) -> None:
    points = cloud()
    points[17, 1] = value
    with pytest.raises(CosenseError, match="not finite: 1 of 4000 points"):
        detector.detect(frame_of(points))


def test_intensities_beyond_the_promised_range_count_as_its_end(detector: BevDetector) -> None:
    bright, white = cloud(), cloud()
    bright[:, 3], white[:, 3] = 255, 1
    np.testing.assert_array_equal(
        detector.detect(frame_of(bright)).boxes, detector.detect(frame_of(white)).boxes
    )


@pytest.mark.parametrize("shape", [(10, 3), (10,), (2, 10, 4)])
def test_arrays_of_another_shape_are_refused(detector: BevDetector, shape: tuple[int, ...]) -> None:
    with pytest.raises(CosenseError, match=r"expected \(N, 4\)"):
        detector.detect(frame_of(np.zeros(shape, np.float32)))
