"""One moment as fusion sees it in training: who sends, from where the ego thinks, what there was to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosense.cooperation.gate import reliability
from cosense.cooperation.merge import MergeSettings, is_ego_body
from cosense.detectors.base import BevDetector
from cosense.geometry.transforms import Matrix, transform_from_planar
from cosense.methods.base import scaled
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid
from cosense.training.config import CooperativeTrainingConfig
from cosense.training.cooperative_features import EncodedSample, EncodedView, read_view
from cosense.training.targets import Targets, make_targets

_CERTAIN = np.zeros((3, 3))


@dataclass(frozen=True)
class Sender:
    """One sender in training.

    Attributes:
        view: what it has encoded.
        T_ego_sender: (4,4) by the poses that were sent, with their errors.
        boxes: its detections in the ego frame by that pose, without those around the ego itself.
        reliability: (M,) of these, as the receiver knows it: it is told how uncertain poses are.
    """

    view: EncodedView
    T_ego_sender: Matrix
    boxes: Detections
    reliability: NDArray[np.float64]

    def told(self, count: int | None) -> Detections:
        """Return the best boxes as the receiver believes them."""
        return scaled(self.boxes, self.reliability)[:count]


@dataclass(frozen=True)
class Example:
    """One moment.

    Attributes:
        ego: what the ego has encoded.
        senders: at least one.
        targets: of the ego's head maps.
        columns: of the head maps that this step looks at.
    """

    ego: EncodedView
    senders: list[Sender]
    targets: Targets
    columns: slice

    def crop(self, maps: Tensor, stride: int = 1) -> Tensor:
        """Return the part of maps (...,W) that belongs to the columns, `stride` head cells a cell."""
        return maps[..., self.columns.start // stride : -(-self.columns.stop // stride)]

    @property
    def cropped_targets(self) -> Targets:
        targets = self.targets
        return Targets(
            self.crop(targets.heat),
            self.crop(targets.heat_weight),
            self.crop(targets.codes),
            self.crop(targets.code_weight),
        )


def make_example(
    sample: EncodedSample, detector: BevDetector, config: CooperativeTrainingConfig, rng: np.random.Generator
) -> Example:
    """Draw who sends, how old it is and how wrong the poses are."""
    views = list(range(1, len(sample.views)))
    heard = [index for index in views if rng.random() >= config.drop] or [views[rng.integers(len(views))]]
    ego = read_view(*sample.views[0], detector)
    noisy = rng.random() < config.noisy
    senders = []
    for index in heard:
        late = rng.random() < config.earlier
        view = read_view(*(sample.earlier[index - 1] if late else sample.views[index]), detector)
        share = float(rng.random()) if noisy else 0.0
        spread_m, spread_rad = share * config.pose_noise_m, share * np.deg2rad(config.pose_noise_deg)
        dx, dy, turn = rng.normal(0, (spread_m, spread_m, spread_rad))
        T_ego_sender = sample.T_ego_world @ view.T_world_agent @ transform_from_planar(dx, dy, turn)
        covariance = np.diag([spread_m**2, spread_m**2, spread_rad**2])
        senders.append(_sender(view, T_ego_sender, covariance, 100.0 if late else 0.0))
    targets = targets_of(sample, ego, detector, config.min_points)
    return Example(ego, senders, targets, _columns(sample, detector.grid.coarser(2), config, rng))


def plain_example(sample: EncodedSample, detector: BevDetector, min_points: int) -> Example:
    """Return a moment as it is: everybody sends, in time, with true poses; nothing is cropped."""
    ego = read_view(*sample.views[0], detector)
    views = [read_view(*view, detector) for view in sample.views[1:]]
    senders = [_sender(view, sample.T_ego_world @ view.T_world_agent) for view in views]
    width = detector.grid.coarser(2).shape[1]
    return Example(ego, senders, targets_of(sample, ego, detector, min_points), slice(0, width))


def targets_of(sample: EncodedSample, ego: EncodedView, detector: BevDetector, min_points: int) -> Targets:
    """Return what the fused head should say, over the whole range."""
    boxes = sample.boxes - np.array([0, 0, ego.features.ground_m, 0, 0, 0, 0])
    sure = sample.num_points >= min_points
    return make_targets(boxes, sample.classes, sure, detector.grid.coarser(2))


def _sender(
    view: EncodedView,
    T_ego_sender: Matrix,
    covariance: NDArray[np.float64] = _CERTAIN,
    age_ms: float = 0.0,
) -> Sender:
    boxes = view.detections.transformed(T_ego_sender, Source.LATE)
    boxes = boxes[~is_ego_body(boxes.boxes, MergeSettings().roof_below_sensor_m)]
    unknown = np.full((len(boxes), 2), np.nan)
    sure = reliability(boxes, unknown, T_ego_sender, covariance, _CERTAIN, age_ms)
    return Sender(view, T_ego_sender, boxes, sure)


def _columns(
    sample: EncodedSample, grid: BevGrid, config: CooperativeTrainingConfig, rng: np.random.Generator
) -> slice:
    """Draw a part of the head maps that holds one of the objects; starts and ends with a cell at stride 8."""
    width = grid.shape[1]
    length = min(max(4, round(config.crop_m / grid.cell_m / 4) * 4), width)
    sure = sample.boxes[sample.num_points >= config.min_points]
    x_m = sure[rng.integers(len(sure)), 0] if len(sure) else rng.uniform(grid.range_m[0], grid.range_m[3])
    middle = (x_m - grid.range_m[0]) / grid.cell_m
    start = int(np.clip(middle - rng.uniform(0, length), 0, width - length)) // 4 * 4
    return slice(start, start + length)
