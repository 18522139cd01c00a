"""Boxes and point cloud files: `python benchmarks/geometry.py` writes results/benchmarks/geometry.json."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from timing import measure, write

from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.iou import bev_iou, iou_3d
from cosense.geometry.nms import rotated_nms
from cosense.sensing.cloud_formats.pcd import ENCODINGS, read_pcd, write_pcd

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RANGE_M = (100.8, 40.0)


def cars(rng: np.random.Generator, count: int, extent_m: tuple[float, float]) -> np.ndarray:
    """Return boxes (count,7) of the size of cars, anywhere and in any direction."""
    x, y = extent_m
    return rng.uniform([-x, -y, -1, 3.5, 1.6, 1.4, -np.pi], [x, y, 1, 5.5, 2.2, 2.0, np.pi], (count, 7))


def clusters(rng: np.random.Generator, objects: int, boxes_each: int) -> np.ndarray:
    """Return what a detector proposes: many slightly different boxes around each object."""
    return np.repeat(cars(rng, objects, RANGE_M), boxes_each, axis=0) + rng.normal(
        0, [0.3, 0.3, 0.1, 0.1, 0.05, 0.05, 0.1], (objects * boxes_each, 7)
    )


def box_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    a, b = cars(rng, 500, RANGE_M), cars(rng, 500, RANGE_M)
    near_a, near_b = cars(rng, 500, (1, 1)), cars(rng, 500, (1, 1))
    scores = rng.random(1000)
    proposals, spread = clusters(rng, 40, 25), cars(rng, 1000, RANGE_M)
    low = [-RANGE_M[0], -RANGE_M[1], -2]
    xyz = rng.uniform(low, np.negative(low), (60_000, 3)).astype(np.float32)
    labels = cars(rng, 100, RANGE_M)
    jobs = [
        ("bev_iou 500x500", 30, lambda: bev_iou(a, b)),
        ("iou_3d 500x500", 30, lambda: iou_3d(a, b)),
        ("bev_iou 500x500, all overlapping", None, lambda: bev_iou(near_a, near_b)),
        ("rotated_nms 1000 proposals of 40 objects", 15, lambda: rotated_nms(proposals, scores, 0.15)),
        ("rotated_nms 1000 spread boxes", 15, lambda: rotated_nms(spread, scores, 0.15)),
        ("points_in_boxes 60000x100", None, lambda: points_in_boxes(xyz, labels)),
    ]
    return [{"job": job, "ms": measure(run), "limit_ms": limit} for job, limit, run in jobs]


def file_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Read the real scans, where they are, and 60 000 points of noise in every encoding."""
    data = Path(os.environ.get("COSENSE_SHARED_DATA", DEFAULT_DATA))
    rows = []
    for path in [*sorted(data.glob("lidar_scans/*.pcd")), *sorted(data.glob("v2xset_frame/*/*/*/*.pcd"))[:1]]:
        points = len(read_pcd(path))
        job = f"read_pcd {path.relative_to(data)}"
        rows.append({"job": job, "points": points, "ms": measure(lambda path=path: read_pcd(path))})
    points = np.column_stack([rng.normal(0, 20, (60_000, 3)), rng.integers(0, 100, 60_000) / 255])
    with tempfile.TemporaryDirectory() as folder:
        for encoding in ENCODINGS:
            path = Path(folder) / f"{encoding}.pcd"
            written_ms = measure(lambda path=path, encoding=encoding: write_pcd(path, points, encoding), 5)
            read_ms = measure(lambda path=path: read_pcd(path), 5)
            rows.append(
                {"job": f"{encoding} 60000 points", "read_ms": read_ms, "write_ms": written_ms,
                 "bytes": path.stat().st_size}
            )  # fmt: skip
    return rows


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    write("geometry", [*box_rows(generator), *file_rows(generator)], "drawn at random")
