"""Figures and curves of a detector that says what it is told to say."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.detectors.base import BevDetector
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import ObjectClass, Objects
from cosense.training.detector_validation import figures, fitted_curves
from cosense.training.samples import Sample


class Told(BevDetector):
    """Says the next of some answers to every frame."""

    grid = BevGrid((-50.0, -50.0, -5.0, 50.0, 50.0, 5.0), 1.0)

    def __init__(self, *answers: Detections) -> None:
        self.answers = list(answers)

    def detect(self, frame: AgentFrame) -> Detections:
        return self.answers.pop(0)


Told.__abstractmethods__ = frozenset()


def boxes_of(*places: tuple[float, float, float]) -> np.ndarray:
    """Return cars with their middle at (x, y) and a heading."""
    return np.array([[x, y, 0, 4, 2, 2, yaw] for x, y, yaw in places]).reshape(-1, 7)


def sample_of(boxes: np.ndarray, labels: list[int], points: list[int]) -> Sample:
    """Return a cloud in which each object has so many points, in its middle."""
    cloud = np.repeat(np.column_stack([boxes[:, :3], np.zeros(len(boxes))]), points, axis=0)
    objects = Objects(boxes, np.array(labels), np.arange(len(boxes)).astype(str))
    return Sample.of("", "vehicle", cloud.astype(np.float32), objects)


def detections_of(boxes: np.ndarray, labels: list[int], scores: list[float]) -> Detections:
    return Detections(boxes, np.array(scores, np.float32), np.array(labels), np.zeros(len(boxes), np.uint8))


def test_figures_count_what_can_be_known() -> None:
    car, person = int(ObjectClass.CAR), int(ObjectClass.PEDESTRIAN)
    truth = boxes_of((10, 0, 0), (20, 0, 0), (30, 0, 0), (0, 20, 0))
    # The third car has one point: found or not, it does not count.
    sample = sample_of(truth, [car, car, car, person], [9, 9, 1, 9])
    reversed_ = boxes_of((10, 0, np.pi), (20, 0, 0.1), (30, 0, 0), (-20, 0, 0), (0, 30, 0))
    said = detections_of(reversed_, [car, car, car, car, person], [0.9, 0.8, 0.7, 0.6, 0.5])
    assert figures(Told(said), [sample], min_points=3) == {
        "ap50 vehicle": pytest.approx(1.0),
        "ap30 pedestrian": pytest.approx(0.0),
        "reversed": pytest.approx(0.5),
    }


def test_scores_become_the_share_that_is_right_by_distance() -> None:
    rng = np.random.default_rng(0)
    samples, answers = [], []
    for near in (True, False) * 20:
        # Near by four of five boxes are right, far away one of five, all with the same score.
        angle = np.linspace(-np.pi, np.pi, 40, endpoint=False)
        radius = 12.0 if near else 45.0
        places = [(radius * np.cos(a), radius * np.sin(a), a) for a in angle]
        there = rng.random(40) < (0.8 if near else 0.2)
        boxes = boxes_of(*places)
        boxes[:, 3:5] = 0.5
        samples.append(sample_of(boxes[there], [0] * there.sum(), [5] * there.sum()))
        answers.append(detections_of(boxes, [0] * 40, [0.5] * 40))
    curves = fitted_curves(Told(*answers), samples, min_points=3)
    assert list(curves) == ["car"]
    _, b, c = curves["car"]
    near, far = (1 / (1 + np.exp(-(b + c * distance_m / 50))) for distance_m in (12, 45))
    assert near == pytest.approx(0.8, abs=0.05)
    assert far == pytest.approx(0.2, abs=0.05)
