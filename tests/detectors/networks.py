"""Small networks and clouds that several tests of this room use."""

from __future__ import annotations

import numpy as np

from cosense.detectors.config import ModelConfig, StageConfig

TINY = ModelConfig(
    range_m=(-12.8, -6.4, -12.0, 12.8, 6.4, 5.0),
    height_m=(-1.5, 5.0),
    cell_m=0.4,
    pillar_channels=8,
    stages=(StageConfig(1, 8), StageConfig(1, 16), StageConfig(0, 16)),
    neck_channels=8,
    shrink_channels=(8,),
    precision="float32",
)


def cloud(seed: int = 0, points: int = 4000, height_m: float = 1.9) -> np.ndarray:
    """Random points on and above a flat ground, (N,4) float32."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-14, 14, points), rng.uniform(-7, 7, points)
    z = np.where(rng.random(points) < 0.8, 0.0, rng.uniform(0, 3, points)) - height_m
    return np.column_stack([x, y, z, rng.random(points)]).astype(np.float32)
