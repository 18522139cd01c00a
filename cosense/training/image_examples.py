"""Examples for what finds things in images without a cloud: images changed at random, and their targets.

An image is shrunk, or a part of it is enlarged, as if by another lens; it is mirrored, and its exposure,
gamma and colours change. The world is turned about the sensor, and the camera with it, to any side. The
pretrained encoder sees what comes out, so its maps are computed anew each time (a core needs 25 ms).

The cloud says what an image shows: objects that it has points of, and how far things are. The ground is a
level plane, at its height or where an agent without a cloud takes it to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cosense.detectors.camera.views import Picture, picture, views_of
from cosense.detectors.camera.without_cloud import focal_length
from cosense.detectors.camera_pillars import USUAL_HEIGHT_M, CameraPillarsConfig
from cosense.detectors.grouping import group_points
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import Matrix, invert, transform_from
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import level_cloud
from cosense.sensing.projection import miscalibration
from cosense.training.augment import move
from cosense.training.camera_examples import CameraBatch, is_in_view
from cosense.training.detector_task import DetectorRunConfig, crop
from cosense.training.image_features import distance_steps, mirror, pretrained_encoder
from cosense.training.samples import Sample, point_counts
from cosense.training.targets import make_targets

# Brightness is multiplied, raised to a power and mixed with that of colours within these bounds.
_GAIN, _GAMMA, _TINT = (0.7, 1.3), (0.75, 1.3), 0.1
# How far the height of the ground is off where it is known, and how often it is not.
_GROUND_NOISE_M, _GROUND_UNKNOWN = 0.1, 0.5


@dataclass(frozen=True, kw_only=True)
class ImageRunConfig(DetectorRunConfig):
    """A training run of what a detector with cameras makes of images alone; nothing else of it is learned.

    Of the augmentation, `rotation_deg` and `mirror` count.

    Attributes:
        part: what is learned.
        start_from: trained model of `camera_pillars` whose other parts are taken as they are.
        zoom: images are made larger by a factor between these, or smaller,
        zoomed: with this probability.
        off_deg: the cameras' calibration is off by this angle about each axis, and
        off_m: by this much along it (standard deviations).
        seen_points: an object counts if the cloud has so many points of it.
        distance_weight: weight of the distances that the network guesses.
    """

    part: Literal["without_cloud"] = "without_cloud"
    start_from: str = "camera-lite"
    zoom: tuple[float, float] = (0.5, 1.3)
    zoomed: float = 0.7
    off_deg: float = 0.5
    off_m: float = 0.05
    seen_points: int = 5
    distance_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_probabilities("zoomed")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"zoom {self.zoom} is empty or not above 0")
        if min(self.off_deg, self.off_m, self.distance_weight) < 0:
            raise ValueError("off_deg, off_m and distance_weight are at least 0")


@dataclass(frozen=True)
class Standing:
    """How the sensor of a sample stands: T_level_sensor (4,4), and its height above the ground."""

    T_level_sensor: Matrix
    height_m: float


class ImageExamples(Dataset[CameraBatch]):
    """Batches of one sample by (index of the sample, step, place)."""

    def __init__(self, samples: Sequence[Sample], model: CameraPillarsConfig, config: ImageRunConfig) -> None:
        self.samples, self.model, self.config = samples, model, config
        self._standing: dict[int, Standing] = {}

    def __getitem__(self, key: tuple[int, int, int]) -> CameraBatch:
        index, step, place = key
        rng = np.random.default_rng((self.config.seed, step, place))
        return make_image_example(self.samples[index], self.standing(index), self.model, self.config, rng)

    def standing(self, index: int) -> Standing:
        """Return how the sensor of a sample stands; measured once."""
        if index not in self._standing:
            level = level_cloud(self.samples[index].points, self.model.ground)
            self._standing[index] = Standing(invert(level.T_sensor_level), -level.ground.height_m)
        return self._standing[index]


def make_image_example(
    sample: Sample,
    standing: Standing,
    model: CameraPillarsConfig,
    config: ImageRunConfig,
    rng: np.random.Generator,
) -> CameraBatch:
    """Return a batch of one sample without its cloud, changed and cropped at random."""
    is_mirrored = rng.random() < config.augmentation.mirror
    turn = _turn(is_mirrored, np.deg2rad(config.augmentation.rotation_deg), rng)
    T_level_before = transform_from(turn, np.zeros(3)) @ standing.T_level_sensor
    height_m = standing.height_m + rng.normal(0, _GROUND_NOISE_M)
    if rng.random() < _GROUND_UNKNOWN:
        height_m = USUAL_HEIGHT_M[sample.kind]
    ground = GroundSurface.level(-height_m)

    boxes = transform_boxes(standing.T_level_sensor, sample.boxes)
    move(np.zeros((0, 4), np.float32), boxes, turn)
    enough = point_counts(sample.owner, len(boxes)) >= config.seen_points
    shown = np.zeros(len(boxes), dtype=bool)
    pixels, covered, placed, steps = [], [], [], []
    for stored in sample.images:
        image = changed(picture(stored.camera, model.image.size), is_mirrored, config, rng)
        shown |= enough & is_in_view(sample.boxes[:, :3], image.P, image.covered)
        steps.append(distance_steps(sample, image.P, image.covered, model.image, focal_length(image.P)))
        K = image.P[:, :3] @ stored.T_camera_agent[:3, :3].T
        off = miscalibration(config.off_deg, config.off_m, rng) @ stored.T_camera_agent
        placed.append(K @ off[:3] @ np.linalg.inv(T_level_before))
        pixels.append(image.pixels)
        covered.append(image.covered)
    grid = crop(model.height_grid, model, config.crop_m, boxes[shown], rng)
    with torch.inference_mode():
        stages = tuple(pretrained_encoder()(torch.from_numpy(np.stack(pixels))))
    return CameraBatch(
        pillars=group_points(torch.zeros(0, 4), grid),
        targets=make_targets(ground.above(boxes), sample.classes, shown, grid.coarser(2)),
        views=views_of(placed, covered, stages, ground, grid),
        steps=torch.from_numpy(np.stack(steps)),
        whole=None,
    )


def changed(image: Picture, is_mirrored: bool, config: ImageRunConfig, rng: np.random.Generator) -> Picture:
    """Return an image as another lens and another exposure would give it."""
    pixels, P, (rows, columns) = image.pixels, image.P, image.covered
    if is_mirrored:
        pixels = pixels.copy()
        pixels[:, :columns] = pixels[:, :columns][:, ::-1]
        P = mirror(P, columns)
    if rng.random() < config.zoomed:
        by = float(np.exp(rng.uniform(*np.log(config.zoom))))
        height, width = image.pixels.shape[:2]
        # Which part of the larger image is kept; of a smaller one, all.
        spare = np.maximum([columns * by - width, rows * by - height], 0)
        left, top = spare * rng.random(2)
        # The corner of an image is at -1/2, so that its middle stays where it is.
        way = np.array([[by, 0, (by - 1) / 2 - left], [0, by, (by - 1) / 2 - top], [0, 0, 1]])
        smooth = cv2.INTER_AREA if by < 1 else cv2.INTER_LINEAR
        scaled = cv2.resize(pixels[:rows, :columns], None, fx=by, fy=by, interpolation=smooth)
        first_row, first_column = round(top), round(left)
        part = scaled[first_row : first_row + height, first_column : first_column + width]
        way[:2, 2] += [left - first_column, top - first_row]
        pixels = np.zeros((height, width, 3), np.uint8)
        rows, columns = part.shape[:2]
        pixels[:rows, :columns] = part
        P = way @ P
    gain = rng.uniform(*_GAIN) * rng.uniform(1 - _TINT, 1 + _TINT, 3)
    table = np.linspace(0, 1, 256)[:, None] ** rng.uniform(*_GAMMA) * gain
    table = np.rint(255 * table.clip(0, 1)).astype(np.uint8)
    pixels = np.stack([table[pixels[..., colour], colour] for colour in range(3)], axis=-1)
    return Picture(image.name, pixels, (rows, columns), P)


def _turn(is_mirrored: bool, limit_rad: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the matrix (3,3) of a turn about the sensor, behind a mirror image in y."""
    angle = rng.uniform(-limit_rad, limit_rad)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return turn @ np.diag([1.0, -1.0, 1.0]) if is_mirrored else turn
