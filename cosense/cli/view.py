"""`cosense view`: any data set or live run as pictures, a report, a window or a recording."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cosense.cli.options import (
    Budget,
    Columns,
    Fusion,
    Labels,
    PairGap,
    ProtocolName,
    Region,
    Split,
    takes_bag_options,
)
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from cosense.cooperation.kinds import FusionKind
    from cosense.data.bag import BagOptions
    from cosense.data.dataset import Dataset
    from cosense.evaluation.protocol import Protocol
    from cosense.evaluation.runs.runner import RunSettings
    from cosense.methods.model import Model
    from cosense.viewer.pack import ReportFrame

# Frames before the first one shown, so that agents remember what the ego asked for and how things move.
_WARM_UP = 3
# Largest size of an image in cameras.jpg.
_PICTURE = (640, 480)


@takes_bag_options
def command(
    *,
    path: Annotated[Path, typer.Argument(help="Data set, or the folder of a live run.", show_default=False)],
    frame: Annotated[
        int, typer.Option(min=0, help="Frame of the picture, and first frame of the report.")
    ] = 0,
    frames: Annotated[int, typer.Option(min=1, help="Largest number of frames in the report.")] = 20,
    model: Annotated[
        str | None, typer.Option(help="Model that finds boxes.", show_default="clouds and ground truth only")
    ] = None,
    fusion: Fusion = None,
    budget: Budget = None,
    protocol: ProtocolName = None,
    split: Split = None,
    labels: Labels = None,
    columns: Columns = "",
    region: Region = "",
    pair_gap: PairGap = "",
    registration: Annotated[
        str | None,
        typer.Option(
            help="How the others' poses are corrected before fusing, as for evaluate: with scene_graph "
            "graphs are sent, and seen in 3D.",
            show_default="scene_graph, where poses can be corrected",
        ),
    ] = None,
    in_space: Annotated[
        bool,
        typer.Option(
            "--3d",
            help="Show the frame in three dimensions, in a window (Open3D); with --out FILE.png as a "
            "picture, which needs neither Open3D nor a display.",
        ),
    ] = False,
    rerun: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.rrd",
            help="Write the frames as a recording for Rerun's viewer, or stream them to one that is open "
            "(rerun+http://...).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for bev.png and report.html; with --3d a picture.")
    ] = Path("results/view"),
    bag_options: BagOptions,
) -> None:
    """Draw frames from above: clouds, ground truth, detections, and the area that no agent sees.

    Where there are images, cameras.jpg and the report show them with the boxes drawn in. With a model,
    comparison.png and the report also show what the ego finds alone; where features are sent, maps.jpg and
    the report show why: score, difference, what the ego wants, what was sent. For a folder that
    `cosense run` has written, the detections are those of the live run.

    With --3d and --rerun: clouds by agent, boxes by source, scene graphs, the cells that were sent and asked
    for, camera images.

    Example: cosense view results/demo/sequence --frame 5 --model cosense-lite --budget 2000
    """
    from rich.console import Console

    from cosense.runs.finished import is_run

    console = Console()
    given = {
        "--model": model,
        "--fusion": fusion,
        "--budget": budget,
        "--split": split,
        "--labels": labels,
        "--columns": columns or None,
        "--region": region or None,
        "--pair-gap": pair_gap or None,
        "--registration": registration,
    }
    solid = in_space or rerun is not None
    if is_run(path):
        for option, value in given.items():
            if value is not None:
                raise CosenseError(
                    f"{option} {value}: the scenario of the live run {path} decides, leave it out"
                )
        run = _run(path, frame, frames, protocol, console, alone=not solid)
        if solid:
            _show(*run[:2], frame, title=path.resolve().name, out=out, rerun=rerun, console=console)
        else:
            _write(*run, title=path.resolve().name, out=out, console=console)
        return
    for option in ("--fusion", "--budget", "--registration"):
        if model is None and given[option] is not None:
            raise CosenseError(
                f"{option} {given[option]}: without --model nobody looks for boxes, as --model cosense-lite"
            )
    from cosense.cooperation.kinds import default_fusion, default_registration
    from cosense.data import open_dataset
    from cosense.evaluation.runs.pose_noise import PoseNoise
    from cosense.evaluation.runs.runner import RunSettings, run_description
    from cosense.methods.model import load_model
    from cosense.progress import tracked
    from cosense.viewer.pack import ReportFrame

    dataset = open_dataset(
        path,
        split=split,
        labels=labels,
        cameras=True,
        bag=bag_options,
        columns=columns,
        region=region,
        pair_gap=pair_gap,
    )
    if frame >= len(dataset):
        raise CosenseError(f"--frame {frame}: {path} has frames 0 to {len(dataset) - 1}")
    counting = _protocol(protocol, dataset.label_set)
    wanted = range(frame, min(frame + (1 if in_space else frames), len(dataset)))
    facts: dict[str, Any]
    if model is None:
        facts = {"dataset": dataset.description(), "protocol": counting.name, "protocol_hash": counting.hash}
        with tracked(wanted, len(wanted), "frames", console) as indices:
            pages = [ReportFrame(dataset[index]) for index in indices]
    else:
        loaded = load_model(model)
        kind = cast("FusionKind", fusion or default_fusion(loaded))
        settings = RunSettings(
            kind, budget, PoseNoise(), 0, registration=registration or default_registration(kind)
        )
        pages = _detected(dataset, wanted, loaded, settings, console, alone=not solid)
        facts = {**run_description(dataset, loaded, counting, settings), "model": model}
    if solid:
        _show(pages, facts, frame, title=path.resolve().name, out=out, rerun=rerun, console=console)
        return
    facts = {
        "command": shlex.join(["cosense", *sys.argv[1:]]),
        **facts,
        "frames": f"{len(pages)} of {len(dataset)}, from frame {frame} on",
    }
    _write(pages, facts, counting, title=path.resolve().name, out=out, console=console)


def _detected(
    dataset: Dataset, wanted: range, model: Model, settings: RunSettings, console: Console, *, alone: bool
) -> list[ReportFrame]:
    """Return frames with what the ego finds together, as `evaluate` finds it, and alone if that is asked for.

    Agents remember the frames before the first that is wanted: what the ego asked for, how boxes move.
    """
    import time

    from cosense.cooperation.kinds import check_fusion, sent_kind
    from cosense.cooperation.outcome import mode_of
    from cosense.evaluation.runs.runner import check_first_budgets
    from cosense.evaluation.runs.sequences import SequenceCooperation, readable
    from cosense.progress import tracked
    from cosense.viewer.pack import ReportFrame

    check_fusion(settings.fusion, model)
    check_first_budgets(dataset, [(sent_kind(settings.fusion, model), settings.budget_bytes)])
    together = SequenceCooperation(lambda: settings.start(model, explains=True))
    for index in range(max(0, wanted.start - _WARM_UP), wanted.start):
        earlier = readable(dataset, index)
        if earlier is not None:
            together.step(earlier, [earlier.ego, *earlier.others], index)
    pages = []
    with tracked(wanted, len(wanted), "frames", console) as indices:
        for index in indices:
            frame = dataset[index]
            started = time.perf_counter()
            exchange = together.step(frame, [frame.ego, *frame.others], index)
            pages.append(
                ReportFrame(
                    frame,
                    exchange.result,
                    messages=exchange.messages,
                    maps=exchange.maps,
                    mode=str(mode_of(settings.fusion, exchange.result.peers, [], [])),
                    elapsed_ms=(time.perf_counter() - started) * 1000,
                )
            )
    return _with_ego_alone(pages, model) if alone and settings.fusion != "none" else pages


def _show(
    pages: Sequence[ReportFrame],
    facts: Mapping[str, Any],
    first: int,
    *,
    title: str,
    out: Path,
    rerun: str | None,
    console: Console,
) -> None:
    """Show the first frame in three dimensions, or record all for Rerun."""
    from cosense.methods.model import load_model
    from cosense.viewer.in_space.contents import contents_of
    from cosense.viewer.in_space.picture import draw_in_space

    model = load_model(facts["model"]) if "model" in facts else None
    if rerun is not None:
        from cosense.viewer.rerun_log import RerunLog

        with RerunLog(rerun, title, model) as log:
            for index, page in enumerate(pages, first):
                log.add(index, page)
        console.print(rerun, soft_wrap=True, markup=False)
        return
    title = f"{facts['dataset']['kind']}: {title}, {pages[0].frame.frame_id}"
    contents = contents_of(pages[0], model)
    if out.suffix == ".png":
        draw_in_space(contents, out, title=title)
        console.print(str(out), soft_wrap=True, markup=False)
        return
    from cosense.viewer.in_space.window import show

    show(contents, title)


def _with_ego_alone(pages: Sequence[ReportFrame], model: Model) -> list[ReportFrame]:
    """Return the pages with what the ego finds without the others, where there are others."""
    from cosense.cooperation.offline import cooperate

    return [
        replace(page, alone=cooperate([page.frame.ego], model, "none").detections)
        if page.frame.others
        else page
        for page in pages
    ]


def _run(
    path: Path, frame: int, frames: int, protocol: str | None, console: Console, *, alone: bool
) -> tuple[list[ReportFrame], dict[str, Any], Protocol]:
    """Return frames of a live run, what is said about it, and what counts."""
    from cosense.methods.model import load_model
    from cosense.runs.finished import pages_of_run

    pages, facts = pages_of_run(path, frame, frames)
    counting = _protocol(protocol, facts["dataset"]["label_set"])
    try:
        if alone:
            pages = _with_ego_alone(pages, load_model(facts["model"]))
    except CosenseError as error:
        console.print(f"The ego alone is not shown: {error}", markup=False, soft_wrap=True)
    return pages, {**facts, "protocol": counting.name, "protocol_hash": counting.hash}, counting


def _write(
    pages: Sequence[ReportFrame],
    facts: Mapping[str, Any],
    protocol: Protocol,
    *,
    title: str,
    out: Path,
    console: Console,
) -> None:
    """Draw the first frame, write the report of all, and print which files there are now."""
    from cosense.sensing.detections import Detections
    from cosense.viewer.annotations import MIN_SCORE
    from cosense.viewer.bev import draw_bev, draw_comparison
    from cosense.viewer.html_report import write_report
    from cosense.viewer.image_boxes import pictures_of, write_pictures
    from cosense.viewer.sharing_maps import sharing_pictures

    first = pages[0]
    together = first.result.detections if first.result else Detections.empty()
    title = f"{title}, {first.frame.frame_id}"
    written = [out / "bev.png", out / "report.html"]
    draw_bev(first.frame, together, written[0], title=title)
    if first.result and first.alone is not None:
        written.append(out / "comparison.png")
        sent = sum(first.result.bytes_per_sender.values())
        panels = {"Ego alone": first.alone, "Together": together}
        draw_comparison(
            first.frame, panels, written[-1], protocol, title=title, notes=["", f"{sent:,} bytes"]
        )
    cameras = pictures_of(first.frame, together[together.scores >= MIN_SCORE], _PICTURE)
    for name, pictures in (("cameras.jpg", cameras), ("maps.jpg", sharing_pictures(first.maps))):
        if pictures:
            written.append(out / name)
            write_pictures(written[-1], pictures)
    write_report(written[1], pages, facts, protocol)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False)


def _protocol(name: str | None, label_set: str) -> Protocol:
    from cosense.cli.evaluate import default_protocol
    from cosense.evaluation.protocol import load_protocol

    return load_protocol(name or default_protocol(label_set))
