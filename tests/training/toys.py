"""Toy clouds with a car in them, and the smallest run that learns from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cosense.detectors.pillars import PillarsConfig
from cosense.sensing.objects import Objects
from cosense.training.augment import AugmentationConfig
from cosense.training.detector_task import DetectorRunConfig
from cosense.training.run_config import DataConfig
from cosense.training.samples import Sample
from cosense.training.tasks.pillars import PillarsTask
from tests.detectors.networks import TINY, write_model

TOY_MODEL: PillarsConfig = replace(TINY, pillar_channels=16, neck_channels=16, shrink_channels=(16,))
UNCHANGED = AugmentationConfig(
    rotation_deg=0,
    mirror=0,
    scale=0,
    tilt=0,
    size=0,
    drop_beams=0,
    drop_columns=0,
    drop_points=0,
    drop_far=0,
    drop_of_object=0,
    jitter=0,
    no_intensity=0,
    dim=0,
    gamma=1,
)


def toy_sample(seed: int, cars: int = 1, height_m: float = 1.9) -> Sample:
    """Return a flat road with cars on it, filled with points."""
    rng = np.random.default_rng(seed)
    n = 3000
    road = np.column_stack(
        [rng.uniform(-12, 12, n), rng.uniform(-6, 6, n), np.full(n, -height_m), rng.random(n)]
    )
    boxes = np.column_stack(
        [
            rng.uniform(-8, 8, cars),
            rng.uniform(-4, 4, cars),
            np.full(cars, 1.1 - height_m),  # the road is not on its surface
            np.tile([4.4, 1.9, 1.6], (cars, 1)),
            rng.uniform(-3, 3, cars),
        ]
    )
    clouds = [road]
    for x, y, z, length, width, height, yaw in boxes:
        u, v, w = (rng.uniform(-0.49, 0.49, 400) * size for size in (length, width, height))
        cos, sin = np.cos(yaw), np.sin(yaw)
        clouds.append(np.column_stack([x + u * cos - v * sin, y + u * sin + v * cos, z + w, rng.random(400)]))
    points = np.concatenate(clouds).astype(np.float32)
    cars_there = Objects(
        boxes, np.zeros(cars, dtype=np.int64), np.array([str(n) for n in range(cars)], dtype=str)
    )
    return Sample.of(f"toy/{seed}", "vehicle", points, cars_there)


def toy_task(folder: Path, samples: list[Sample], **changes: object) -> PillarsTask:
    """Return a detector to be trained on samples, with its model in a folder below `folder`."""
    task = PillarsTask(toy_config(write_model(folder / "toys", TOY_MODEL), **changes), torch.device("cpu"))
    task.samples, task.unseen = samples, samples[:1]
    return task


def toy_config(model: Path, **changes: object) -> DetectorRunConfig:
    """Return the configuration of a run on toys; the paths of its data are never opened."""
    nowhere = DataConfig(paths=(Path("toys"),))
    config = DetectorRunConfig(
        model=model,
        data=nowhere,
        validation=nowhere,
        epochs=1,
        batch_size=2,
        workers=0,
        augmentation=UNCHANGED,
    )
    return replace(config, **changes)  # type: ignore[arg-type]
