"""The files of a run: run.json (what is run), frames.jsonl (one line a frame), metrics.json (the numbers).

A line holds detections and ground truth with every digit, so that all numbers can be computed again, under
another protocol too. Lines are written as frames are done: a run that was stopped goes on after the last
whole line, unless the folder holds frames of another run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cosense.errors import CosenseError
from cosense.evaluation.metrics.summary import FrameResult
from cosense.geometry.boxes import as_boxes
from cosense.sensing.detections import Detections
from cosense.sensing.objects import Objects

RUN, FRAMES, METRICS = "run.json", "frames.jsonl", "metrics.json"


def frame_record(result: FrameResult) -> dict[str, Any]:
    """Return a frame as it is written; `frame_result` reads it back without loss."""
    found, truth = result.detections, result.ground_truth
    return {
        "frame_id": result.frame_id,
        "detections": {
            "boxes": found.boxes.tolist(),
            "scores": found.scores.tolist(),
            "labels": found.labels.tolist(),
            "sources": found.sources.tolist(),
        },
        "ground_truth": {
            "boxes": truth.boxes.tolist(),
            "labels": truth.labels.tolist(),
            "ids": truth.ids.tolist(),
            "num_points": result.num_points.tolist(),
        },
        "bytes_per_sender": dict(result.bytes_per_sender),
        "elapsed_ms": result.elapsed_ms,
    }


def frame_result(record: Mapping[str, Any]) -> FrameResult:
    """Return the frame that `frame_record` has written."""
    found, truth = record["detections"], record["ground_truth"]
    return FrameResult(
        frame_id=record["frame_id"],
        detections=Detections(
            as_boxes(found["boxes"]),
            np.array(found["scores"], dtype=np.float32),
            np.array(found["labels"], dtype=np.int64),
            np.array(found["sources"], dtype=np.uint8),
        ),
        ground_truth=Objects(
            as_boxes(truth["boxes"]),
            np.array(truth["labels"], dtype=np.int64),
            np.array(truth["ids"], dtype=np.str_),
        ),
        num_points=np.array(truth["num_points"], dtype=np.int64),
        bytes_per_sender=record["bytes_per_sender"],
        elapsed_ms=record["elapsed_ms"],
    )


def open_run(out: Path, run: Mapping[str, Any], *, restart: bool) -> None:
    """Make `out` ready: a new folder, one that holds a part of the same run, or one to start over in.

    What follows the last whole line of a part, an interrupted write, is cut off.

    Args:
        out: folder of the run.
        run: everything that decides what a frame's line says, ready for JSON.
        restart: throw away what is there.

    Raises:
        CosenseError: the folder cannot be made or written, or holds frames of another run.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _open_run(out, run, restart)
    except OSError as error:
        raise CosenseError(f"{out}: cannot be a folder for results: {error.strerror}") from None


def _open_run(out: Path, run: Mapping[str, Any], restart: bool) -> None:
    frames = out / FRAMES
    if frames.exists() and not restart:
        difference = _difference(_earlier_run(out / RUN), run)
        if difference:
            raise CosenseError(
                f"{frames}: belongs to another run ({difference}); choose another folder with --out, "
                "or throw it away with --restart"
            )
        _cut_partial_line(frames)
        return
    (out / METRICS).unlink(missing_ok=True)
    frames.unlink(missing_ok=True)
    write_json(out / RUN, {"key": run_key(run), **run})
    frames.touch()


def run_key(run: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits that two runs share only if they do the same."""
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:12]


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what the lines of a frames.jsonl hold.

    Raises:
        CosenseError: a line is not JSON.
    """
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                record = json.loads(line)
            except ValueError:
                raise CosenseError(
                    f"{path}: line {number} is broken; delete it and all below, or start over with --restart"
                ) from None
            yield record


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that appears complete or not at all."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    partial.replace(path)


def _cut_partial_line(path: Path) -> None:
    content = path.read_bytes()
    whole_bytes = content.rfind(b"\n") + 1
    if whole_bytes < len(content):
        with path.open("r+b") as stream:
            stream.truncate(whole_bytes)


def _earlier_run(path: Path) -> dict[str, Any]:
    try:
        earlier = json.loads(path.read_text())
        return {key: value for key, value in earlier.items() if key != "key"}
    except (OSError, ValueError, AttributeError):
        return {}


def _difference(earlier: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Return in words what is not the same in two descriptions of runs, empty if nothing."""
    if not earlier:
        return f"{RUN} is missing or broken"
    keys = [key for key in {**earlier, **run} if earlier.get(key) != run.get(key)]
    return ", ".join(f"{key} {earlier.get(key)!r} there, {run.get(key)!r} here" for key in keys)
