"""Toy clouds with images, and the smallest run that learns from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

from cosense.config import to_mapping
from cosense.detectors.camera.without_cloud import WithoutCloudConfig
from cosense.detectors.camera_pillars import CameraPillarDetector, CameraPillarsConfig
from cosense.model_folders import CONFIG, WEIGHTS, write_weights
from cosense.training.camera_examples import CameraRunConfig
from cosense.training.image_examples import ImageRunConfig
from cosense.training.run_config import DataConfig
from cosense.training.samples import Sample
from cosense.training.stored_images import StoredCamera
from cosense.training.tasks.camera_pillars import CameraPillarsTask
from tests.detectors.cameras import camera, with_camera
from tests.detectors.networks import write_model
from tests.training.toys import TOY_MODEL, UNCHANGED, toy_sample

TOY_CAMERA_MODEL = with_camera(TOY_MODEL)
TOY_BLIND_MODEL = replace(TOY_CAMERA_MODEL, without_cloud=WithoutCloudConfig(hidden=16))
# Everything is as it was measured.
AS_IT_IS = {"augmentation": UNCHANGED, "fewer_beams": 0.0, "no_image": 0.0, "no_cloud": 0.0} | {
    "off_deg": 0.0,
    "off_m": 0.0,
}


def toy_sample_with_image(seed: int, cars: int = 2) -> Sample:
    """Return a flat road with cars and an image; rings say which of 32 slices a point is in."""
    sample = toy_sample(seed, cars)
    rings = (np.arange(len(sample.stored)) % 32).astype(np.int16)
    return replace(sample, images=(StoredCamera.of(camera()),), rings=rings)


def camera_config(folder: Path, **changes: object) -> CameraRunConfig:
    """Return a run whose model is written into `folder`; the paths of its data are never opened."""
    model = folder / "cameras"
    model.mkdir(parents=True, exist_ok=True)
    (model / CONFIG).write_text(
        yaml.safe_dump({"detector": "camera_pillars", **to_mapping(TOY_CAMERA_MODEL)})
    )
    nowhere = DataConfig(paths=(Path("toys"),))
    config = CameraRunConfig(
        model=model,
        start_from=str(write_model(folder / "lidar", TOY_MODEL, seed=5)),
        data=nowhere,
        validation=nowhere,
        cache=folder / "cache",
        epochs=1,
        batch_size=2,
        workers=0,
        augmentation=UNCHANGED,
    )
    return replace(config, **changes)


def write_camera_model(folder: Path, config: CameraPillarsConfig) -> Path:
    """Write an untrained model with cameras, without weights for images alone; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(yaml.safe_dump({"detector": "camera_pillars", **to_mapping(config)}))
    network = CameraPillarDetector.build(replace(config, without_cloud=None), seed=5)
    write_weights(network, folder / WEIGHTS)
    return folder


def image_config(folder: Path, **changes: object) -> ImageRunConfig:
    """Return a run on images alone as they are, whose model is written into `folder`."""
    nowhere = DataConfig(paths=(Path("toys"),))
    model = write_camera_model(folder / "cameras", TOY_BLIND_MODEL)
    config = ImageRunConfig(
        model=model,
        start_from=str(model),
        data=nowhere,
        validation=nowhere,
        cache=folder / "cache",
        epochs=1,
        batch_size=2,
        workers=0,
        augmentation=UNCHANGED,
        zoomed=0.0,
        off_deg=0.0,
        off_m=0.0,
    )
    return replace(config, **changes)


def camera_task(folder: Path, samples: list[Sample], **changes: object) -> CameraPillarsTask:
    """Return a run that learns from samples and is validated on the first."""
    task = CameraPillarsTask(camera_config(folder, **changes), torch.device("cpu"))
    task.samples, task.unseen = samples, samples[:1]
    return task
