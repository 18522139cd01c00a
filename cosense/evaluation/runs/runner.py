"""Offline evaluation: every frame of a data set, with the same functions and bytes as in the live nodes.

What is written is what is counted: the numbers come from the records of frames.jsonl, so that a run in one go
and one that was stopped and continued give the same. Where agents remember earlier frames, a run that is
continued first shows them the earlier frames of the sequence again in which it was stopped.
"""

from __future__ import annotations

import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

import cosense
from cosense.cooperation.kinds import (
    FEATURE_KINDS,
    FUSION_KINDS,
    FusionKind,
    check_fusion,
    check_registration,
    sent_kind,
)
from cosense.cooperation.offline import Cooperation, Exchange
from cosense.cooperation.radio import RadioSettings
from cosense.cooperation.sender import check_budget
from cosense.data.dataset import NO_LABELS, CooperativeFrame, Dataset
from cosense.errors import CosenseError, counted, nearest
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import (
    FrameScore,
    average_precision_so_far,
    score,
    summarise_scores,
)
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.run_files import (
    FRAMES,
    METRICS,
    frame_record,
    frame_result,
    open_run,
    result_of,
    write_json,
)
from cosense.evaluation.runs.pose_noise import BelievedPoses, PoseErrorName, PoseNoise
from cosense.evaluation.runs.sequences import SequenceCooperation, readable, sequence_start
from cosense.json_lines import LineWriter, read_lines
from cosense.messages.envelope import PayloadKind
from cosense.messages.reports import UsedFor
from cosense.methods.model import Model
from cosense.methods.selection.base import find_selection
from cosense.scene_graph.registrations import payload_kind
from cosense.trust.base import find_checks

logger = logging.getLogger(__name__)

# Shown the number of a frame, the frame, what came out, and the milliseconds that it took.
Watch = Callable[[int, CooperativeFrame, Exchange, float], None]


@dataclass(frozen=True)
class RunSettings:
    """How the agents work together; the arguments of `evaluate`."""

    fusion: FusionKind
    budget_bytes: int | None
    pose_noise: PoseNoise
    seed: int
    selection: str | None = None
    registration: str = "none"
    trust: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.fusion not in FUSION_KINDS:
            raise CosenseError(f"unknown fusion '{self.fusion}', {nearest(self.fusion, FUSION_KINDS)}")
        if self.seed < 0:
            raise CosenseError(f"seed is {self.seed}, expected a whole number of at least 0")
        if self.budget_bytes is not None and self.fusion == "none":
            raise CosenseError(
                f"budget of {self.budget_bytes} bytes, but with fusion 'none' nobody sends anything"
            )
        if self.pose_noise.preset is not None and self.fusion == "none":
            raise CosenseError(
                f"pose error '{self.pose_noise.preset}', but with fusion 'none' no pose is used; leave it out"
            )
        check_registration(self.registration, self.fusion)
        find_checks(self.trust)
        if self.selection is None:
            return
        find_selection(self.selection)
        if self.fusion not in FEATURE_KINDS:
            raise CosenseError(
                f"selection '{self.selection}', but with fusion '{self.fusion}' nobody sends features; "
                f"leave it out or choose {' or '.join(FEATURE_KINDS)}"
            )

    def start(self, model: Model, *, explains: bool = False) -> Cooperation:
        """Return agents who remember nothing; `explains` as of `Cooperation`."""
        delay_ms = self.pose_noise.delay_ms
        return Cooperation(
            model,
            self.fusion,
            budget_bytes=self.budget_bytes,
            selection=self.selection,
            registration=self.registration,
            trust=self.trust,
            radio=RadioSettings(delay_ms=delay_ms) if delay_ms else None,
            explains=explains,
        )


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        protocol: what is counted.
        total: number of frames to be done.
        scores: what is kept of the frames that are done.
        skipped: errors of the frames that could not be read.
        pose_kind: kind of the messages that correct poses and do no more, None where there are none.
        num_messages, num_messages_not_used: numbers of messages, without those of `pose_kind`, which may
            well say nothing.
        messages_used_for: number of messages of all kinds, by contribution.
    """

    protocol: Protocol
    total: int
    pose_kind: str | None = None
    scores: list[FrameScore] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    num_messages: int = 0
    num_messages_not_used: int = 0
    messages_used_for: Counter[UsedFor] = field(
        default_factory=lambda: Counter(dict.fromkeys(get_args(UsedFor), 0))
    )

    @property
    def done(self) -> int:
        return len(self.scores) + len(self.skipped)

    def average_precision(self) -> tuple[float, float]:
        """Return IoU threshold and AP so far; sorts all detections, so do not ask for each frame."""
        return average_precision_so_far(self.scores, self.protocol)

    def counts(self) -> dict[str, Any]:
        """Return the numbers of frames and messages, ready for JSON."""
        return {
            "frames": len(self.scores),
            "frames_skipped": len(self.skipped),
            "num_messages": self.num_messages,
            "num_messages_not_used": self.num_messages_not_used,
            "messages_used_for": dict(self.messages_used_for),
        }

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a line of frames.jsonl."""
        if "skipped" in record:
            self.skipped.append(record["skipped"])
            return
        self.scores.append(score(frame_result(record), self.protocol))
        self.messages_used_for.update(peer["used_for"] for peer in record["peers"])
        fused = [peer["used_for"] for peer in record["peers"] if peer["kind"] != self.pose_kind]
        self.num_messages += len(fused)
        self.num_messages_not_used += fused.count("nothing")


