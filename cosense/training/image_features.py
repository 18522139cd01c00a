"""What the pretrained network makes of the images of samples, kept as files: it is not learned further.

A file holds the maps of one image and of its mirror image, half a megabyte each, and which distance the cloud
shows in each fine cell: a run reads what takes a core 25 ms to compute, twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cosense.detectors.camera.efficientnet import EfficientNetLite0
from cosense.detectors.camera.image_encoder import STRIDES, ImageConfig
from cosense.detectors.camera.views import picture
from cosense.detectors.device import training_dtype
from cosense.detectors.layers import folded
from cosense.training.cached import Cached, Show, fill
from cosense.training.samples import Sample
from cosense.training.stored_images import StoredCamera

# Raised whenever the files get another form.
_VERSION = 1
# No point of the cloud is in the cell.
UNKNOWN = 255
# Added to the step of a distance where it is that of an object.
OF_OBJECT = 128


@dataclass(frozen=True)
class ImageFeatures:
    """One image of a sample as training needs it.

    Attributes:
        P, covered: as of a `detectors.camera.views.Picture`.
        stages: maps (C_l,H_l,W_l) float16 of the image, and of its mirror image.
        steps: (H/8,W/8) uint8 step of the distance to the nearest point in each cell, `OF_OBJECT` added to
            it for an object, or `UNKNOWN`; of the image, and of its mirror image.
    """

    P: NDArray[np.float64]
    covered: tuple[int, int]
    stages: tuple[tuple[NDArray[np.float16], ...], tuple[NDArray[np.float16], ...]]
    steps: tuple[NDArray[np.uint8], NDArray[np.uint8]]


class StoredFeatures:
    """Features of all images of samples, read from their files one by one."""

    def __init__(self, config: ImageConfig, folder: Path) -> None:
        self.config, self.folder = config, folder

    def prepare(self, samples: Sequence[Sample], show: Show) -> None:
        """Make the files that are missing, by all cores."""
        each = [self._file(sample, image) for sample in samples for image in sample.images]
        if any(not file.path.exists() for file in each):
            # An error says what to install before processes are started.
            pretrained_encoder()
        fill(each, show, "encode images")

    def of(self, sample: Sample) -> list[ImageFeatures]:
        """Return those of one sample, in the order of its images."""
        return [self._read(sample, image) for image in sample.images]

    def _read(self, sample: Sample, image: StoredCamera) -> ImageFeatures:
        arrays = self._file(sample, image).read()
        plain, mirrored = (tuple(arrays[f"{way}{stride}"] for stride in STRIDES) for way in ("", "mirrored."))
        rows, columns = arrays["covered"].tolist()
        return ImageFeatures(
            arrays["P"], (rows, columns), (plain, mirrored), (arrays["steps"], arrays["mirrored.steps"])
        )

    def _file(self, sample: Sample, image: StoredCamera) -> Cached:
        shown = hashlib.sha256()
        for array in (image.jpeg, image.K, image.T_camera_agent, sample.stored):
            shown.update(array.tobytes())
        config = [*self.config.size, self.config.depth_bins, *self.config.depth_m]
        key = [_VERSION, shown.hexdigest(), *config, str(_dtype())]
        name = f"image-{sample.name.replace('/', '-')}-{image.name}"
        return Cached.of(self.folder, name, key, partial(_features, image, sample, self.config))


@cache
def pretrained_encoder() -> EfficientNetLite0:
    """Return the pretrained network, ready for inference.

    Raises:
        CosenseError: the package with its weights is not installed.
    """
    network = EfficientNetLite0()
    network.load_pretrained()
    return folded(network).to(dtype=_dtype(), memory_format=torch.channels_last)  # type: ignore[call-overload]


def _dtype() -> torch.dtype:
    return training_dtype("auto", torch.device("cpu"))


def _features(image: StoredCamera, sample: Sample, config: ImageConfig) -> dict[str, NDArray]:
    made = picture(image.camera, config.size)
    columns = made.covered[1]
    mirrored = made.pixels.copy()
    mirrored[:, :columns] = made.pixels[:, :columns][:, ::-1]
    arrays: dict[str, NDArray] = {"P": made.P, "covered": np.array(made.covered)}
    for way, pixels, P in (("", made.pixels, made.P), ("mirrored.", mirrored, mirror(made.P, columns))):
        with torch.inference_mode():
            maps = pretrained_encoder()(torch.from_numpy(pixels)[None])
        arrays |= {
            f"{way}{stride}": level[0].half().numpy() for stride, level in zip(STRIDES, maps, strict=True)
        }
        arrays[f"{way}steps"] = distance_steps(sample, P, made.covered, config)
    return arrays


def mirror(P: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return P (3,4) of the mirror image of an image with so many columns."""
    return np.array([[-1.0, 0, columns - 1], [0, 1, 0], [0, 0, 1]]) @ P


def distance_steps(
    sample: Sample,
    P: NDArray[np.float64],
    covered: tuple[int, int],
    config: ImageConfig,
    focal_length: float = 1.0,
) -> NDArray[np.uint8]:
    """Return what `ImageFeatures.steps` holds, for an image with this P (3,4).

    Distances are divided by `focal_length` first, see `detectors.camera.without_cloud`.
    """
    points = sample.points[:, :3]
    across = points @ P[:, :3].T + P[:, 3]
    depth_m = across[:, 2]
    shown = np.flatnonzero(depth_m > config.depth_m[0])
    uv = across[shown, :2] / depth_m[shown, None]
    shown = shown[((uv >= -0.5) & (uv < np.array(covered)[::-1] - 0.5)).all(axis=1)]
    # The farthest first: the nearest is what remains.
    shown = shown[np.argsort(-depth_m[shown])]
    column, row = np.floor((across[shown, :2] / depth_m[shown, None] + 0.5) / STRIDES[0]).astype(np.int64).T
    step = config.depth_steps(torch.from_numpy(depth_m[shown] / focal_length)).numpy().astype(np.uint8)
    step = np.minimum(step, config.depth_bins - 1) + OF_OBJECT * (sample.owner[shown] >= 0).astype(np.uint8)
    steps = np.full((config.size[0] // STRIDES[0], config.size[1] // STRIDES[0]), UNKNOWN, np.uint8)
    steps[row, column] = step
    return steps
