"""`cosense demo`: runs the whole stack on one sequence, from sensors to a picture."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.errors import counted

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.cooperation.kinds import FusionKind
    from cosense.data.dataset import Dataset
    from cosense.evaluation.run_files import FusedFrame
    from cosense.evaluation.runs.pose_noise import PoseErrorName
    from cosense.runs.scenario import Scenario

# Budget of each message: less than a hundredth of the size of the points.
_BUDGET_BYTES = 2000
# No shipped network was trained on this family. The seed is that of the scenario v2i, whatever comes out.
_FAMILY, _SEED = "t_junction", 700_013
# How far off the roadside unit is in the simulated scene; a data set that is named has its own errors.
_POSE_ERROR: PoseErrorName = "dair"
_CAPTIONS = {"none": "Ego alone", "late": "Boxes", "intermediate": "Features", "hybrid": "Features and boxes"}


def command(
    data: Annotated[
        Path | None,
        typer.Option(help="Data set to run on.", show_default="a T-junction that is simulated"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for all results.")] = Path("results/demo"),
    model: Annotated[str, typer.Option(help="Model that every agent runs.")] = "cosense-lite",
    frames: Annotated[int, typer.Option(min=1, help="Number of frames to play, at most.")] = 20,
) -> None:
    """Show what cooperation gains: run all agents as ROS 2 processes, fuse, evaluate and draw.

    In the simulated scene the pose of the roadside unit is off as measured on DAIR-V2X, and no message says
    so: alone, boxes, features, and features with poses corrected by scene graphs are compared. The poses of
    --data are taken as they are.

    Writes metrics.json, bev.png, report.html and run.mcap to --out.

    Example: cosense demo --data results/demo/sequence --frames 10
    """
    from rich.console import Console

    from cosense.cooperation.kinds import fusion_for
    from cosense.data import open_dataset
    from cosense.evaluation.run_files import read_fused_frames
    from cosense.evaluation.tables import comparison_view, print_whole
    from cosense.runs.frame_source import FrameSource
    from cosense.runs.live_run import run_scenario, what_is_fused
    from cosense.runs.scenario import Scenario

    console = Console()
    # A model that does not exist is refused before anything is simulated.
    fusion = fusion_for(model)
    pose_error = _POSE_ERROR if data is None else None
    if data is None:
        data = _simulated(out / "sequence", frames, console)
    dataset = open_dataset(data)
    frames = min(frames, len(dataset))
    console.rule(f"Every agent as a ROS 2 process: {fusion} fusion, poses corrected by scene graphs")
    scenario = Scenario(
        FrameSource(data=data),
        model=model,
        fusion=fusion,
        budget_bytes=_BUDGET_BYTES,
        frames=frames,
        pose_error=pose_error,
        record=True,
    )
    with stoppable(console, lambda: what_is_fused(out)):
        failures = run_scenario(scenario, out, console)
    if failures:
        raise typer.Exit(1)
    entries = read_fused_frames(out / "detections.jsonl")
    alternatives: tuple[FusionKind, ...] = tuple(dict.fromkeys(("none", "late", fusion)))
    console.rule(f"{', '.join(alternatives)} offline; with registration as the live run above gave it")
    metrics = _evaluate(dataset, entries, scenario, alternatives, out, console)
    if pose_error:
        console.print("Simulated; the pose of the roadside unit is off as measured on DAIR-V2X, unannounced.")
    print_whole(console, comparison_view(metrics))
    _draw(dataset, entries, metrics, frames, out)
    for name in ("bev.png", "report.html", "metrics.json", "run.mcap"):
        console.print(f"{out / name}", soft_wrap=True, markup=False)


def _simulated(folder: Path, frames: int, console: Console) -> Path:
    """Simulate the sequence of the demonstration into its folder, anew, and return the folder."""
    from cosense.data.provenance import FILE_NAME
    from cosense.simulation import simulate
    from cosense.simulation.dair_v2x_writer import write_dair_v2x

    console.rule(f"Simulating {counted(frames, 'frame')} of a T-junction")
    # Only an earlier simulation is replaced; the writer refuses any other folder that is not empty.
    if (folder / FILE_NAME).is_file():
        shutil.rmtree(folder)
    write_dair_v2x(simulate(_FAMILY, _SEED, frames), folder)
    return folder


def _evaluate(
    dataset: Dataset,
    entries: list[FusedFrame],
    scenario: Scenario,
    alternatives: tuple[FusionKind, ...],
    out: Path,
    console: Console,
) -> list[dict[str, Any]]:
    """Return the offline metrics of the alternatives and, last, those of the live run; write the latter."""
    from cosense.cli.evaluate import default_protocol
    from cosense.evaluation.protocol import load_protocol
    from cosense.evaluation.run_files import METRICS, write_json
    from cosense.evaluation.runs.live_metrics import evaluate_live
    from cosense.evaluation.runs.pose_noise import PoseNoise
    from cosense.evaluation.runs.runner import evaluate
    from cosense.methods.model import load_model
    from cosense.progress import ProgressDisplay

    assert scenario.fusion is not None
    assert scenario.frames is not None
    frames = scenario.frames
    model = load_model(scenario.model)
    protocol = load_protocol(default_protocol(dataset.label_set))
    invocation = shlex.join(["cosense", *sys.argv[1:]])
    live = evaluate_live(
        dataset,
        entries,
        model,
        protocol,
        frames=frames,
        command=invocation,
        fusion=scenario.fusion,
        budget_bytes=scenario.budget_bytes,
        registration=scenario.registration,
        pose_error=scenario.pose_error,
    )
    with ProgressDisplay(console) as progress:

        def offline(fusion: FusionKind) -> dict[str, Any]:
            task = progress.add_task(f"frames, fusion {fusion}", total=frames)
            return evaluate(
                dataset,
                model,
                protocol,
                fusion=fusion,
                out=out / "offline" / fusion,
                budget_bytes=None if fusion == "none" else scenario.budget_bytes,
                limit=frames,
                pose_noise=PoseNoise() if fusion == "none" else PoseNoise.named(scenario.pose_error),
                command=invocation,
                progress=lambda state: progress.update(task, completed=state.done),
                restart=True,
            )

        metrics = [offline(fusion) for fusion in alternatives]
    write_json(out / METRICS, live)
    return [*metrics, live]


def _draw(
    dataset: Dataset,
    entries: list[FusedFrame],
    metrics: list[dict[str, Any]],
    frames: int,
    out: Path,
) -> None:
    """Draw the last frame in all ways of cooperating, and the report of all frames."""
    from cosense.cli.evaluate import default_protocol
    from cosense.cooperation.outcome import FusionResult
    from cosense.evaluation.protocol import load_protocol
    from cosense.evaluation.run_files import FRAMES, frame_result
    from cosense.evaluation.runs.live_metrics import entries_by_frame
    from cosense.json_lines import read_lines
    from cosense.sensing.detections import Detections
    from cosense.viewer.bev import draw_comparison
    from cosense.viewer.html_report import write_report
    from cosense.viewer.pack import ReportFrame

    *offline, live = metrics
    found = {
        run["fusion"]: {
            result.frame_id: result.detections
            for result in map(frame_result, read_lines(out / "offline" / run["fusion"] / FRAMES))
        }
        for run in offline
    }
    protocol = load_protocol(default_protocol(dataset.label_set))
    played = [dataset[index] for index in range(frames)]
    fused = entries_by_frame([frame.ego.stamp_ns for frame in played], entries)
    pages = [
        ReportFrame(
            frame,
            entry.result if entry else FusionResult(Detections.empty(), []),
            found["none"][frame.frame_id],
        )
        for frame, entry in zip(played, fused, strict=True)
    ]
    last = pages[-1]
    assert last.result is not None
    panels = {_CAPTIONS[name]: detections[last.frame.frame_id] for name, detections in found.items()}
    panels[f"{_CAPTIONS[live['fusion']]}, poses registered"] = last.result.detections
    notes = [f"AP@0.5 {100 * (run['ap']['0.5'] or 0):.1f}" for run in metrics]
    for index, run in enumerate(metrics):
        if run["fusion"] != "none":
            notes[index] += f"   ·   {(run['bytes_per_frame']['mean'] or 0) / 1000:.2f} kB a frame"
    title = "the unit's pose is off as on DAIR-V2X, unannounced" if live["pose_noise"]["preset"] else ""
    draw_comparison(last.frame, panels, out / "bev.png", protocol, title=title, notes=notes)
    write_report(out / "report.html", pages, live, protocol, runs=metrics)
