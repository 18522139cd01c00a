"""A small detector with cameras, and frames that have images."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import torch
from torch import nn

from cosense.detectors.camera.image_encoder import ImageConfig
from cosense.detectors.camera.voxel_fusion import FusionConfig
from cosense.detectors.camera_pillars import CameraPillarDetector, CameraPillarsConfig
from cosense.detectors.pillars import PillarsConfig
from cosense.geometry.transforms import transform_from, transform_from_planar
from cosense.sensing.frame import AgentFrame, Camera
from tests.detectors.networks import TINY, cloud

# The optical axis along x of the agent: right is -y, down is -z.
FORWARD = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
K = np.array([[100.0, 0, 63.5], [0, 100.0, 31.5], [0, 0, 1]])
IMAGE = ImageConfig(size=(64, 128), channels=8, depth_bins=10)
FUSION = FusionConfig(heads=2, hidden=8, most_filled=200)


def with_camera(config: PillarsConfig = TINY, **changes) -> CameraPillarsConfig:
    """Return a configuration of pillars with small blocks for images."""
    given = {item.name: getattr(config, item.name) for item in fields(config)}
    return CameraPillarsConfig(**given | {"image": IMAGE, "fusion": FUSION} | changes)


SMALL = with_camera()


@cache
def small_detector(evidence: float = FUSION.evidence) -> CameraPillarDetector:
    """Return a detector whose images change something: what begins as zeros has been drawn."""
    config = replace(SMALL, fusion=replace(FUSION, evidence=evidence))
    network = CameraPillarDetector.build(config, seed=0)
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.any():
            nn.init.normal_(layer.weight, std=0.3)
    return CameraPillarDetector("small", config, network)


def camera(name: str = "front", turn_rad: float = 0.0, stamp_ns: int = 0, **changes) -> Camera:
    """Return a camera of 128 x 64 pixels in the LiDAR's place, turned to the left, with a noisy image."""
    image = np.random.default_rng(3).integers(40, 200, (64, 128, 3), dtype=np.uint8)
    T = transform_from(FORWARD @ transform_from_planar(0, 0, -turn_rad)[:3, :3], np.zeros(3))
    return Camera(
        **{"name": name, "image": image, "K": K, "T_camera_agent": T, "stamp_ns": stamp_ns} | changes
    )


def frame(*cameras: Camera, points: np.ndarray | None = None) -> AgentFrame:
    """Return a frame of a vehicle with a cloud around it."""
    return AgentFrame("ego", "vehicle", 0, np.eye(4), cloud() if points is None else points, cameras=cameras)
