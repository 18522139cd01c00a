"""A small tree in the original layout of DAIR-V2X-C, with both label sets and all split files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from cosense.simulation.stage import SimulatedFrame
from tests.simulation.hand_made import START_NS, STEP_NS, forget_origin
from tests.training.toys import toy_sample

T_VEHICLE_UNIT = transform_from_planar(2.0, 1.0, 0.6)
LABELS = ("vehicle-side/label/lidar", "cooperative/label_world")


def write_tree(root: Path, train: int = 4, val: int = 2) -> Path:
    """Write a tree of roads with cars; the first frames are the training split, both label sets are equal."""
    write_dair_v2x(_frames(train + val), root)
    forget_origin(root)
    ids = [f"{number:06d}" for number in range(train + val)]
    splits = {"train": ids[:train], "val": ids[train:]}
    (root / "cooperative-split-data.json").write_text(json.dumps({"cooperative_split": splits}))
    for name, members in splits.items():
        (root / f"{name}.json").write_text(json.dumps(members))
    for folder in LABELS:
        shutil.copytree(root / folder, root / f"{folder}_backup")
    return root


def _frames(count: int) -> Iterator[SimulatedFrame]:
    for number in range(count):
        sample = toy_sample(number, cars=2)
        names = np.array(["1", "2"])
        cars = Objects(sample.boxes, np.zeros(2, dtype=np.int64), names)
        T_unit_vehicle = invert(T_VEHICLE_UNIT)
        seen_by_unit = Objects(transform_boxes(T_unit_vehicle, sample.boxes), cars.labels, names)
        T_world_vehicle = transform_from_planar(2636.0 + 0.3 * number, 1745.0, 0.7, 22.0)
        stamp_ns = START_NS + number * STEP_NS
        vehicle = AgentFrame("vehicle", "vehicle", stamp_ns, T_world_vehicle, sample.points, objects=cars)
        unit = AgentFrame(
            "infrastructure",
            "infrastructure",
            stamp_ns,
            T_world_vehicle @ T_VEHICLE_UNIT,
            np.column_stack([transform_points(T_unit_vehicle, sample.points[:, :3]), sample.points[:, 3]]),
            objects=seen_by_unit,
        )
        agents = {"vehicle": vehicle, "infrastructure": unit}
        frame = CooperativeFrame(f"one/{number:04d}", "one", "vehicle", agents, cars)
        yield SimulatedFrame(frame, (0.0, 0.0))
