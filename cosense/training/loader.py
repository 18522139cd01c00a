"""Batches: which samples a step sees, how they are changed, and what the network should say of them.

Every random choice is drawn from (seed, step, place in the batch), never from a state that runs along. So a
run that resumes at step n sees what it would have seen, whatever the number of loading processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from cosense.detectors.grouping import Pillars, group_points, join_pillars
from cosense.detectors.pillars import PillarsConfig
from cosense.geometry.boxes import Boxes
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import ground_height
from cosense.training.augment import augment, thin
from cosense.training.config import TrainingConfig
from cosense.training.samples import Sample, point_counts
from cosense.training.targets import Targets, join_targets, make_targets

# The estimate of the ground is not exact at inference either.
_GROUND_NOISE_M = 0.05


@dataclass(frozen=True)
class Batch:
    """Pillars of B clouds and their targets."""

    pillars: Pillars
    targets: Targets


class _Order(Sampler[list[tuple[int, int, int]]]):
    """Batches of (index of the sample, step, place) from `first_step` on; every epoch has its own order."""

    def __init__(self, size: int, config: TrainingConfig, first_step: int, rank: int, ranks: int) -> None:
        self.size, self.config, self.first_step = size, config, first_step
        self.rank, self.ranks = rank, ranks

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        step = self.first_step
        batch = self.config.batch_size
        while True:
            places = range(self.rank * batch, (self.rank + 1) * batch)
            start, seed = step * batch * self.ranks, self.config.seed
            yield [(sample_at(start + place, self.size, seed), step, place) for place in places]
            step += 1


def sample_at(position: int, size: int, seed: int) -> int:
    """Return which of `size` samples stands at a position of a run; every epoch has its own order."""
    epoch, place = divmod(position, size)
    # Drawn anew for each position: a permutation of a few thousand costs microseconds.
    return int(np.random.default_rng((seed, epoch)).permutation(size)[place])


class _Augmented(Dataset[Batch]):
    def __init__(self, samples: list[Sample], model: PillarsConfig, config: TrainingConfig) -> None:
        self.samples, self.model, self.config = samples, model, config

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        index, step, place = key
        rng = np.random.default_rng((self.config.seed, step, place))
        return augmented_batch(self.samples[index], self.model, self.config, rng)


def training_batches(
    samples: list[Sample],
    model: PillarsConfig,
    config: TrainingConfig,
    *,
    first_step: int = 0,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[Batch]:
    """Return the batches of one of `ranks` processes from a step on; there is no end of them."""
    return iter(
        DataLoader(
            _Augmented(samples, model, config),
            batch_sampler=_Order(len(samples), config, first_step, rank, ranks),
            num_workers=config.workers,
            collate_fn=join_batches,
        )
    )


def join_batches(parts: list[Batch]) -> Batch:
    """Stack batches on grids of one shape."""
    return Batch(join_pillars([p.pillars for p in parts]), join_targets([p.targets for p in parts]))


def augmented_batch(
    sample: Sample, model: PillarsConfig, config: TrainingConfig, rng: np.random.Generator
) -> Batch:
    """Return a batch of one cloud, changed and cropped at random."""
    kept = thin(sample.points, config.augmentation, rng)
    points, boxes = augment(
        sample.points[kept], sample.boxes, sample.kind == "vehicle", config.augmentation, rng
    )
    sure = point_counts(sample.owner[kept], len(boxes)) >= config.min_points
    ground_m = ground_height(points, model.ground) + rng.normal(0, _GROUND_NOISE_M)
    grid = _crop(model.height_grid, model, config.crop_m, boxes[sure], rng)
    return _batch(points, boxes, sample.classes, sure, ground_m, grid)


def plain_batch(sample: Sample, model: PillarsConfig, min_points: int) -> Batch:
    """Return a batch of one cloud as it is, over the whole range."""
    sure = point_counts(sample.owner, len(sample.boxes)) >= min_points
    ground_m = ground_height(sample.points, model.ground)
    return _batch(sample.points, sample.boxes, sample.classes, sure, ground_m, model.height_grid)


def _batch(
    points: np.ndarray,
    boxes: Boxes,
    classes: np.ndarray,
    sure: np.ndarray,
    ground_m: float,
    grid: BevGrid,
) -> Batch:
    moved = torch.from_numpy(points) - torch.tensor([0, 0, ground_m, 0])
    lowered = boxes - np.array([0, 0, ground_m, 0, 0, 0, 0])
    return Batch(group_points(moved, grid), make_targets(lowered, classes, sure, grid.coarser(2)))


def _crop(
    grid: BevGrid, model: PillarsConfig, crop_m: float | None, boxes: Boxes, rng: np.random.Generator
) -> BevGrid:
    """Return a part of the grid, `crop_m` long in x, that holds the middle of one of the boxes."""
    if crop_m is None:
        return grid
    x_min, y_min, z_min, x_max, y_max, z_max = grid.range_m
    step_m = model.stride * grid.cell_m
    length_m = max(1, round(crop_m / step_m)) * step_m
    target_m = boxes[rng.integers(len(boxes)), 0] if len(boxes) else rng.uniform(x_min, x_max)
    start_m = np.clip(target_m - rng.uniform(0, length_m), x_min, max(x_min, x_max - length_m))
    start_m = x_min + round((start_m - x_min) / grid.cell_m) * grid.cell_m
    return BevGrid((start_m, y_min, z_min, min(x_max, start_m + length_m), y_max, z_max), grid.cell_m)