def evaluate(
    dataset: Dataset,
    model: Model,
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
    selection: str | None = None,
    registration: str = "none",
    trust: Sequence[str] = (),
    skip_broken: bool = False,
    restart: bool = False,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Evaluate a data set frame by frame, continuing an earlier call with the same arguments.

    Args:
        dataset: its frames in their order.
        model: what all agents run.
        protocol: what is counted.
        fusion: how the agents work together, see `Cooperation`.
        out: folder for run.json, frames.jsonl and metrics.json.
        budget_bytes: limit of what a collaborator sends in a frame, None for those of the formats.
        limit: number of frames to evaluate, the first ones; None for all.
        command: command line that repeats the run, for metrics.json.
        progress: function that is called when earlier frames are counted, and after each frame.
        pose_noise: error of the poses, see `PoseNoise`; None for none.
        seed: seed of the pose noise.
        selection: rule by which cells are chosen; None for that of the model's method.
        registration: how the others' poses are corrected, see `Cooperation`.
        trust: names of the checks that a message has to pass.
        skip_broken: whether to leave out frames that cannot be read, and say so in metrics.json.
        restart: whether to throw away what `out` holds.
        watch: function that is shown each frame that is computed.

    Returns:
        the content of metrics.json; see `run_description` and `summarise_scores`.

    Raises:
        CosenseError: a frame cannot be read, the folder holds another run, or the arguments make no sense.
    """
    started = time.perf_counter()
    noise = pose_noise or PoseNoise()
    settings = RunSettings(fusion, budget_bytes, noise, seed, selection, registration, tuple(trust))
    if limit is not None and limit < 1:
        raise CosenseError(f"limit is {limit}, expected at least 1 frame")
    check_labels(dataset)
    check_fusion(fusion, model)
    check_pose_error(dataset, noise.preset)
    check_first_budgets(dataset, [(sent_kind(fusion, model), budget_bytes)])
    run = run_description(dataset, model, protocol, settings)
    open_run(out, run, restart=restart)
    pose_kind = None if registration == "none" else payload_kind(registration).name
    state = RunState(protocol, min(limit or len(dataset), len(dataset)), pose_kind)
    _resume(state, dataset, out)
    if progress:
        progress(state)
    agents = SequenceCooperation(lambda: settings.start(model))
    poses = BelievedPoses(noise, seed)
    if (fusion in FEATURE_KINDS or registration != "none" or noise.preset) and 0 < state.done < state.total:
        _catch_up(agents, poses, dataset, state.done)
    with closing(LineWriter(out / FRAMES)) as lines:
        for index in range(state.done, state.total):
            try:
                frame = dataset[index]
            except CosenseError as error:
                record = _skipped(index, error, skip_broken, out)
            else:
                record = run_frame(frame, agents, poses, sequence=index, watch=watch)
            lines.write(record)
            state.add(record)
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
        **state.counts(),
        **summarise_scores(state.scores, protocol),
        "wall_s": time.perf_counter() - started,
    }
    write_json(out / METRICS, metrics)
    return metrics


def run_description(
    dataset: Dataset, model: Model, protocol: Protocol, settings: RunSettings
) -> dict[str, Any]:
    """Return everything that decides about the results of a run, ready for JSON."""
    return {
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "dataset": dataset.description(),
        "model": model.name,
        "weights_sha256": model.detector.weights_sha256,
        "fingerprint": model.detector.fingerprint.hex(),
        "device": str(model.detector.device),
        "dtype": str(model.detector.dtype),
        **asdict(settings),
        "trust": list(settings.trust),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the software that computes the numbers."""
    return {
        "cosense": cosense.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def run_frame(
    frame: CooperativeFrame,
    cooperation: SequenceCooperation,
    poses: BelievedPoses,
    sequence: int,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Return the record of one frame, the `sequence`-th of the run."""
    agents = poses.of(frame, sequence)
    started = time.perf_counter()
    exchange = cooperation.step(frame, agents, sequence)
    elapsed_ms = (time.perf_counter() - started) * 1000
    if watch is not None:
        watch(sequence, frame, exchange, elapsed_ms)
    result = result_of(
        frame,
        most_points_of_one_agent(frame),
        exchange.result.detections,
        exchange.bytes_per_sender,
        elapsed_ms,
    )
    return frame_record(result) | {
        "sequence": frame.sequence,
        "T_world_ego": frame.ego.T_world_agent.tolist(),
        "peers": [asdict(peer) for peer in exchange.result.peers],
    }


def check_labels(dataset: Dataset) -> None:
    """Refuse a data set without ground truth.

    Raises:
        CosenseError: it has none; the error says where it could come from.
    """
    if dataset.label_set == NO_LABELS:
        raise CosenseError(
            f"{dataset.path}: has no ground truth to compare with: {dataset.without_labels}; `cosense view` "
            "and `cosense replay` need none"
        )


def check_pose_error(dataset: Dataset, name: PoseErrorName | None) -> None:
    """Refuse an error of poses between agents where there is one agent.

    Raises:
        CosenseError: it names the error.
    """
    if name is not None and len(dataset.agents) < 2:
        raise CosenseError(
            f"{dataset.path}: pose error '{name}' is between agents, and there is one; leave it out, or "
            "take two frames of a drive with poses as two agents (--pair-gap)"
        )


def check_first_budgets(dataset: Dataset, runs: Iterable[tuple[PayloadKind | None, int | None]]) -> None:
    """Refuse what no message of the first frame fits, before anything is computed or written.

    Args:
        dataset: data set; the agents of its first frame send.
        runs: kinds of message that are sent, with the limit of each in bytes.

    Raises:
        CosenseError: a budget that does not hold an empty message.
    """
    first = readable(dataset, 0)
    senders = [] if first is None else [agent.agent_id for agent in first.others]
    for sender, (kind, budget_bytes) in product(senders, runs):
        check_budget(sender, kind, budget_bytes)


def _resume(state: RunState, dataset: Dataset, out: Path) -> None:
    """Count the frames that are already done, and check that they are those of the data set."""
    last_id = None
    for record in read_lines(out / FRAMES):
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


def _catch_up(cooperation: SequenceCooperation, poses: BelievedPoses, dataset: Dataset, index: int) -> None:
    """Let the agents see the earlier frames of the sequence that frame `index` belongs to, uncounted."""
    for earlier in range(sequence_start(dataset, index), index):
        frame = readable(dataset, earlier)
        if frame is not None:
            cooperation.step(frame, poses.of(frame, earlier), earlier)


def _skipped(index: int, error: CosenseError, skip_broken: bool, out: Path) -> dict[str, Any]:
    """Return the record of a frame that cannot be read, or stop the run there."""
    if not skip_broken:
        raise CosenseError(
            f"{error}; {out} keeps {counted(index, 'frame')}: the same command goes on from there, "
            "--skip-broken leaves such frames out"
        ) from None
    logger.warning("frame %d is left out: %s", index, error)
    return {"skipped": str(error)}
