"""Detectors and cooperation on frames that others have recorded: `python benchmarks/real_frames.py [FOLDER]`.

FOLDER, COSENSE_SHARED_DATA or shared/data beside the repository, has real_frames/ with drives of others
(KITTI, Argoverse 2) and their labels, which may not be redistributed. Measured are, under the protocol
real_frames, every detector that ships, and, under real_pairs, cooperation of the product profile: two frames
of a drive with poses, 20 frames apart, stand for two agents. As a drive is one sequence with one bias of its
poses, errors of poses are drawn with several seeds. Nothing was tuned on these frames. Keeps the figures
beside the weights of the product profile and writes the tables of README.md, docs/results.md and the cards of
the models. --frames takes only the first frames and keeps nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_frame_tables import POSES, ROOT, ROWS, keep, write_pages

from cosense.data import open_dataset
from cosense.data.dataset import Dataset
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.sweep.lockstep import network_hash, survey, sweep
from cosense.evaluation.sweep.point import Point
from cosense.evaluation.sweep.results import sweep_content
from cosense.methods.model import Model, load_model
from cosense.model_folders import CONFIG, WEIGHTS

GAP, SEEDS, BUDGET_BYTES = 20, 8, 2000
PRODUCT = "cosense-lite"


def main() -> None:
    """Measure, keep the figures, write the pages."""
    parser = argparse.ArgumentParser()
    usual = os.environ.get("COSENSE_SHARED_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("folder", nargs="?", type=Path, default=usual)
    parser.add_argument("--frames", type=int)
    given = parser.parse_args()
    sets = sorted(path for path in (Path(given.folder) / "real_frames").glob("*") if path.is_dir())
    if not sets:
        sys.exit(f"{given.folder}: has no real_frames; name the folder, or set COSENSE_SHARED_DATA")
    torch.set_num_threads(1)
    shipped = sorted(path.parent for path in (ROOT / "models").glob(f"*/{CONFIG}"))
    models = [load_model(path.name) for path in shipped if (path / WEIGHTS).is_file()]
    frames = [row for path in sets for row in detectors(open_dataset(path), models, given.frames)]
    drives = [path for path in sets if (path / "poses.json").is_file()]
    product = load_model(PRODUCT)
    pairs = [row for path in drives for row in cooperation(path, product, given.frames)]
    for row in frames + pairs:
        print(row)
    if not given.frames:
        command = shlex.join(["python", *sys.argv])
        keep("frames", command, frames)
        keep("pairs", command, pairs)
        write_pages(check=False)


def detectors(dataset: Dataset, models: Sequence[Model], frames: int | None = None) -> list[dict[str, Any]]:
    """Return a row for each class of each detector that ships; models with one network share theirs.

    Args:
        dataset: real frames with labels.
        models: models that ship.
        frames: how many of the frames, the first ones; None for all.
    """
    protocol = load_protocol("real_frames")
    shared: dict[str, list[Model]] = {}
    for model in models:
        shared.setdefault(network_hash(model.detector), []).append(model)
    rows = []
    for same in shared.values():
        with tempfile.TemporaryDirectory() as out:
            metrics = evaluate(dataset, same[0], protocol, fusion="none", out=Path(out), limit=frames)
        for name, working in metrics["working"].items():
            if working["num_ground_truth"]:
                rows.append(
                    {
                        **_what_was_run(metrics, dataset),
                        "models": {model.name: model.detector.weights_sha256 for model in same},
                        "class": name,
                        "ap": metrics["ap_per_class"][name]["bev"],
                        "working": working,
                    }
                )
    return rows


def cooperation(
    path: Path, model: Model, frames: int | None = None, gap: int = GAP, seeds: int = SEEDS
) -> list[dict[str, Any]]:
    """Return a row for each fusion and error of the poses: mean and standard deviation over seeds.

    Args:
        path: a drive with poses.
        model: what both agents run.
        frames: how many of the pairs, the first ones; None for all.
        gap: how many frames the two agents are apart.
        seeds: how often errors are drawn.
    """
    dataset = open_dataset(path, pair_gap=gap)
    protocol = load_protocol("real_pairs")
    seen = survey(dataset, frames)
    counted = seen.counted(0.0)
    found: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    description: dict[str, Any] = {}
    for seed in range(seeds):
        points = [
            Point(
                model.name,
                fusion,
                budget_bytes=BUDGET_BYTES if fusion in ("intermediate", "hybrid") else None,
                registration=registration,
                pose_error=error,
            )
            for _, fusion, registration in ROWS
            for error in POSES
            # The ego alone, and poses without errors, are the same with every seed.
            if (seed == 0 or error) and not (fusion == "none" and error)
        ]
        # The differences of a sweep are to the ego alone.
        points = [Point(model.name, "none"), *(point for point in points if point.fusion != "none")]
        results = sweep(dataset, {model.name: model}, points, protocol, counted, seed=seed)
        content = sweep_content(
            results,
            dataset,
            {model.name: model},
            protocol,
            curve="pose-error",
            seed=seed,
            command="",
            sequences=seen.sequences(counted),
        )
        description = _what_was_run(content, dataset)
        for (name, fusion, registration), error in ((row, error) for row in ROWS for error in POSES):
            for point in content["points"]:
                if (point["fusion"], point["registration"]) == (fusion, registration) and (
                    point["pose_error"] == error
                ):
                    found.setdefault((name, error), []).append(point)
    return [
        {
            **description,
            "models": {model.name: model.detector.weights_sha256},
            "fusion": name,
            "pose_error": error,
            "seeds": len(points),
            "ap": _over_seeds([point["ap"]["0.5"] for point in points]),
            "recall": _over_seeds([_working(point)["recall"]["0.5"] for point in points]),
            "other_boxes": _over_seeds([_working(point)["other_boxes_per_frame"] for point in points]),
            "num_ground_truth": _working(points[0])["num_ground_truth"],
            "bytes": points[0]["bytes_per_frame"],
        }
        for (name, error), points in found.items()
    ]


def _what_was_run(metrics: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    return {
        "data": dataset.path.name,
        "frames": metrics["frames"],
        "protocol": f"{metrics['protocol']} {metrics['protocol_hash']}",
    }


def _working(point: Mapping[str, Any]) -> Mapping[str, Any]:
    vehicle: Mapping[str, Any] = point["working"]["vehicle"]
    return vehicle


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "deviation": float(np.std(values))}


if __name__ == "__main__":
    main()
