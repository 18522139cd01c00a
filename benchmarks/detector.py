"""One cloud of 60 000 points over ±100.8 × ±40 m, points to boxes: the small network beside the paper's size.

    python benchmarks/detector.py

The weights are untrained: the time of a network does not depend on them. That of decoding depends on how many
objects there are, so both decode the same maps of a scene with 60 vehicles.

The limit of 15 times is for the paper's size in float32, as published. The row after it gives it the bfloat16
of the small one, which leaves what the smaller network alone gains: 5 times on two Xeon cores with AMX. Where
spconv is installed the small network of sparse voxels is measured, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import measure, write

from cosense.geometry.boxes import Boxes
from cosense.methods.model import read_model_config
from cosense.sensing.levelling import level_cloud
from cosense.training.targets import make_targets

MODELS = Path(__file__).resolve().parents[1] / "models"
POINTS = 60_000
LIMIT_MS, LEVEL_LIMIT_MS, GROUPING_LIMIT_MS, RATIO = 50, 6, 8, 15


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


class Contender:
    """One network in one precision, with what its stages work on."""

    def __init__(self, name: str, precision: str, points: np.ndarray, boxes: Boxes) -> None:
        model = read_model_config(MODELS / name)
        config = dataclasses.replace(model.detector, precision=precision)
        network = model.detector_type.build(config, seed=0)
        self.name, self.detector = name, model.detector_type(name, config, network)
        level = level_cloud(points)
        pillars = self.detector.group(level.points, level.ground)
        targets = make_targets(boxes, np.zeros(60, np.int64), np.ones(60, bool), config.grid.coarser(2))
        seen = dataclasses.replace(
            self.detector.infer(pillars, level.ground),
            class_logits=torch.logit(targets.heat[0], eps=1e-3),
            box_codes=targets.codes[0],
        )
        self.stages: dict[str, Callable[[], Any]] = {
            "level_ms": lambda: level_cloud(points),
            "group_ms": lambda: self.detector.group(level.points, level.ground),
            "network_ms": lambda: self.detector.infer(pillars, level.ground),
            # A copy: what was decoded once is known.
            "decode_and_nms_ms": lambda: self.detector.decode(dataclasses.replace(seen)),
        }
        self.best = dict.fromkeys(self.stages, float("inf"))
        self.boxes = len(self.detector.decode(seen))

    def measure(self) -> None:
        """Keep the least time of each stage so far."""
        for stage, function in self.stages.items():
            self.best[stage] = min(self.best[stage], measure(function, repeats=4))

    def row(self) -> dict[str, Any]:
        """Return the least times in milliseconds."""
        dtype = str(self.detector.dtype).removeprefix("torch.")
        total_ms = sum(self.best.values())
        return {"job": self.name, "dtype": dtype, **self.best, "total_ms": total_ms, "boxes": self.boxes}


def main() -> None:
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    scene = road(rng), vehicles(rng)
    contenders = [
        Contender("pillars-lite", "auto", *scene),
        Contender("pillars-lite", "float32", *scene),
        # As published, and with everything that makes the small one fast.
        Contender("pillars-paper", "float32", *scene),
        Contender("pillars-paper", "auto", *scene),
    ]
    if find_spec("spconv") is not None:
        contenders.append(Contender("voxels-lite", "auto", *scene))
    # In turns, so that other work on the machine does not fall on one of them alone.
    for _ in range(6):
        for contender in contenders:
            contender.measure()
    rows = [contender.row() for contender in contenders]
    rows[0] |= {
        "limit_ms": LIMIT_MS,
        "level_limit_ms": LEVEL_LIMIT_MS,
        "group_limit_ms": GROUPING_LIMIT_MS,
    }
    for paper in rows[2:4]:
        paper["times_slower_than_lite"] = paper["total_ms"] / rows[0]["total_ms"]
    rows[2]["limit_times"] = RATIO
    write("detector", rows)


if __name__ == "__main__":
    main()
