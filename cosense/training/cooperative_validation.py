"""How good fused boxes are on moments that nothing is learned from: AP of vehicles for a few amounts sent."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.detectors.base import BevDetector
from cosense.detectors.head import DETECTED_CLASSES
from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import match_frame
from cosense.geometry.boxes import Boxes
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass
from cosense.training.cooperative_features import EncodedSample
from cosense.training.fusion_examples import Example, plain_example
from cosense.training.task import Task

_VEHICLE = DETECTED_CLASSES.index(ObjectClass.CAR)
_IOUS = (0.5, 0.7)


@dataclass(frozen=True)
class Judged:
    """Boxes of one class of one moment that count: neither on an object that nobody can know of, nor outside.

    Attributes:
        scores: (M,).
        is_hit: (M,) bool by IoU threshold.
        objects: how many there were to find.
    """

    scores: NDArray[np.float32]
    is_hit: dict[float, NDArray[np.bool_]]
    objects: int


def fused_precision(
    task: Task, samples: list[EncodedSample], detector: BevDetector, min_points: int
) -> dict[str, float]:
    """Return "ap50 <setting>" and "ap70 <setting>" for each of the task's settings.

    Ground truth are the vehicles within range that any agent has at least `min_points` points of.
    """
    task.eval()
    judged: dict[str, list[Judged]] = defaultdict(list)
    for sample in samples:
        example = plain_example(sample, detector, min_points)
        for name, setting in task.settings.items():
            found = fused_boxes(task, example, setting, detector)
            judged[name].append(judge(found, sample, detector, _VEHICLE, min_points))
    task.train()
    return {
        f"ap{round(100 * iou)} {name}": average_precision(
            np.concatenate([one.scores for one in moments]),
            np.concatenate([one.is_hit[iou] for one in moments]),
            sum(one.objects for one in moments),
        )
        for name, moments in judged.items()
        for iou in _IOUS
    }


def fused_boxes(task: Task, example: Example, setting: Any, detector: BevDetector) -> Detections:
    """Return the boxes of the fused maps."""
    maps = task.maps_of(example, setting)
    return detector.decode(
        replace(example.ego.features, class_logits=maps.class_logits[0], box_codes=maps.box_codes[0])
    )


def judge(
    found: Detections, sample: EncodedSample, detector: BevDetector, kind: int, min_points: int
) -> Judged:
    """Match the boxes of one class, in the ego frame, with its objects."""
    found = found[(found.labels == DETECTED_CLASSES[kind]) & _in_range(found.boxes, detector)]
    of_kind = (sample.classes == kind) & _in_range(sample.boxes, detector)
    enough = sample.num_points >= min_points
    truth, spared = sample.boxes[of_kind & enough], sample.boxes[of_kind & ~enough]
    hits = {iou: match_frame(found.boxes, found.scores, truth, iou) for iou in _IOUS}
    counted = hits[_IOUS[0]] | ~match_frame(found.boxes, found.scores, spared, _IOUS[0])
    return Judged(found.scores[counted], {iou: hit[counted] for iou, hit in hits.items()}, len(truth))


def _in_range(boxes: Boxes, detector: BevDetector) -> NDArray[np.bool_]:
    return detector.grid.contains(boxes[:, :3])
