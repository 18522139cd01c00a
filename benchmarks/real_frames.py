"""What a detector finds on recorded frames, and what two frames of one drive gain together.

    python benchmarks/real_frames.py [FOLDER] [MODEL ...]

FOLDER, COSENSE_SHARED_DATA or shared/data beside the repository, has real_frames/kitti_drive and
real_frames/argoverse2; nothing is tuned on these. Models are cosense-lite unless others are named. The frames
are counted as `cosense evaluate --data SET --fusion none` does, pairs of the drive 20 frames apart as by
`cosense sweep pose-error --data SET --pair-gap 20`; errors of poses are drawn for three seeds, whose mean is
given. Keeps the figures of each model beside its weights, and writes them into its card.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registration_tables import ROOT, tables
from timing import write

from cosense.cooperation.offline import cooperate
from cosense.data import open_dataset
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import summarise, summarise_scores
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FrameResult, result_of
from cosense.evaluation.sweep.lockstep import Point, lean, sweep
from cosense.methods.model import Model, load_model

SETS = ("kitti_drive", "argoverse2")
GAP, SEEDS, BUDGET_BYTES = 20, (0, 1, 2), 2000
# How the two work together, and how poses are corrected.
WAYS = (("none", "none"), *((way, by) for by in ("none", "scene_graph") for way in ("late", "hybrid")))
# The section of a card, and the one that it goes before.
SECTION = """## On recorded frames

At a score of 0.2, protocols `real_frames` and `real_pairs` ([data](../../docs/data.md)); nothing is said of a
class without labels. The last rows take two frames of the KITTI drive, 20 frames apart, as two agents.

"""
BEFORE = "## Configuration of the run\n"
BEGIN, END = "<!-- benchmarks/real_frames.py -->\n", "<!-- end of benchmarks/real_frames.py -->\n"


def alone_rows(folder: Path, model: Model) -> Iterator[dict[str, Any]]:
    """Yield a row for each class that is labelled in a set."""
    dataset, protocol = open_dataset(folder), load_protocol("real_frames")
    thresholds = "0.3", "0.5"
    results: list[FrameResult] = []
    for frame in dataset:
        found = cooperate([frame.ego], model, "none").detections
        results.append(result_of(frame, most_points_of_one_agent(frame), found, {}, float("nan")))
    summary = summarise(results, protocol)
    for name, working in summary["working"].items():
        if working["num_ground_truth"]:
            yield {
                "job": f"{folder.name}, {name}",
                "objects": working["num_ground_truth"],
                **{f"AP@{key}": _percent(summary["ap_per_class"][name]["bev"][key]) for key in thresholds},
                **{f"found@{key}": _percent(working["recall"][key]) for key in thresholds},
                "false_a_frame": working["false_per_frame"],
                "precision_percent": _percent(working["precision"]),
                "said_percent": _percent(working["mean_score"]),
                "reversed_percent": _percent(working["reversed"]),
                "longer_by_m": working["length_bias_m"],
                **{f"found {at} m": _percent(part) for at, part in working["recall_by_distance"].items()},
            }


def pair_rows(folder: Path, model: Model) -> Iterator[dict[str, Any]]:
    """Yield a row for each way of working together and error of the poses."""
    dataset, protocol = open_dataset(folder, pair_gap=GAP), load_protocol("real_pairs")
    points = [
        Point(
            model.name,
            fusion,
            budget_bytes=BUDGET_BYTES if fusion == "hybrid" else None,
            registration=by,
            pose_error=error,
        )
        for error in (None, "dair_corrected", "dair")
        for fusion, by in (WAYS if error is None else WAYS[1:])
        if fusion != "hybrid" or model.method is not None
    ]
    everything = [True] * len(dataset)
    by_seed = [sweep(dataset, {model.name: model}, points, protocol, everything, seed=seed) for seed in SEEDS]
    for point, *results in zip(points, *by_seed, strict=True):
        way = [point.fusion, *(["scene graphs"] if point.registration != "none" else [])]
        summaries = [summarise_scores(result.scores, lean(protocol)) for result in results]
        working = [summary["working"]["vehicle"] for summary in summaries]
        yield {
            "job": ", ".join(("pairs", *way, point.pose_error or "true poses")),
            "objects": working[0]["num_ground_truth"],
            "AP@0.5": _percent(_mean(summaries, "ap", "0.5")),
            **{f"found@{key}": _percent(_mean(working, "recall", key)) for key in ("0.3", "0.5", "0.7")},
            "false_a_frame": _mean(working, "false_per_frame"),
            "other_boxes_a_frame": _mean(working, "other_boxes_per_frame"),
            "bytes": round(_mean(summaries, "bytes_per_frame", "mean")),
        }


def _mean(entries: list[Mapping[str, Any]], *keys: str) -> float:
    values: list[Any] = list(entries)
    for key in keys:
        values = [value[key] for value in values]
    return float(np.mean(values))


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)


def main(folder: Path, names: list[str]) -> None:
    """Measure, keep, write the cards."""
    torch.set_num_threads(1)
    for name in names:
        model = load_model(name)
        rows = [row for each in SETS for row in alone_rows(folder / each, model)]
        rows += pair_rows(folder / SETS[0], model)
        result = write("real_frames", rows, "recorded by others")
        home = ROOT / "models" / name
        (home / "validation").mkdir(exist_ok=True)
        shutil.copy(result, home / "validation" / "real_frames.json")
        made = f"{BEGIN}\n{tables(json.loads(result.read_text()))}\n{END}"
        card = home / "card.md"
        card.write_text(with_section(card.read_text(), made))


def with_section(card: str, made: str) -> str:
    """Return a card with the tables between their marks, in a section of its own where it has no marks."""
    if BEGIN not in card:
        before, rest = card.split(BEFORE)
        return f"{before}{SECTION}{made}\n{BEFORE}{rest}"
    before, rest = card.split(BEGIN)
    return f"{before}{made}{rest.split(END)[1]}"


if __name__ == "__main__":
    is_folder = len(sys.argv) > 1 and Path(sys.argv[1]).is_dir()
    given = sys.argv[1] if is_folder else os.environ.get("COSENSE_SHARED_DATA", "")
    data = (Path(given) if given else ROOT / "shared" / "data") / "real_frames"
    if not data.is_dir():
        print(f"skipped: no recorded frames in {data}; name their folder or set COSENSE_SHARED_DATA")
    else:
        main(data, sys.argv[2 if is_folder else 1 :] or ["cosense-lite"])
