"""Offline evaluation: every frame of a data set through the same functions and bytes as the live nodes.

What is written is what is counted: the numbers come from the lines of frames.jsonl, read back, so that a run
in one go and one that was stopped and continued give the same.
"""

from __future__ import annotations

import json
import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import cosense
from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.errors import CosenseError, nearest
from cosense.evaluation.metrics import (
    FrameResult,
    FrameScore,
    average_precision_so_far,
    score,
    summarise_scores,
)
from cosense.evaluation.pose_noise import PoseNoise, with_pose_noise
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.records import (
    FRAMES,
    METRICS,
    frame_record,
    frame_result,
    open_run,
    read_records,
    write_json,
)
from cosense.fusion.cooperate import FUSION_KINDS, FusionKind, cooperate
from cosense.geometry.boxes import points_in_boxes, transform_boxes
from cosense.geometry.transforms import invert
from cosense.perception.detector import Detector

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSettings:
    """How the agents work together; the arguments of `evaluate`."""

    fusion: FusionKind
    budget_bytes: int | None
    pose_noise: PoseNoise
    seed: int

    def __post_init__(self) -> None:
        if self.fusion not in FUSION_KINDS:
            raise CosenseError(f"unknown fusion '{self.fusion}', {nearest(self.fusion, FUSION_KINDS)}")
        if self.seed < 0:
            raise CosenseError(f"seed is {self.seed}, expected a whole number of at least 0")
        if self.budget_bytes is not None and self.fusion == "none":
            raise CosenseError(
                f"budget of {self.budget_bytes} bytes, but with fusion 'none' nobody sends anything"
            )


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        protocol: what is counted.
        total: frames that are to be done.
        scores: of the frames done.
        skipped: frames that could not be read, as messages.
        num_messages: of all collaborators so far.
        num_messages_not_used: of these.
    """

    protocol: Protocol
    total: int
    scores: list[FrameScore] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    num_messages: int = 0
    num_messages_not_used: int = 0

    @property
    def done(self) -> int:
        return len(self.scores) + len(self.skipped)

    def average_precision(self) -> tuple[float, float]:
        """Return (IoU threshold, AP so far); sorts all detections, so ask now and then."""
        return average_precision_so_far(self.scores, self.protocol)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a line of frames.jsonl."""
        if "skipped" in record:
            self.skipped.append(record["skipped"])
            return
        self.scores.append(score(frame_result(record), self.protocol))
        self.num_messages += len(record["peers"])
        self.num_messages_not_used += sum(peer["used_for"] == "nothing" for peer in record["peers"])


def evaluate(
    dataset: Dataset,
    detector: Detector,
    protocol: Protocol,
    *,
    fusion: FusionKind,
    out: Path,
    budget_bytes: int | None = None,
    limit: int | None = None,
    command: str = "",
    progress: Callable[[RunState], None] | None = None,
    pose_noise: PoseNoise | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    restart: bool = False,
) -> dict[str, Any]:
    """Evaluate a data set frame by frame; goes on where an earlier call with the same arguments was stopped.

    Args:
        dataset: its frames in their order.
        detector: what all agents run.
        protocol: what is counted.
        fusion: "none", "late" or "early".
        out: folder for frames.jsonl and metrics.json.
        budget_bytes: limit of each message of a collaborator, None for that of the format.
        limit: only the first frames.
        command: with which all this can be repeated, for metrics.json.
        progress: called at the start, when earlier frames are counted, and after each frame.
        pose_noise: error added to every agent's pose; None for none.
        seed: of the pose noise.
        skip_broken: leave out frames that cannot be read, and say so in metrics.json.
        restart: throw away what `out` holds.

    Returns:
        the content of metrics.json; see `run_description` and `summarise_scores`.

    Raises:
        CosenseError: a frame that cannot be read, a folder with another run, or arguments without sense.
    """
    started = time.perf_counter()
    settings = RunSettings(fusion, budget_bytes, pose_noise or PoseNoise(), seed)
    if limit is not None and limit < 1:
        raise CosenseError(f"limit is {limit}, expected at least 1 frame")
    run = run_description(dataset, detector, protocol, settings)
    open_run(out, run, restart=restart)
    state = RunState(protocol, len(dataset) if limit is None else min(limit, len(dataset)))
    _resume(state, dataset, out)
    if progress:
        progress(state)
    with (out / FRAMES).open("a") as stream:
        for index in range(state.done, state.total):
            try:
                frame = dataset[index]
            except CosenseError as error:
                record = _skipped(index, error, skip_broken, out)
            else:
                record = run_frame(frame, detector, settings, sequence=index)
            line = json.dumps(record, allow_nan=False)
            stream.write(line + "\n")
            stream.flush()
            state.add(json.loads(line))
            if progress:
                progress(state)
    if state.num_messages_not_used:
        logger.warning(
            "%d of %d messages were not used; the reasons are in %s",
            state.num_messages_not_used,
            state.num_messages,
            out / FRAMES,
        )
    metrics = {
        "command": command,
        **run,
        "frames": len(state.scores),
        "frames_skipped": len(state.skipped),
        "num_messages": state.num_messages,
        "num_messages_not_used": state.num_messages_not_used,
        **summarise_scores(state.scores, protocol),
        "wall_s": time.perf_counter() - started,
    }
    write_json(out / METRICS, metrics)
    return metrics


