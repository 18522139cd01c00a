"""One cloud of 60 000 points over ±100.8 × ±40 m, points to boxes: the small network beside the paper's size.

    python benchmarks/detector.py

The weights are untrained: the time of a network does not depend on them. That of decoding depends on how many
objects there are, so both decode the same maps of a scene with 60 vehicles.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import measure, write

from cosense.config import load_config
from cosense.geometry.boxes import Boxes
from cosense.perception.config import ModelConfig
from cosense.perception.detector import Detector
from cosense.perception.network import build_network
from cosense.training.targets import make_targets

MODELS = Path(__file__).resolve().parents[1] / "models"
POINTS = 60_000
LIMIT_MS, GROUPING_LIMIT_MS, RATIO = 50, 8, 15


def road(rng: np.random.Generator) -> np.ndarray:
    """Rings on a flat road and walls beside it, as dense near the sensor as a rotating LiDAR is, (N,4)."""
    distance = 3 + 80 * rng.random(POINTS) ** 2
    angle = rng.uniform(-np.pi, np.pi, POINTS)
    x, y = distance * np.cos(angle), np.clip(distance * np.sin(angle), -38, 38)
    standing = (np.abs(y) > 20) | (rng.random(POINTS) < 0.1)
    z = np.where(standing, rng.uniform(0, 3, POINTS), rng.normal(0, 0.02, POINTS)) - 1.9
    return np.column_stack([x, y, z, rng.random(POINTS)]).astype(np.float32)


def vehicles(rng: np.random.Generator) -> Boxes:
    """Sixty vehicles beside each other, (60,7), z above the ground."""
    x, y = (grid.reshape(-1) for grid in np.meshgrid(np.linspace(-70, 70, 12), np.linspace(-16, 16, 5)))
    sizes = np.tile([0.8, 4.5, 1.9, 1.6], (60, 1))
    return np.column_stack([x, y, sizes, rng.uniform(-np.pi, np.pi, 60)])


def row(name: str, precision: str, points: np.ndarray, boxes: Boxes) -> dict[str, Any]:
    """Return the stages of one network in milliseconds."""
    config = load_config(ModelConfig, MODELS / name / "config.yaml")
    config = dataclasses.replace(config, precision=precision)
    detector = Detector(name, config, build_network(config, seed=0))
    pillars, ground_m = detector.group(points)
    targets = make_targets(boxes, np.zeros(60, np.int64), np.ones(60, bool), config.grid.coarser(2))
    seen = dataclasses.replace(
        detector.infer(pillars, ground_m),
        class_logits=torch.logit(targets.heat[0], eps=1e-3),
        box_codes=targets.codes[0],
    )
    stages = {
        "group_ms": measure(lambda: detector.group(points)),
        "network_ms": measure(lambda: detector.infer(pillars, ground_m)),
        "decode_and_nms_ms": measure(lambda: detector.decode(seen)),
    }
    return {
        "job": name,
        "dtype": str(detector.dtype).removeprefix("torch."),
        **stages,
        "total_ms": sum(stages.values()),
        "boxes": len(detector.decode(seen)),
    }


def main() -> None:
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    points, boxes = road(rng), vehicles(rng)
    lite = row("pillars-lite", "auto", points, boxes)
    rows = [
        lite | {"limit_ms": LIMIT_MS, "group_limit_ms": GROUPING_LIMIT_MS},
        row("pillars-lite", "float32", points, boxes),
        # As published, and with everything that makes the small one fast.
        row("pillars-paper", "float32", points, boxes),
        row("pillars-paper", "auto", points, boxes),
    ]
    for paper in rows[2:]:
        paper["times_slower_than_lite"] = paper["total_ms"] / lite["total_ms"]
    rows[2]["limit_times"] = RATIO
    write("detector", rows)


if __name__ == "__main__":
    main()
