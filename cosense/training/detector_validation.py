"""How good a detector is on labelled clouds of single agents, and what its scores are worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.detectors.base import BevDetector
from cosense.detectors.head import DETECTED_CLASSES
from cosense.detectors.layers import FAR_M
from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import NOT_MATCHED, match_by_detection, match_frame
from cosense.geometry.boxes import Boxes
from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import wrap_angle
from cosense.methods.calibration import fit_curve
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import ObjectClass
from cosense.training.samples import Sample, point_counts

# Bird's-eye IoU from which a box is right; people are hardly larger than the accuracy of their place.
_IOU = {ObjectClass.CAR: 0.5, ObjectClass.PEDESTRIAN: 0.3, ObjectClass.CYCLIST: 0.3}
# A curve from fewer boxes than this would be a guess.
_FEWEST_BOXES = 100


# Which of boxes (M,7) around a sample count, (M,).
Within = Callable[[Sample, Boxes], NDArray[np.bool_]]


def everywhere(sample: Sample, boxes: Boxes) -> NDArray[np.bool_]:
    """Return that all boxes count."""
    return np.ones(len(boxes), dtype=bool)


@dataclass(frozen=True)
class Judged:
    """Boxes of one class that count: not those on objects which the cloud hardly shows.

    Attributes:
        scores: (M,).
        distance_m: (M,) from the sensor.
        is_hit: (M,) bool.
        is_reversed: (M,) bool, hits that take the rear for the front.
        objects: number of objects to find.
    """

    scores: NDArray[np.float32]
    distance_m: NDArray[np.float64]
    is_hit: NDArray[np.bool_]
    is_reversed: NDArray[np.bool_]
    objects: int


def figures(
    detector: BevDetector,
    samples: Sequence[Sample],
    min_points: int,
    shown: Sequence[Sample] | None = None,
    within: Within = everywhere,
) -> dict[str, float]:
    """Return average precisions by name, and the share of found vehicles whose heading is reversed.

    "ap50 <kind>" is that of vehicles in the clouds of one kind of agent; "ap30 pedestrian" and "ap30 cyclist"
    are of all clouds. What there is none of is left out.

    Args:
        detector: the detector.
        samples: clouds with labels.
        min_points: objects of which the agent itself has fewer points do not count.
        shown: what the detector sees instead of each sample, for example with fewer points.
        within: which objects and boxes of a sample count.
    """
    found = [_detect(detector, sample) for sample in shown or samples]
    found = [boxes[within(sample, boxes.boxes)] for boxes, sample in zip(found, samples, strict=True)]
    samples = [_restricted(sample, within(sample, sample.boxes)) for sample in samples]

    def of_class(kind: ObjectClass, agents: str | None = None) -> list[Judged]:
        return [
            judge(boxes, sample, kind, detector, min_points)
            for boxes, sample in zip(found, samples, strict=True)
            if agents in (None, sample.kind)
        ]

    groups = {
        f"ap50 {agents}": of_class(ObjectClass.CAR, agents) for agents in ("infrastructure", "vehicle")
    } | {
        f"ap30 {kind.name.lower()}": of_class(kind) for kind in (ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST)
    }
    values = {name: _average_precision(parts) for name, parts in groups.items() if _objects(parts)}
    cars = of_class(ObjectClass.CAR)
    hits = sum(np.count_nonzero(part.is_hit) for part in cars)
    return values | {"reversed": float(sum(part.is_reversed.sum() for part in cars) / max(hits, 1))}


def fitted_curves(
    detector: BevDetector, samples: Sequence[Sample], min_points: int, shown: Sequence[Sample] | None = None
) -> dict[str, tuple[float, float, float]]:
    """Return the curves of `detectors.score_curves` by class, of a detector that has none so far."""
    found = [_detect(detector, sample) for sample in shown or samples]
    curves = {}
    for kind in DETECTED_CLASSES:
        parts = [judge(b, s, kind, detector, min_points) for b, s in zip(found, samples, strict=True)]
        scores, hits, distance_m = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("scores", "is_hit", "distance_m")
        )
        if len(scores) >= _FEWEST_BOXES:
            a, b, c = fit_curve(scores, hits, distance_m / FAR_M)
            curves[kind.name.lower()] = (a, b, c)
    return curves


def judge(
    found: Detections, sample: Sample, kind: ObjectClass, detector: BevDetector, min_points: int
) -> Judged:
    """Match the boxes of one class with the sample's objects within the detector's range."""
    found = found[found.labels == kind]
    of_kind = (sample.classes == DETECTED_CLASSES.index(kind)) & detector.grid.contains(sample.boxes[:, :3])
    enough = point_counts(sample.owner, len(sample.boxes)) >= min_points
    truth = sample.boxes[of_kind & enough]
    match = match_by_detection(bev_iou(found.boxes, truth), found.scores, _IOU[kind])
    hit = match != NOT_MATCHED
    # Found although hardly visible: neither a hit nor a false alarm.
    spared = match_frame(found.boxes, found.scores, sample.boxes[of_kind & ~enough], _IOU[kind])
    counted = hit | ~spared
    is_reversed = np.zeros(len(found), dtype=bool)
    is_reversed[hit] = np.abs(wrap_angle(found.boxes[hit, 6] - truth[match[hit], 6])) > np.pi / 2
    distance_m = np.hypot(found.boxes[:, 0], found.boxes[:, 1])
    return Judged(found.scores[counted], distance_m[counted], hit[counted], is_reversed[counted], len(truth))


def _detect(detector: BevDetector, sample: Sample) -> Detections:
    frame = AgentFrame("", sample.kind, 0, np.eye(4), sample.points, cameras=sample.cameras)
    return detector.detect(frame)


def _restricted(sample: Sample, counts: NDArray[np.bool_]) -> Sample:
    """Return a sample with some of its objects."""
    if counts.all():
        return sample
    number = np.append(np.where(counts, np.cumsum(counts) - 1, -1), -1).astype(np.int16)
    return replace(
        sample, boxes=sample.boxes[counts], classes=sample.classes[counts], owner=number[sample.owner]
    )


def _objects(parts: Sequence[Judged]) -> int:
    return sum(part.objects for part in parts)


def _average_precision(parts: Sequence[Judged]) -> float:
    scores = np.concatenate([part.scores for part in parts])
    return average_precision(scores, np.concatenate([part.is_hit for part in parts]), _objects(parts))
