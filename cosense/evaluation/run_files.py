"""The files of a run, live or offline, with every digit of what came out of each frame.

A live run writes detections.jsonl, one fused frame a line. An offline run writes run.json (what is run),
frames.jsonl (detections and ground truth, one frame a line) and metrics.json (the numbers), so that all
numbers can be computed again, under another protocol too. Lines are written as frames are done: an offline
run that was stopped goes on after the last whole line, unless the folder holds frames of another run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.outcome import FusionResult
from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError, counted, parse_json
from cosense.evaluation.metrics.participants import as_places
from cosense.geometry.boxes import as_boxes
from cosense.json_lines import read_lines
from cosense.messages.reports import MisbehaviourReport, PeerReport
from cosense.sensing.detections import Detections
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea
from cosense.sensing.objects import Objects

RUN, FRAMES, METRICS = "run.json", "frames.jsonl", "metrics.json"


@dataclass(frozen=True)
class FusedFrame:
    """One fused frame of a live run.

    Attributes:
        stamp_ns: measurement time of the ego's cloud.
        result: what came out.
        missing: senders that were waited for in vain.
        elapsed_ms: time between the arrival of the ego's message and the result, waiting for others included.
        mode: how well the ego was helped, see `cosense.cooperation.outcome`.
        mode_reason: why the mode is not a better one.
    """

    stamp_ns: int
    result: FusionResult
    missing: list[str]
    elapsed_ms: float
    mode: str
    mode_reason: str


def to_values(entry: FusedFrame) -> dict[str, Any]:
    """Return an entry as a line of detections.jsonl."""
    return {
        "stamp_ns": entry.stamp_ns,
        **entry.result.detections.to_lists(),
        "peers": [vars(report) for report in entry.result.peers],
        "request_bytes": dict(entry.result.request_bytes),
        "misbehaviour": [asdict(report) for report in entry.result.misbehaviour],
        "missing": entry.missing,
        "elapsed_ms": entry.elapsed_ms,
        "mode": entry.mode,
        "mode_reason": entry.mode_reason,
    }


def read_fused_frames(path: Path) -> list[FusedFrame]:
    """Read all entries, in the order in which they were fused.

    Raises:
        CosenseError: the file is missing or a line other than the last is broken.
    """
    return [_from_values(values) for values in read_lines(path)]


def _from_values(values: dict[str, Any]) -> FusedFrame:
    peers = [PeerReport(**report) for report in values["peers"]]
    misbehaviour = [MisbehaviourReport(**report) for report in values["misbehaviour"]]
    return FusedFrame(
        values["stamp_ns"],
        FusionResult(Detections.from_lists(values), peers, values["request_bytes"], misbehaviour),
        values["missing"],
        values["elapsed_ms"],
        values["mode"],
        values["mode_reason"],
    )


@dataclass(frozen=True)
class FrameResult:
    """What came out of one frame, and what should have.

    Attributes:
        frame_id: name of the frame, unique within the run.
        detections: boxes in the ego frame.
        ground_truth: objects in the ego frame.
        num_points: (K,) LiDAR points on each ground truth, counted by the agent that has most.
        participants: (K,2) places of the vehicles that take part, the ego and those out of reach among them.
        bytes_per_sender: length of all encoded messages of each collaborator; empty without collaboration.
        elapsed_ms: time between the sensor data of all agents and the detections; NaN where none came.
        labelled: of what the labels say something, in the ego frame.
    """

    frame_id: str
    detections: Detections
    ground_truth: Objects
    num_points: NDArray[np.int64]
    participants: NDArray[np.float64]
    bytes_per_sender: Mapping[str, int]
    elapsed_ms: float
    labelled: LabelledArea = EVERYWHERE

    def __post_init__(self) -> None:
        if len(self.num_points) != len(self.ground_truth):
            raise ValueError(
                f"{counted(len(self.ground_truth), 'object')}, but {len(self.num_points)} numbers of points"
            )


def result_of(
    frame: CooperativeFrame,
    num_points: NDArray[np.int64],
    detections: Detections,
    bytes_per_sender: Mapping[str, int],
    elapsed_ms: float,
) -> FrameResult:
    """Return what came out of a frame, with what the frame says should have."""
    return FrameResult(
        frame_id=frame.frame_id,
        detections=detections,
        ground_truth=frame.ground_truth,
        num_points=num_points,
        participants=as_places(frame.participants.values()),
        bytes_per_sender=bytes_per_sender,
        elapsed_ms=elapsed_ms,
        labelled=frame.labelled,
    )


def frame_record(result: FrameResult) -> dict[str, Any]:
    """Return a frame as a line of frames.jsonl; `frame_result` reads it back without loss."""
    truth = result.ground_truth
    return {
        "frame_id": result.frame_id,
        "detections": result.detections.to_lists(),
        "ground_truth": {
            "boxes": truth.boxes.tolist(),
            "labels": truth.labels.tolist(),
            "ids": truth.ids.tolist(),
            "num_points": result.num_points.tolist(),
        },
        "participants": result.participants.tolist(),
        "labelled": result.labelled.to_lists(),
        "bytes_per_sender": dict(result.bytes_per_sender),
        "elapsed_ms": result.elapsed_ms,
    }


def frame_result(record: Mapping[str, Any]) -> FrameResult:
    """Return the frame that `frame_record` has written."""
    truth = record["ground_truth"]
    return FrameResult(
        frame_id=record["frame_id"],
        detections=Detections.from_lists(record["detections"]),
        ground_truth=Objects(
            as_boxes(truth["boxes"]),
            np.array(truth["labels"], dtype=np.int64),
            np.array(truth["ids"], dtype=np.str_),
        ),
        num_points=np.array(truth["num_points"], dtype=np.int64),
        participants=as_places(record["participants"]),
        bytes_per_sender=record["bytes_per_sender"],
        elapsed_ms=record["elapsed_ms"],
        labelled=LabelledArea.from_lists(record.get("labelled", EVERYWHERE.to_lists())),
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
        earlier = parse_json(path.read_text())
        return {key: value for key, value in earlier.items() if key != "key"}
    except (OSError, ValueError, AttributeError):
        return {}


def _difference(earlier: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """Return in words what is not the same in two descriptions of runs, empty if nothing."""
    if not earlier:
        return f"{RUN} is missing or broken"
    keys = [key for key in {**earlier, **run} if earlier.get(key) != run.get(key)]
    return ", ".join(f"{key} {earlier.get(key)!r} there, {run.get(key)!r} here" for key in keys)
