"""One moment as fusion sees it in training: who sends, from which pose, and what there was to find.

Messages are late and poses wrong at random, as they are on the road: with noise that the covariances tell of,
or off by as much as was measured on DAIR-V2X, before and after a correction, and nobody knows. The receiver
knows the covariances, not the errors, as in operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cosense.cooperation.merge import MergeSettings, is_ego_body
from cosense.detectors.base import BevDetector
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import Matrix, invert, transform_from_planar
from cosense.methods.base import scaled
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid
from cosense.sensing.measured_errors import LEFT_AFTER_CORRECTION, PositionErrors
from cosense.sensing.places import ROUGHLY, chance, place_errors_m, spreads_m
from cosense.training.encoded_moments import EncodedMoment, EncodedView, read_view
from cosense.training.run_config import DataConfig, RunConfig, SceneConfig
from cosense.training.targets import Targets, make_targets

PoseErrorKind = Literal["noisy", "dair", "dair_corrected", "exact"]
_KINDS: tuple[PoseErrorKind, ...] = get_args(PoseErrorKind)
_CERTAIN = np.zeros((3, 3))


@dataclass(frozen=True, kw_only=True)
class MethodRunConfig(RunConfig):
    """A training run of a way of sharing and fusing; the detector below it stays as it is.

    Attributes:
        model: folder whose config.yaml has `sharing`.
        start_from: trained detector of the same layers, from which the weights are taken.
        data: scenes that are learned from, simulated once, then cached, and data sets on disk.
        validation: scenes and data sets that are never learned from.
        crop_m: a step sees a part of the ego's range this long in x.
        min_points: an object with fewer on every agent is not judged.
        noisy: probability that the poses of a moment are noisy and say so.
        pose_noise_m: largest standard deviation of the position error of a sender then.
        dair: probability that the senders of a moment are off as measured on DAIR-V2X, and nobody knows; see
            `cosense.sensing.measured_errors`.
        dair_corrected: probability that they are off by what is left of that after a correction.
        pose_noise_deg: largest standard deviation of the heading error of a sender in each of these.
        earlier: probability that a message is one period (100 ms) old.
        drop: probability that a sender is silent.
    """

    train: Literal["method"] = "method"
    model: Path
    start_from: str
    data: tuple[SceneConfig | DataConfig, ...]
    validation: tuple[SceneConfig | DataConfig, ...]
    crop_m: float = 76.8
    min_points: int = 5
    noisy: float = 0.2
    pose_noise_m: float = 0.25
    dair: float = 0.15
    dair_corrected: float = 0.35
    pose_noise_deg: float = 0.3
    earlier: float = 0.15
    drop: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_probabilities("noisy", "dair", "dair_corrected", "earlier", "drop")
        if self.noisy + self.dair + self.dair_corrected > 1:
            raise ValueError("noisy, dair and dair_corrected are more than 1 together")


@dataclass(frozen=True)
class SendingAgent:
    """One sender in training.

    Attributes:
        view: its encoded cloud.
        T_ego_sender: (4,4) by the poses that were sent, with their errors, between levelled frames.
        boxes: its detections in the ego's levelled frame by that pose, without those around the ego itself.
        reliability: (M,) factor of their scores, from the covariance of the poses and the age.
    """

    view: EncodedView
    T_ego_sender: Matrix
    boxes: Detections
    reliability: NDArray[np.float64]

    def late_boxes(self, count: int | None) -> Detections:
        """Return the best `count` boxes, None for all, with their scores scaled by the reliability."""
        return scaled(self.boxes, self.reliability)[:count]


@dataclass(frozen=True)
class Example:
    """One moment.

    Attributes:
        ego: its own encoded cloud.
        senders: at least one.
        targets: targets of the ego's head maps.
        columns: part of the head maps that this step looks at.
    """

    ego: EncodedView
    senders: list[SendingAgent]
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
            targets.cell_m,
        )


def make_example(
    moment: EncodedMoment, detector: BevDetector, config: MethodRunConfig, rng: np.random.Generator
) -> Example:
    """Draw who sends, how old it is and how wrong the poses are."""
    views = list(range(1, len(moment.views)))
    sending = [index for index in views if rng.random() >= config.drop] or [views[rng.integers(len(views))]]
    ego = read_view(*moment.views[0], detector)
    kind = draw_kind(config, rng)
    senders = []
    for index in sending:
        late = rng.random() < config.earlier
        view = read_view(*(moment.earlier[index - 1] if late else moment.views[index]), detector)
        error, covariance = pose_error(kind, config, rng)
        T_ego_sender = invert(ego.T_world_agent) @ view.T_world_agent @ transform_from_planar(*error)
        senders.append(_sender(view, T_ego_sender, covariance, 100.0 if late else 0.0))
    targets = targets_of(moment, ego, detector, config.min_points)
    return Example(ego, senders, targets, _columns(moment, detector.grid.coarser(2), config, rng))


def draw_kind(config: MethodRunConfig, rng: np.random.Generator) -> PoseErrorKind:
    """Draw what is wrong with the poses of a moment."""
    chances = (config.noisy, config.dair, config.dair_corrected)
    return _KINDS[int(np.searchsorted(np.cumsum(chances), rng.random(), side="right"))]


def pose_error(
    kind: PoseErrorKind, config: MethodRunConfig, rng: np.random.Generator
) -> tuple[tuple[float, float, float], NDArray[np.float64]]:
    """Draw the error (x, y, yaw) in metres and radians of a sender's pose.

    Returns:
        the error, and the covariance (3,3) that is told of it.
    """
    if kind == "exact":
        return (0.0, 0.0, 0.0), _CERTAIN
    share = float(rng.random())
    spread_m, spread_rad = share * config.pose_noise_m, share * np.deg2rad(config.pose_noise_deg)
    turn = float(rng.normal(0, spread_rad))
    if kind == "noisy":
        dx, dy = rng.normal(0, spread_m, 2).tolist()
        return (dx, dy, turn), np.diag([spread_m**2, spread_m**2, spread_rad**2])
    left = LEFT_AFTER_CORRECTION if kind == "dair_corrected" else 1.0
    dx, dy = (left * PositionErrors(rng).error_m).tolist()
    return (dx, dy, turn), _CERTAIN


def plain_example(moment: EncodedMoment, detector: BevDetector, min_points: int) -> Example:
    """Return a moment as it is: everybody sends, in time, with true poses; nothing is cropped."""
    ego = read_view(*moment.views[0], detector)
    views = [read_view(*view, detector) for view in moment.views[1:]]
    senders = [_sender(view, invert(ego.T_world_agent) @ view.T_world_agent) for view in views]
    width = detector.grid.coarser(2).shape[1]
    return Example(ego, senders, targets_of(moment, ego, detector, min_points), slice(0, width))


def targets_of(moment: EncodedMoment, ego: EncodedView, detector: BevDetector, min_points: int) -> Targets:
    """Return what the fused head should say, over the whole range."""
    boxes = ego.features.ground.above(transform_boxes(invert(ego.T_sensor_level), moment.boxes))
    sure = moment.num_points >= min_points
    return make_targets(boxes, moment.classes, sure, detector.grid.coarser(2))


def _sender(
    view: EncodedView,
    T_ego_sender: Matrix,
    covariance: NDArray[np.float64] = _CERTAIN,
    age_ms: float = 0.0,
) -> SendingAgent:
    boxes = view.detections.transformed(T_ego_sender, Source.LATE)
    boxes = boxes[~is_ego_body(boxes.boxes, MergeSettings().roof_below_sensor_m)]
    unknown = np.full((len(boxes), 2), np.nan)
    from_sender_m = np.linalg.norm(boxes.boxes[:, :2] - T_ego_sender[:2, 3], axis=1)
    errors_m = place_errors_m(covariance, _CERTAIN, from_sender_m, 0.0)
    sure = chance(boxes.boxes, spreads_m(boxes, unknown, errors_m, age_ms), ROUGHLY)
    return SendingAgent(view, T_ego_sender, boxes, sure)


def _columns(
    moment: EncodedMoment, grid: BevGrid, config: MethodRunConfig, rng: np.random.Generator
) -> slice:
    """Draw a part of the head maps that holds one of the objects; starts and ends with a cell at stride 8."""
    width = grid.shape[1]
    length = min(max(4, round(config.crop_m / grid.cell_m / 4) * 4), width)
    sure = moment.boxes[moment.num_points >= config.min_points]
    x_m = sure[rng.integers(len(sure)), 0] if len(sure) else rng.uniform(grid.range_m[0], grid.range_m[3])
    middle = (x_m - grid.range_m[0]) / grid.cell_m
    start = int(np.clip(middle - rng.uniform(0, length), 0, width - length)) // 4 * 4
    return slice(start, start + length)
