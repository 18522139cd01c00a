"""`cosense view`: draws pictures and a report of any data set or live run, with boxes if a model is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cosense.cli.options import Fusion, Labels, Split
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.cooperation.kinds import FusionKind
    from cosense.data.dataset import CooperativeFrame
    from cosense.evaluation.runs.sequences import SequenceCooperation
    from cosense.viewer.pack import ReportFrame


def command(
    path: Annotated[Path, typer.Argument(help="Data set, or the folder of a live run.", show_default=False)],
    frame: Annotated[
        int, typer.Option(min=0, help="Frame of the picture, and first frame of the report.")
    ] = 0,
    frames: Annotated[int, typer.Option(min=1, help="Largest number of frames in the report.")] = 20,
    model: Annotated[
        str | None, typer.Option(help="Model that finds boxes.", show_default="clouds and ground truth only")
    ] = None,
    fusion: Fusion = None,
    split: Split = None,
    labels: Labels = None,
    out: Annotated[Path, typer.Option(help="Folder for bev.png and report.html.")] = Path("results/view"),
) -> None:
    """Draw frames from above: clouds, ground truth, detections, and the area that no agent sees.

    With fusion, comparison.png also shows what the ego finds alone. For a folder that `cosense run` has
    written, the detections are those of the live run.

    Example: cosense view path/to/DAIR-V2X-C --frame 120 --model pillars-lite
    """
    from rich.console import Console
    from rich.progress import track

    from cosense.cooperation.kinds import check_fusion, default_fusion
    from cosense.cooperation.offline import Cooperation, cooperate
    from cosense.data import open_dataset
    from cosense.evaluation.runs.sequences import SequenceCooperation
    from cosense.methods.model import load_model
    from cosense.runs.finished import is_run
    from cosense.viewer.bev import draw_bev, draw_comparison
    from cosense.viewer.html_report import write_report

    console = Console()
    if is_run(path):
        _view_run(path, frame, frames, out, console)
        return
    dataset = open_dataset(path, split=split, labels=labels)
    if frame >= len(dataset):
        raise CosenseError(f"--frame {frame}: {path} has frames 0 to {len(dataset) - 1}")
    loaded = load_model(model) if model else None
    cooperation, kind = None, ""
    if loaded is not None:
        kind = fusion or default_fusion(loaded)
        check_fusion(kind, loaded)
        cooperation = SequenceCooperation(partial(Cooperation, loaded, cast("FusionKind", kind)))
    wanted = range(frame, min(frame + frames, len(dataset)))
    pages = [
        _page(dataset[index], cooperation, index)
        for index in track(wanted, description="frames", console=console, transient=True)
    ]
    first = pages[0]
    title = f"{path.resolve().name}, {first.frame.frame_id}"
    written = [out / "bev.png", out / "report.html"]
    draw_bev(first.frame, first.detections, written[0], title=title)
    if loaded is not None and first.peers:
        written.append(out / "comparison.png")
        panels = {
            "Ego alone": cooperate([first.frame.ego], loaded, "none", sequence=frame).detections,
            f"With {kind} fusion": first.detections,
        }
        draw_comparison(first.frame, panels, written[-1], notes=["", f"{_received_bytes(first):,} bytes"])
    metrics: dict[str, object] = {
        "dataset": {
            "kind": dataset.kind,
            "path": str(dataset.path),
            "split": dataset.split,
            "label_set": dataset.label_set,
        },
        "frames": len(pages),
    }
    if loaded is not None:
        weights = loaded.detector.weights_sha256
        metrics |= {"model": loaded.name, "weights_sha256": weights, "fusion": kind}
    write_report(written[1], pages, metrics)
    for name in written:
        console.print(str(name), soft_wrap=True, markup=False)


def _view_run(path: Path, frame: int, frames: int, out: Path, console: Console) -> None:
    """Draw a live run."""
    from cosense.runs.finished import pages_of_run
    from cosense.viewer.bev import draw_bev
    from cosense.viewer.html_report import write_report

    pages, notes = pages_of_run(path, frame, frames)
    first = pages[0]
    title = f"{path.resolve().name}, {first.frame.frame_id}"
    draw_bev(first.frame, first.detections, out / "bev.png", title=title)
    write_report(out / "report.html", pages, notes)
    for name in ("bev.png", "report.html"):
        console.print(str(out / name), soft_wrap=True, markup=False)


def _page(frame: CooperativeFrame, cooperation: SequenceCooperation | None, index: int) -> ReportFrame:
    from cosense.sensing.detections import Detections
    from cosense.viewer.pack import ReportFrame

    if cooperation is None:
        return ReportFrame(frame, Detections.empty())
    result = cooperation.step(frame, list(frame.agents.values()), index).result
    return ReportFrame(frame, result.detections, result.peers)


def _received_bytes(page: ReportFrame) -> int:
    return sum(peer.bytes for peer in page.peers)
