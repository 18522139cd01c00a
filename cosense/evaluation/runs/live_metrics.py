"""The numbers of a live run, from what its fusion wrote of each frame and the data set that was played."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from cosense.cooperation.kinds import FusionKind
from cosense.data.dataset import Dataset
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.run_files import FusedFrame, result_of
from cosense.evaluation.runs.pose_noise import PoseErrorName, PoseNoise
from cosense.evaluation.runs.runner import RunSettings, run_description
from cosense.methods.model import Model
from cosense.sensing.detections import Detections


def evaluate_live(
    dataset: Dataset,
    entries: Sequence[FusedFrame],
    model: Model,
    protocol: Protocol,
    *,
    frames: int,
    command: str,
    fusion: FusionKind = "late",
    budget_bytes: int | None = None,
    registration: str = "none",
    pose_error: PoseErrorName | None = None,
) -> dict[str, Any]:
    """Score the boxes that a live run gave, frame by frame.

    A frame that was played but never fused counts with no detection; `frames_not_fused` counts them.

    Args:
        dataset: what was played; see `entries_by_frame` for which entry belongs to which frame.
        entries: of detections.jsonl.
        model: what all agents ran.
        protocol: what is counted.
        frames: number of frames that were played, the first ones.
        command: command line that repeats the run.
        fusion: kind of fusion of the run.
        budget_bytes: limit of each message of the others, None where there was none.
        registration: how poses were corrected.
        pose_error: name of the error that the poses had, None for none.

    Returns:
        the content of metrics.json, with the keys that `cosense.evaluation.runs.runner.evaluate` gives.
    """
    stamps_ns, not_fused = [], []
    for index in range(frames):
        frame = dataset[index]
        stamps_ns.append(frame.ego.stamp_ns)
        points = most_points_of_one_agent(frame)
        not_fused.append(result_of(frame, points, Detections.empty(), {}, math.nan))
    fused = entries_by_frame(stamps_ns, entries)
    results = [
        empty
        if entry is None
        else replace(
            empty,
            detections=entry.result.detections,
            bytes_per_sender=entry.result.bytes_per_sender,
            elapsed_ms=entry.elapsed_ms,
        )
        for empty, entry in zip(not_fused, fused, strict=True)
    ]
    noise = PoseNoise.named(pose_error)
    settings = RunSettings(fusion, budget_bytes, noise, seed=0, registration=registration)
    return {
        "command": command,
        **run_description(dataset, model, protocol, settings),
        "live": True,
        "frames": frames,
        "frames_not_fused": fused.count(None),
        **summarise(results, protocol),
    }


def entries_by_frame(stamps_ns: Sequence[int], entries: Sequence[FusedFrame]) -> list[FusedFrame | None]:
    """Return for each frame that was played its entry, None where it was never fused.

    Both are in the order of the run. The stamp alone does not identify a frame: every scenario of OPV2V
    counts from its start, so that stamps occur again.

    Args:
        stamps_ns: measurement times of the ego's clouds that were played.
        entries: entries of detections.jsonl.
    """
    found: list[FusedFrame | None] = [None] * len(stamps_ns)
    matcher = SequenceMatcher(None, stamps_ns, [entry.stamp_ns for entry in entries], autojunk=False)
    for frame, entry, count in matcher.get_matching_blocks():
        found[frame : frame + count] = entries[entry : entry + count]
    return found
