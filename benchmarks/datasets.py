"""Opening, checking, reading and writing data sets: `python benchmarks/datasets.py`.

Opening and checking is measured on a tree of the size of DAIR-V2X-C, all empty files but for the indices.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from timing import measure, write

from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame
from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.objects import Objects
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from cosense.simulation.opv2v_writer import write_opv2v
from cosense.simulation.stage import SimulatedFrame

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PAIRS = 10_000
WRITTEN = 10


def frames(count: int) -> Iterator[SimulatedFrame]:
    """Yield frames as large as simulated ones: 60 and 90 thousand points, 40 objects, two large images."""
    rng = np.random.default_rng(0)
    boxes = rng.uniform([-50, -50, -1, 4, 1.6, 1.4, -3], [50, 50, 1, 5, 2.2, 2, 3], (40, 7))
    objects = Objects(boxes, np.zeros(40, dtype=np.int64), np.arange(40).astype(str))
    camera = Camera(
        name="camera",
        image=rng.integers(0, 255, (54, 96, 3), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1),
        K=np.array([[2000.0, 0, 960], [0, 2000, 540], [0, 0, 1]]),
        T_camera_agent=np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]),
        stamp_ns=0,
    )
    agent = AgentFrame("vehicle", "vehicle", 0, np.eye(4), np.zeros((0, 4), np.float32), objects=objects)
    T_unit = transform_from_planar(30, 10, -2.0, 6.0)
    clouds = [np.c_[rng.normal(0, 25, (n, 3)), rng.random(n)].astype(np.float32) for n in (60_000, 90_000)]
    vehicle = replace(agent, points=clouds[0], cameras=(camera,))
    unit = replace(
        vehicle, agent_id="infrastructure", kind="infrastructure", T_world_agent=T_unit, points=clouds[1]
    )
    for number in range(count):
        agents = {"vehicle": vehicle, "infrastructure": unit}
        frame = CooperativeFrame(str(number), "noise", "vehicle", agents, objects)
        yield SimulatedFrame(frame, (0.6, -0.3))


def enlarge(tree: Path, pairs: int) -> None:
    """Repeat the entries of a tree of one pair, and make a file for each that is named."""
    for index in ("vehicle-side", "infrastructure-side", "cooperative"):
        path = tree / index / "data_info.json"
        text = json.dumps(json.loads(path.read_text())[0])
        entries = [
            json.loads(text.replace("000000", f"{n:06d}").replace("100000", f"{100_000 + n}"))
            for n in range(pairs)
        ]
        path.write_text(json.dumps(entries))
        root = tree if index == "cooperative" else tree / index
        for entry in entries:
            for key, value in entry.items():
                if key.endswith("_path"):
                    (root / value).write_bytes(b"-")


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, writer in (("dair-v2x", write_dair_v2x), ("opv2v", write_opv2v)):
            tree = Path(folder) / name
            start = time.perf_counter()
            writer(frames(WRITTEN), tree)
            each_ms = (time.perf_counter() - start) * 1e3 / WRITTEN
            found.append({"job": f"write {name}, a frame with two images", "ms": each_ms})
            for cameras in (False, True):
                dataset = open_dataset(tree, cameras=cameras)
                job = f"read {name}, a frame {'with' if cameras else 'without'} images"
                found.append({"job": job, "ms": measure(lambda dataset=dataset: dataset[0], 10)})
            checked_ms = measure(lambda tree=tree: open_dataset(tree).info(verify=True), 2) / WRITTEN
            found.append({"job": f"verify {name}, a frame with two images", "ms": checked_ms})
        write_dair_v2x(frames(1), Path(folder) / "large")
        enlarge(Path(folder) / "large", PAIRS)
        opened_ms = measure(lambda: open_dataset(Path(folder) / "large"), 3)
    found.append({"job": f"open {PAIRS} pairs", "ms": opened_ms})
    real = Path(os.environ.get("COSENSE_SHARED_DATA", DEFAULT_DATA)) / "v2xset_frame"
    if real.is_dir():
        dataset = open_dataset(real)
        found.append({"job": "read the V2XSet frame (3 ascii clouds)", "ms": measure(lambda: dataset[0], 5)})
    return found


if __name__ == "__main__":
    write("datasets", rows(), "drawn at random, unless the job names a data set")
