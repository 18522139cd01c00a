"""A finished live run to look at: the frames that were played beside what came out of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cosense.cooperation.outcome import FusionResult
from cosense.data.dataset import CooperativeFrame, Dataset, kind_of
from cosense.data.provenance import SIMULATED
from cosense.errors import CosenseError
from cosense.evaluation.run_files import read_fused_frames
from cosense.evaluation.runs.live_metrics import entries_by_frame
from cosense.json_lines import read_lines
from cosense.runs.frame_source import frames_of, open_source
from cosense.runs.latency import read_latency
from cosense.runs.processes import RECORDING
from cosense.runs.recorded_messages import messages_of_frames
from cosense.runs.scenario import SCENARIO, Scenario, load_scenario
from cosense.sensing.detections import Detections
from cosense.viewer.pack import ReportFrame


def is_run(path: Path) -> bool:
    """Return whether a folder holds what `cosense run` leaves behind."""
    return (path / SCENARIO).is_file() and (path / "detections.jsonl").is_file()


def pages_of_run(path: Path, first: int, count: int) -> tuple[list[ReportFrame], dict[str, Any]]:
    """Return some frames of a run, and what the report says about all of it.

    Args:
        path: folder of the run.
        first: index of the first frame wanted, in the order in which they were played.
        count: number of frames wanted; the run may have fewer.

    Raises:
        CosenseError: there is no such frame, or the source of the run is not there any more.
    """
    scenario = load_scenario(path / SCENARIO)
    lines = list(read_lines(path / "frames.jsonl"))
    if first >= len(lines):
        raise CosenseError(f"--frame {first}: {path} has frames 0 to {len(lines) - 1}")
    entries = read_fused_frames(path / "detections.jsonl")
    fused = entries_by_frame([line["stamp_ns"] for line in lines], entries)
    wanted = slice(first, first + count)
    names = [line["frame_id"] for line in lines[wanted]]
    dataset = open_source(scenario.source) if scenario.source.data else None
    frames = _played(scenario, dataset, names, path)
    pages = [
        ReportFrame(frame, FusionResult(Detections.empty(), []), messages=messages)
        if entry is None
        else ReportFrame(
            frame,
            entry.result,
            messages=messages,
            mode=f"{entry.mode}: {entry.mode_reason}" if entry.mode_reason else entry.mode,
            elapsed_ms=entry.elapsed_ms,
        )
        for frame, entry, messages in zip(
            frames, fused[wanted], _recorded(scenario, path, frames), strict=True
        )
    ]
    latency = read_latency(path)
    modes = [entry.mode for entry in entries]
    notes: dict[str, Any] = {
        "command": f"cosense view {path}",
        "dataset": dataset.description() if dataset else _simulated(pages),
        "model": scenario.model,
        "fusion": scenario.fusion,
        "budget_bytes": scenario.budget_bytes,
        "live": True,
        "frames": len(lines),
        "frames_fused": len(entries),
        "modes": {mode: modes.count(mode) for mode in dict.fromkeys(modes)},
        "latency_ms_p50_p95": {
            stage: f"{p50:.1f} / {p95:.1f}"
            for stage, (p50, p95) in (latency.percentiles_ms() if latency else {}).items()
        },
    }
    return pages, notes


def _recorded(scenario: Scenario, path: Path, frames: Sequence[CooperativeFrame]) -> list[list[bytes]]:
    """Return the messages of each frame; none where the run was not recorded."""
    recording = path / RECORDING
    if not recording.is_file():
        return [[] for _ in frames]
    skews_ns = {agent.id: round(agent.clock_skew_ms * 1e6) for agent in scenario.agents}
    return messages_of_frames(recording, frames, skews_ns)


def _simulated(pages: Sequence[ReportFrame]) -> dict[str, Any]:
    """Return what is said of frames that the player has simulated."""
    return {"kind": kind_of(page.frame.provenance for page in pages), "label_set": SIMULATED}


def _played(
    scenario: Scenario, dataset: Dataset | None, names: Sequence[str], path: Path
) -> list[CooperativeFrame]:
    """Return the frames with these names, in their order."""
    found: dict[str, CooperativeFrame] = {}
    try:
        for frame in frames_of(scenario.source, scenario.frames, dataset):
            if not isinstance(frame, CosenseError) and frame.frame_id in names:
                found[frame.frame_id] = frame
            if len(found) == len(set(names)):
                return [found[name] for name in names]
    except CosenseError as error:
        raise CosenseError(f"{path / SCENARIO}: source: {error}") from None
    lost = [name for name in names if name not in found]
    raise CosenseError(f"{path}: frame '{lost[0]}' that was played is not in the source any more")
