"""Training of detectors of clouds, on the clouds and labels of single agents.

A file of `training.tasks` derives its task from `DetectorTask` and says what the card calls the network.

A cloud is changed and cropped at random (`training.augment`), loaded by processes of its own, and judged by
heat maps and box codes (`training.targets`). Validation: loss, and AP@0.5 of vehicles by kind of agent.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from cosense.detectors.bev_network import BevNetwork
from cosense.detectors.device import training_dtype
from cosense.detectors.grouping import Pillars, group_points, join_pillars
from cosense.detectors.lidar_detector import LidarDetector, LidarDetectorConfig
from cosense.errors import CosenseError
from cosense.geometry.boxes import Boxes, transform_boxes
from cosense.geometry.transforms import invert
from cosense.methods.model import read_model_config, read_network
from cosense.model_folders import CONFIG, WEIGHTS, find_model, write_weights
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import level_cloud
from cosense.training.augment import AugmentationConfig, augment, thin
from cosense.training.cached import Show, silent
from cosense.training.detector_validation import figures, fitted_curves
from cosense.training.run_config import DataConfig, RunConfig
from cosense.training.samples import Sample, load_samples, point_counts
from cosense.training.targets import Targets, detection_losses, join_targets, make_targets
from cosense.training.tasks.base import Task, sample_at

# The estimate of the ground is not exact at inference either: offset, and slope along x and y.
_GROUND_NOISE_M, _GROUND_SLOPE = 0.05, 0.002
# One estimate in five is three times as wrong.
_ROUGH, _ROUGHER = 0.2, 3.0
# What a score is worth is fitted to boxes from here on.
_LOWEST_SCORE = 0.03


@dataclass(frozen=True, kw_only=True)
class DetectorRunConfig(RunConfig):
    """A training run of a detector.

    Attributes:
        model: folder whose config.yaml says which network.
        backbone_from: model of the same layers whose encoder and backbone are taken and stay as they are, so
            that neck and head alone are learned; None to learn everything.
        data: clouds that are learned from.
        validation: clouds that are never learned from.
        crop_m: a step sees a part of the range this long in x; None for all of it.
        min_points: an object with fewer is not judged.
        workers: number of processes that load and augment.
        augmentation: changes of the clouds.
    """

    train: Literal["detector"] = "detector"
    model: Path
    backbone_from: str | None = None
    data: DataConfig
    validation: DataConfig
    crop_m: float | None = None
    min_points: int = 3
    workers: int = 1
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}, expected at least 0")


class DetectorTask(Task):
    """The network of a detector with its losses.

    Attributes:
        what: what the card calls the network.
    """

    Config = DetectorRunConfig
    what: ClassVar[str]
    config: DetectorRunConfig
    samples: list[Sample]
    unseen: list[Sample]

    def __init__(self, config: DetectorRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.model = read_model_config(find_model(config.model))
        self.settings: LidarDetectorConfig = self.model.detector
        self.network: BevNetwork = self.network_of(config.seed).to(device)
        for part in self.frozen():
            part.requires_grad_(False)
        self.dtype = training_dtype(self.settings.precision, device)
        self.figures_mean = (
            "AP: bird's-eye IoU 0.5 for vehicles by kind of agent, 0.3 for people, objects with at least "
            f"{config.min_points} points of the agent itself, all ranges, validation data. Reversed: share "
            "of the vehicles found whose rear is taken for the front."
        )

    def network_of(self, seed: int) -> BevNetwork:
        """Return the network as training begins.

        Raises:
            CosenseError: there is no model to take the backbone from, or it has other layers.
        """
        network = cast(BevNetwork, self.model.detector_type.build(self.settings, seed))
        if self.config.backbone_from is not None:
            _take_backbone(network, self.config.backbone_from)
        return network

    def frozen(self) -> list[nn.Module]:
        """Return the parts of the network that are not learned."""
        return [] if self.config.backbone_from is None else [self.network.encoder, self.network.backbone]

    def load(self, show: Show = silent) -> None:
        self.samples = load_samples(self.config.data, self.config.cache, show)
        self.unseen = load_samples(self.config.validation, self.config.cache, show)

    def batches(self, first_step: int, rank: int, ranks: int) -> Iterator[Batch]:
        """Yield batches that `workers` load; each choice is drawn from (seed, step, place in the batch)."""
        loader = DataLoader(
            self.augmented(),
            batch_sampler=_Order(len(self.samples), self.config, first_step, rank, ranks),
            num_workers=self.config.workers,
            collate_fn=self.join,
        )
        return iter(loader)

    def augmented(self) -> Dataset[Any]:
        """Return batches of one cloud, changed at random, by (index of the sample, step, place)."""
        return _Augmented(self.samples, self.settings, self.config)

    @property
    def join(self) -> Callable[[list[Any]], Any]:
        """Return what stacks batches of one cloud."""
        return join_batches

    def train(self, mode: bool = True) -> DetectorTask:
        """Change the mode of what is learned; what is not stays as it runs."""
        super().train(mode)
        for part in self.frozen():
            part.eval()
        return self

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            maps = self.network(batch.pillars.to(self.device), self.dtype)
        losses = detection_losses(maps, batch.targets.to(self.device))
        return {"loss": losses.total, "heat": losses.heat, "boxes": losses.boxes}

    def validate(self) -> dict[str, float]:
        """Return "loss" and what `detector_validation.figures` returns."""
        return {"loss": self._mean_loss(), **figures(self.detector(), self.unseen, self.config.min_points)}

    def detector(self, **changes: Any) -> LidarDetector:
        """Return a detector with a copy of the network, on the device that the network is on.

        Args:
            changes: of the model's configuration.
        """
        device = str(next(self.network.parameters()).device)
        config = replace(self.settings, **changes)
        made = self.model.detector_type("validation", config, copy.deepcopy(self.network), device=device)
        assert isinstance(made, LidarDetector)
        return made

    def summary(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        return f"{self.what}, {parameters / 1e6:.2f} million parameters."

    def export(self, out: Path, command: str) -> None:
        """Write weights and configuration, with the curves that make the scores of `unseen` probabilities."""
        write_weights(self.network, out / WEIGHTS)
        curves = self.curves(self.detector(score_curves={}, score_threshold=_LOWEST_SCORE))
        model = replace(self.model, detector=replace(self.settings, score_curves=curves))
        (out / CONFIG).write_text(yaml.safe_dump(model.to_mapping(), sort_keys=False))

    def curves(self, raw: LidarDetector) -> dict[str, tuple[float, float, float]]:
        """Return what the scores of a detector without curves are worth."""
        return fitted_curves(raw, self.unseen, self.config.min_points)

    def _mean_loss(self) -> float:
        self.eval()
        losses = []
        with torch.inference_mode():
            for sample in self.unseen:
                batch = plain_batch(sample, self.settings, self.config.min_points)
                maps = self.network(batch.pillars.to(self.device))
                losses.append(float(detection_losses(maps, batch.targets.to(self.device)).total))
        self.train()
        return float(np.mean(losses))


def _take_backbone(network: BevNetwork, model: str) -> None:
    """Fill what lies below the neck from another model."""
    taken = read_network(find_model(model))
    for name in ("encoder", "backbone"):
        try:
            getattr(network, name).load_state_dict(getattr(taken, name).state_dict())
        except (AttributeError, RuntimeError):
            raise CosenseError(
                f"backbone_from: the {name} of '{model}' has other layers; name a model whose encoder and "
                "stages are the same"
            ) from None


@dataclass(frozen=True)
class Batch:
    """Grouped points of B clouds and their targets."""

    pillars: Pillars
    targets: Targets


class _Order(Sampler[list[tuple[int, int, int]]]):
    """Batches of (index of the sample, step, place) from `first_step` on; every epoch has its own order."""

    def __init__(self, size: int, config: DetectorRunConfig, first_step: int, rank: int, ranks: int) -> None:
        self.size, self.config, self.first_step = size, config, first_step
        self.rank, self.ranks = rank, ranks

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        batch, seed = self.config.batch_size, self.config.seed
        places = range(self.rank * batch, (self.rank + 1) * batch)
        for step in itertools.count(self.first_step):
            start = step * batch * self.ranks
            yield [(sample_at(start + place, self.size, seed), step, place) for place in places]


class _Augmented(Dataset[Batch]):
    def __init__(self, samples: list[Sample], model: LidarDetectorConfig, config: DetectorRunConfig) -> None:
        self.samples, self.model, self.config = samples, model, config

    def __getitem__(self, key: tuple[int, int, int]) -> Batch:
        index, step, place = key
        rng = np.random.default_rng((self.config.seed, step, place))
        return augmented_batch(self.samples[index], self.model, self.config, rng)


def join_batches(parts: list[Batch]) -> Batch:
    """Stack batches on grids of one shape."""
    return Batch(join_pillars([p.pillars for p in parts]), join_targets([p.targets for p in parts]))


def augmented_batch(
    sample: Sample, model: LidarDetectorConfig, config: DetectorRunConfig, rng: np.random.Generator
) -> Batch:
    """Return a batch of one cloud, changed and cropped at random."""
    points = sample.points
    kept = thin(points, sample.owner, len(sample.boxes), config.augmentation, rng)
    points, owner = points[kept], sample.owner[kept]
    sure = point_counts(owner, len(sample.boxes)) >= config.min_points
    points, boxes, _ = augment(
        points, owner, sample.boxes, sample.kind == "vehicle", config.augmentation, rng
    )
    level = level_cloud(points, model.ground)
    boxes = transform_boxes(invert(level.T_sensor_level), boxes)
    ground = misjudged(level.ground, rng)
    grid = crop(model.height_grid, model, config.crop_m, boxes[sure], rng)
    return _batch(level.points, boxes, sample.classes, sure, ground, grid)


def misjudged(ground: GroundSurface, rng: np.random.Generator) -> GroundSurface:
    """Return the ground as another estimate might have it."""
    amount = _ROUGHER if rng.random() < _ROUGH else 1.0
    return ground.off_by(*(amount * rng.normal(0, [_GROUND_NOISE_M, _GROUND_SLOPE, _GROUND_SLOPE])))


def plain_batch(sample: Sample, model: LidarDetectorConfig, min_points: int) -> Batch:
    """Return a batch of one cloud as it is, over the whole range."""
    sure = point_counts(sample.owner, len(sample.boxes)) >= min_points
    level = level_cloud(sample.points, model.ground)
    boxes = transform_boxes(invert(level.T_sensor_level), sample.boxes)
    return _batch(level.points, boxes, sample.classes, sure, level.ground, model.height_grid)


def _batch(
    points: np.ndarray,
    boxes: Boxes,
    classes: np.ndarray,
    sure: np.ndarray,
    ground: GroundSurface,
    grid: BevGrid,
) -> Batch:
    moved = points.copy()
    moved[:, 2] = ground.heights(points)
    targets = make_targets(ground.above(boxes), classes, sure, grid.coarser(2))
    return Batch(group_points(torch.from_numpy(moved), grid), targets)


def crop(
    grid: BevGrid, model: LidarDetectorConfig, crop_m: float | None, boxes: Boxes, rng: np.random.Generator
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