def run_description(
    dataset: Dataset, detector: Detector, protocol: Protocol, settings: RunSettings
) -> dict[str, Any]:
    """Return everything that decides what comes out of a run, ready for JSON."""
    return {
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "dataset": {
            "kind": dataset.kind,
            "path": str(dataset.path),
            "split": dataset.split,
            "label_set": dataset.label_set,
            "async_frames": dataset.async_frames,
            "frames": len(dataset),
        },
        "model": detector.name,
        "weights_sha256": detector.weights_sha256,
        "fingerprint": detector.fingerprint.hex(),
        "device": str(detector.device),
        "dtype": str(detector.dtype),
        **asdict(settings),
        "versions": {
            "cosense": cosense.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
        },
    }


def run_frame(
    frame: CooperativeFrame, detector: Detector, settings: RunSettings, sequence: int
) -> dict[str, Any]:
    """Return the record of one frame, the `sequence`-th of the run."""
    agents = [frame.ego, *frame.others]
    if settings.pose_noise != PoseNoise():
        agents = with_pose_noise(agents, settings.pose_noise, settings.seed, sequence)
    started = time.perf_counter()
    fused = cooperate(agents, detector, settings.fusion, sequence, settings.budget_bytes)
    elapsed_ms = (time.perf_counter() - started) * 1000
    result = FrameResult(
        frame_id=frame.frame_id,
        detections=fused.detections,
        ground_truth=frame.ground_truth,
        num_points=most_points_of_one_agent(frame),
        bytes_per_sender=fused.bytes_per_sender,
        elapsed_ms=elapsed_ms,
    )
    return frame_record(result) | {"peers": [asdict(peer) for peer in fused.peers]}


def most_points_of_one_agent(frame: CooperativeFrame) -> NDArray[np.int64]:
    """Return (K,): how many points the agent that sees it best has on each object of the ground truth."""
    most = np.zeros(len(frame.ground_truth), dtype=np.int64)
    for agent_id, agent in frame.agents.items():
        boxes = transform_boxes(invert(frame.T_ego_agent(agent_id)), frame.ground_truth.boxes)
        most = np.maximum(most, points_in_boxes(agent.points, boxes).sum(axis=1))
    return most


def _resume(state: RunState, dataset: Dataset, out: Path) -> None:
    """Count the frames that are already done, after checking that they are those of the data set."""
    last_id = None
    for record in read_records(out / FRAMES):
        if state.done < state.total:
            state.add(record)
            last_id = record.get("frame_id")
    if state.done == 0:
        return
    logger.info("%s holds %d of %d frames, going on from there", out, state.done, state.total)
    if last_id is not None and dataset[state.done - 1].frame_id != last_id:
        raise CosenseError(
            f"{out / FRAMES}: line {state.done} is frame '{last_id}', the data set has another one there: "
            f"{dataset.path} has changed since; start over with --restart"
        )


def _skipped(index: int, error: CosenseError, skip_broken: bool, out: Path) -> dict[str, Any]:
    """Return the record of a frame that cannot be read, or stop the run there."""
    if not skip_broken:
        raise CosenseError(
            f"{error}; {index} frames are kept in {out}: the same command goes on from there, "
            "--skip-broken leaves such frames out"
        ) from None
    logger.warning("frame %d is left out: %s", index, error)
    return {"skipped": str(error)}
