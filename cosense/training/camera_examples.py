"""Examples for detectors with cameras: a cloud with some of its beams, images, or only one of both.

Vehicles get the beams of a cheaper LiDAR, drawn anew each time (spread over those that there are, or as a
product has them). Images and clouds are left out at random, so that neither is relied upon. Calibrations are
as wrong as on roads. The world is turned, mirrored and scaled as without images: an image is then that of a
camera that was turned with it, and a mirror image where the world is mirrored.

An object counts if what is left of the cloud shows it, or an image in which the whole cloud shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from cosense.detectors.camera.efficientnet import CHANNELS
from cosense.detectors.camera.image_encoder import STRIDES, ImageConfig
from cosense.detectors.camera.views import Views, join_views, views_of
from cosense.detectors.camera_pillars import CameraPillarsConfig
from cosense.detectors.grouping import Pillars, group_points, join_pillars
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.beams.table import BeamTable
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import level_cloud
from cosense.sensing.projection import miscalibration
from cosense.training.augment import augment, thin
from cosense.training.detector_task import DetectorRunConfig, crop, misjudged
from cosense.training.image_features import ImageFeatures, StoredFeatures, mirror
from cosense.training.samples import Sample, point_counts
from cosense.training.targets import Targets, join_targets, make_targets

# Farther objects are too small in an image to be told from what is around them.
_SEEN_M = 70.0


@dataclass(frozen=True, kw_only=True)
class CameraRunConfig(DetectorRunConfig):
    """A training run of a detector with cameras.

    Attributes:
        start_from: trained model of `pillars` with the same layers, from which the LiDAR's part starts.
        frozen: parts of the network that are not learned, by the first words of their names, as "backbone";
            "images.backbone" never is.
        beams: the LiDARs of vehicles are reduced to one of these numbers of beams,
        fewer_beams: with this probability.
        no_image: probability that a sample has no images,
        no_cloud: and that one with images has no points.
        off_deg: the cameras' calibration is off by this angle about each axis, and
        off_m: by this much along it (standard deviations).
        seen_points: an object counts for an image if the whole cloud has so many points of it.
        distance_weight: weight of the distances that the image encoder guesses.
        teacher_weight: weight of what the model of `start_from` makes of the whole cloud; 0 for no teacher.
    """

    start_from: str = "pillars-lite"
    frozen: tuple[str, ...] = ()
    beams: tuple[int, ...] = (40, 20, 16, 10, 8, 4)
    fewer_beams: float = 0.8
    no_image: float = 0.2
    no_cloud: float = 0.1
    off_deg: float = 0.5
    off_m: float = 0.05
    seen_points: int = 5
    distance_weight: float = 0.5
    teacher_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_probabilities("fewer_beams", "no_image", "no_cloud")
        if not self.beams or min(self.beams) < 1:
            raise ValueError(f"beams is {list(self.beams)}, expected numbers above 0")
        if min(self.off_deg, self.off_m, self.distance_weight, self.teacher_weight) < 0:
            raise ValueError("off_deg, off_m, distance_weight and teacher_weight are at least 0")


@dataclass(frozen=True)
class CameraBatch:
    """B clouds with V images, and their targets.

    Attributes:
        pillars: what is left of the clouds.
        targets: of the head.
        views: the images.
        steps: (V,H/8,W/8) uint8, see `ImageFeatures.steps`.
        whole: the clouds with all their points, None without a teacher.
    """

    pillars: Pillars
    targets: Targets
    views: Views
    steps: Tensor
    whole: Pillars | None


class CameraExamples(Dataset[CameraBatch]):
    """Batches of one sample by (index of the sample, step, place)."""

    def __init__(
        self,
        samples: Sequence[Sample],
        features: StoredFeatures,
        model: CameraPillarsConfig,
        config: CameraRunConfig,
    ) -> None:
        self.samples, self.features, self.model, self.config = samples, features, model, config
        self._tables: dict[int, BeamTable] = {}

    def __getitem__(self, key: tuple[int, int, int]) -> CameraBatch:
        index, step, place = key
        sample = self.samples[index]
        rng = np.random.default_rng((self.config.seed, step, place))
        kept = np.ones(len(sample.stored), dtype=bool)
        if sample.kind == "vehicle" and rng.random() < self.config.fewer_beams:
            count, is_product = int(rng.choice(self.config.beams)), rng.random() < 0.5
            kept = FewerBeams(count, "product" if is_product else "stride").kept(
                sample.points, sample.rings, self.table(index)
            )
        return make_example(sample, kept, self.features.of(sample), self.model, self.config, rng)

    def table(self, index: int) -> BeamTable:
        """Return the beams of the LiDAR of a sample, as its cloud shows them."""
        if index not in self._tables:
            sample = self.samples[index]
            self._tables[index] = BeamTable.of([(sample.points, sample.rings)])
        return self._tables[index]


def make_example(
    sample: Sample,
    kept: NDArray[np.bool_],
    features: Sequence[ImageFeatures],
    model: CameraPillarsConfig,
    config: CameraRunConfig,
    rng: np.random.Generator,
) -> CameraBatch:
    """Return a batch of one sample, changed and cropped at random.

    Args:
        sample: a cloud with its labels.
        kept: (N,) which of its points the LiDAR has.
        features: its images.
        model: configuration of the detector.
        config: of the run.
        rng: source of all randomness.
    """
    if rng.random() < config.no_image:
        features = ()
    has_cloud = not features or rng.random() >= config.no_cloud
    kept = kept & thin(sample.points, sample.owner, len(sample.boxes), config.augmentation, rng)
    whole, boxes, turn = augment(
        sample.points, sample.owner, sample.boxes, sample.kind == "vehicle", config.augmentation, rng
    )
    level = level_cloud(whole[kept], model.ground)
    T_level_sensor = invert(level.T_sensor_level)
    boxes = transform_boxes(T_level_sensor, boxes)
    shown = has_cloud & (point_counts(sample.owner[kept], len(boxes)) >= config.min_points)
    for image in features:
        enough = point_counts(sample.owner, len(boxes)) >= config.seen_points
        shown |= enough & is_in_view(sample.boxes[:, :3], image.P, image.covered)
    ground = misjudged(level.ground, rng)
    grid = crop(model.height_grid, model, config.crop_m, boxes[shown], rng)
    whole_level = whole.copy()
    whole_level[:, :3] = whole[:, :3] @ T_level_sensor[:3, :3].T.astype(np.float32)
    T_level_before = T_level_sensor @ transform_from(turn, np.zeros(3))
    return CameraBatch(
        pillars=_grouped(level.points if has_cloud else level.points[:0], ground, grid),
        targets=make_targets(ground.above(boxes), sample.classes, shown, grid.coarser(2)),
        views=_views(sample, features, T_level_before, ground, grid, model.image, config, rng),
        steps=_steps(features, bool(np.linalg.det(turn) < 0), model.image),
        whole=_grouped(whole_level, ground, grid) if config.teacher_weight else None,
    )


def is_in_view(
    xyz: NDArray[np.float64], P: NDArray[np.float64], covered: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return (M,) whether an image shows places (M,3) that are near enough."""
    across = xyz @ P[:, :3].T + P[:, 3]
    depth_m = across[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = across[:, :2] / depth_m[:, None]
        inside = ((uv >= -0.5) & (uv < np.array(covered)[::-1] - 0.5)).all(axis=1)
    return np.asarray(inside & (depth_m > 1.0) & (depth_m < _SEEN_M))


def join_examples(parts: list[CameraBatch]) -> CameraBatch:
    """Stack batches on grids of one shape."""
    whole = [part.whole for part in parts if part.whole is not None]
    return CameraBatch(
        join_pillars([part.pillars for part in parts]),
        join_targets([part.targets for part in parts]),
        join_views([part.views for part in parts]),
        torch.cat([part.steps for part in parts]),
        join_pillars(whole) if whole else None,
    )


def _views(
    sample: Sample,
    features: Sequence[ImageFeatures],
    T_level_before: NDArray[np.float64],
    ground: GroundSurface,
    grid: BevGrid,
    image_config: ImageConfig,
    config: CameraRunConfig,
    rng: np.random.Generator,
) -> Views:
    """Return images of a world that was moved by a matrix (4,4), their calibration a bit off."""
    is_mirrored = bool(np.linalg.det(T_level_before) < 0)
    stages = _stages(features, is_mirrored, image_config)
    placed = []
    for stored, image in zip(sample.images, features, strict=False):
        T = stored.T_camera_agent
        K = image.P[:, :3] @ T[:3, :3].T
        P = K @ (miscalibration(config.off_deg, config.off_m, rng) @ T)[:3]
        placed.append((mirror(P, image.covered[1]) if is_mirrored else P) @ np.linalg.inv(T_level_before))
    return views_of(placed, [image.covered for image in features], stages, ground, grid)


def _stages(features: Sequence[ImageFeatures], is_mirrored: bool, config: ImageConfig) -> tuple[Tensor, ...]:
    """Return the maps (V,C,H,W) float16 of images, perhaps of none."""
    height, width = config.size
    return tuple(
        torch.from_numpy(
            np.array([image.stages[is_mirrored][level] for image in features], np.float16).reshape(
                -1, channels, height // stride, width // stride
            )
        )
        for level, (channels, stride) in enumerate(zip(CHANNELS, STRIDES, strict=True))
    )


def _steps(features: Sequence[ImageFeatures], is_mirrored: bool, config: ImageConfig) -> Tensor:
    """Return the steps (V,H/8,W/8) of images, perhaps of none."""
    height, width = config.size
    steps = np.array([image.steps[is_mirrored] for image in features], np.uint8)
    return torch.from_numpy(steps.reshape(-1, height // STRIDES[0], width // STRIDES[0]))


def _grouped(points: NDArray[np.float32], ground: GroundSurface, grid: BevGrid) -> Pillars:
    """Return the pillars of a levelled cloud."""
    moved = points.copy()
    moved[:, 2] = ground.heights(points)
    return group_points(torch.from_numpy(moved), grid)
