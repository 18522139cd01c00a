"""How good a network is on samples that it never learns from: loss, and AP@0.5 by kind of agent."""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import cast

import numpy as np
import torch

from cosense.detectors.head import DETECTED_CLASSES
from cosense.detectors.pillars import PillarDetector, PillarNetwork, PillarsConfig
from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import match_frame
from cosense.sensing.frame import AgentFrame, AgentKind
from cosense.sensing.objects import ObjectClass
from cosense.training.config import TrainingConfig
from cosense.training.loader import plain_batch
from cosense.training.losses import detection_losses
from cosense.training.samples import Sample, point_counts

_VEHICLE = DETECTED_CLASSES.index(ObjectClass.CAR)
_IOU = 0.5


def validate(
    network: PillarNetwork, samples: list[Sample], model: PillarsConfig, config: TrainingConfig
) -> dict[str, float]:
    """Return "loss" and, for each kind of agent in the samples, "ap50 <kind>".

    Ground truth are the vehicles within range that the agent itself has at least `min_points` points of.
    """
    return {
        "loss": _mean_loss(network, samples, model, config),
        **vehicle_precision(detector_of(network, model), samples, config.min_points),
    }


def detector_of(network: PillarNetwork, model: PillarsConfig) -> PillarDetector:
    """Return a detector with a copy of the network, on the device that the network is on."""
    device = str(next(network.parameters()).device)
    return PillarDetector("validation", model, copy.deepcopy(network), device=device)


def _mean_loss(
    network: PillarNetwork, samples: list[Sample], model: PillarsConfig, config: TrainingConfig
) -> float:
    network.eval()
    device = next(network.parameters()).device
    losses = []
    with torch.inference_mode():
        for sample in samples:
            batch = plain_batch(sample, model, config.min_points)
            maps = network(batch.pillars.to(device))
            losses.append(float(detection_losses(maps, batch.targets.to(device)).total))
    network.train()
    return float(np.mean(losses))


def vehicle_precision(detector: PillarDetector, samples: list[Sample], min_points: int) -> dict[str, float]:
    """Return AP@0.5 (bird's-eye IoU) of vehicles by kind of agent; objects with fewer points do not count."""
    scores, hits = defaultdict(list), defaultdict(list)
    objects: dict[str, int] = defaultdict(int)
    for sample in samples:
        found = detector.detect(AgentFrame("", cast("AgentKind", sample.kind), 0, np.eye(4), sample.points))
        found = found[found.labels == ObjectClass.CAR]
        vehicle = sample.classes == _VEHICLE
        vehicle &= detector.grid.contains(sample.boxes[:, :3])
        enough = point_counts(sample.owner, len(sample.boxes)) >= min_points
        # Found although hardly visible: neither a hit nor a false alarm.
        spared = match_frame(found.boxes, found.scores, sample.boxes[vehicle & ~enough], _IOU)
        hit = match_frame(found.boxes, found.scores, sample.boxes[vehicle & enough], _IOU)
        counted = hit | ~spared
        scores[sample.kind].append(found.scores[counted])
        hits[sample.kind].append(hit[counted])
        objects[sample.kind] += int(np.count_nonzero(vehicle & enough))
    return {
        f"ap50 {kind}": average_precision(
            np.concatenate(scores[kind]), np.concatenate(hits[kind]), objects[kind]
        )
        for kind in sorted(scores)
        if objects[kind]
    }
