"""`cosense evaluate`: average precision and bytes of a model on a data set."""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import (
    Beams,
    Budget,
    Columns,
    Fusion,
    Images,
    Labels,
    Limit,
    PairGap,
    PoseError,
    ProtocolName,
    Region,
    Split,
    takes_bag_options,
)
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.cooperation.kinds import FusionKind
    from cosense.cooperation.offline import Exchange
    from cosense.data.bag import BagOptions
    from cosense.data.dataset import CooperativeFrame
    from cosense.evaluation.runs.pose_noise import PoseNoise
    from cosense.evaluation.runs.runner import RunState, Watch
    from cosense.methods.model import Model

_REFRESH_S = 1.0


@takes_bag_options
def command(
    *,
    data: Annotated[Path, typer.Option(help="Root of the data set, or a bag.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            help="Name below models/, a folder, a scenario whose model is taken, or {mmdet3d: {...}}."
        ),
    ] = "cosense-lite",
    protocol: ProtocolName = None,
    fusion: Fusion = None,
    budget: Budget = None,
    selection: Annotated[
        str | None,
        typer.Option(
            help="Which features go first: ranked, lcv2i, score, supply_demand, confidence or random. "
            "Without it the rule of the model's method.",
            show_default=False,
        ),
    ] = None,
    registration: Annotated[
        str | None,
        typer.Option(
            help="How the others' poses are corrected before fusing: scene_graph (graphs, within the "
            "budget), none (as sent, for poses known to be right), or to compare icp, gicp, boxes "
            "or spectral.",
            show_default="scene_graph for late, intermediate and hybrid",
        ),
    ] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            help="A check that messages have to pass, a file of cosense/trust or of trust/ in a folder of "
            "COSENSE_PLUGINS; may be given several times.",
            show_default=False,
        ),
    ] = None,
    split: Split = None,
    labels: Labels = None,
    region: Region = "",
    pair_gap: PairGap = "",
    columns: Columns = "",
    beams: Beams = "",
    images: Images = "",
    limit: Limit = None,
    async_frames: Annotated[
        int,
        typer.Option(
            min=0, help="Take the others' clouds this many frames earlier (DAIR-V2X's VIC-Async-k)."
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for metrics.json and frames.jsonl; without it one below results/.",
            show_default=False,
        ),
    ] = None,
    pose_noise: Annotated[
        str, typer.Option(help="Error of every pose: standard deviations in metres and degrees, as 0.2,0.2.")
    ] = "0,0",
    pose_error: PoseError = None,
    unannounced: Annotated[
        bool, typer.Option("--unannounced", help="The covariances of the poses do not include the noise.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the pose noise.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out unreadable frames.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what --out holds.")] = False,
    rerun: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.rrd",
            help="Also write the frames that are computed as a recording for Rerun's viewer, or stream them "
            "to one that is open (rerun+http://...). Evaluation never waits: frames that come too fast are "
            "left out.",
            show_default=False,
        ),
    ] = None,
    export_as: Annotated[
        list[str] | None,
        typer.Option(
            "--export",
            metavar="FORMAT",
            help="Also write detections and ground truth for other tools, into a folder of this name in "
            "--out: kitti (text files) or nuscenes (JSON). May be given several times, also for a run "
            "that is done.",
            show_default=False,
        ),
    ] = None,
    bag_options: BagOptions,
) -> None:
    """Measure a model on a data set: average precision, recall, bytes and time under a named protocol.

    The same command again continues a run that was stopped.

    Example: cosense evaluate --data results/demo/sequence --fusion hybrid --budget 2000
    """
    from rich.console import Console

    from cosense.cooperation.kinds import default_fusion, default_registration
    from cosense.data import open_dataset
    from cosense.evaluation.exports.base import check_formats, export
    from cosense.evaluation.protocol import load_protocol
    from cosense.evaluation.run_files import FRAMES, METRICS
    from cosense.evaluation.runs.pose_noise import PoseNoise
    from cosense.evaluation.runs.runner import evaluate
    from cosense.evaluation.tables import print_whole, result_view
    from cosense.methods.model import load_model

    console = Console()

    check_formats(export_as or ())
    check_device(device)
    loaded = load_model(model, device)
    takes_images = "camera" in loaded.detector.needs
    if images and not takes_images:
        raise CosenseError(f"--images {images}: {loaded.name} takes no images; leave it out")
    dataset = open_dataset(
        data,
        split=split,
        labels=labels,
        cameras=takes_images,
        async_frames=async_frames,
        bag=bag_options,
        columns=columns,
        region=region,
        pair_gap=pair_gap,
        beams=beams,
        images=images,
    )
    counting = load_protocol(protocol or default_protocol(dataset.label_set))
    noise = parse_pose_noise(pose_noise)
    if pose_error is not None and (unannounced or noise != PoseNoise()):
        raise CosenseError(
            f"--pose-error {pose_error}: has its own noise and says whether it is announced; leave out "
            "--pose-noise and --unannounced"
        )
    if unannounced and noise == PoseNoise():
        raise CosenseError("--unannounced: without --pose-noise poses are exact; give both, or leave it out")
    noise = PoseNoise.named(pose_error) if pose_error else replace(noise, is_announced=not unannounced)
    kind = fusion or default_fusion(loaded)
    repair = registration or default_registration(kind)
    parts = [dataset.path.resolve().name, loaded.name, counting.name, kind, selection, registration, budget]
    parts += [pose_error, f"gap{pair_gap}" if pair_gap else None]
    parts += [f"beams{beams.replace(',', '-').replace('/', '')}" if beams else None]
    parts += [f"images-{images.replace(',', '-')}" if images else None]
    parts += trust or []
    folder = out or Path("results") / "-".join(str(part) for part in parts if part is not None)
    again = "the same command without --restart" if restart else "the same command"
    kept = f"The frames done are in {folder}: {again} goes on from there."
    with (
        stoppable(console, lambda: kept),
        _progress(console) as report,
        _recording(rerun, folder.name, loaded, kind) as watch,
    ):
        metrics = evaluate(
            dataset,
            loaded,
            counting,
            fusion=cast("FusionKind", kind),
            out=folder,
            budget_bytes=budget,
            limit=limit,
            command=shlex.join(["cosense", *sys.argv[1:]]),
            progress=report,
            pose_noise=noise,
            seed=seed,
            selection=selection,
            registration=repair,
            trust=trust or (),
            skip_broken=skip_broken,
            restart=restart,
            watch=watch,
        )
    print_whole(console, result_view(metrics, counting))
    written = [folder / METRICS, folder / FRAMES, *(export(folder, name) for name in export_as or ())]
    console.print(", ".join(map(str, written)), soft_wrap=True, markup=False)


def default_protocol(label_set: str) -> str:
    """Return the protocol that labels of a data set are counted under when none is named."""
    from cosense.data.bare_labels import LABEL_SETS
    from cosense.data.frame_pairs import STANDING
    from cosense.data.provenance import SIMULATED

    own = {SIMULATED: "simulated_riders", STANDING: "real_pairs", **dict.fromkeys(LABEL_SETS, "real_frames")}
    return own.get(label_set, "opencood_participants")


def parse_pose_noise(text: str) -> PoseNoise:
    """Read "0.2,0.4" as 0.2 m and 0.4 degrees.

    Raises:
        CosenseError: not two numbers, or negative ones.
    """
    from cosense.evaluation.runs.pose_noise import PoseNoise

    try:
        position_m, heading_deg = (float(part) for part in text.split(","))
        return PoseNoise(position_m, heading_deg)
    except ValueError:
        raise CosenseError(
            f"--pose-noise '{text}': expected metres and degrees, both at least 0, as 0.2,0.2"
        ) from None


def check_device(device: str) -> None:
    """Refuse a device on which this machine cannot run a network.

    Raises:
        CosenseError: neither cpu nor a GPU that is here.
    """
    import torch

    here = ["cpu"]
    if torch.cuda.is_available():
        here += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device not in here:
        raise CosenseError(f"--device '{device}': not on this machine, expected one of {', '.join(here)}")


@contextmanager
def _recording(target: str | None, title: str, model: Model, fusion: str) -> Iterator[Watch | None]:
    """Yield the function that records a frame for Rerun in a thread of its own, None if nobody asked."""
    if target is None:
        yield None
        return
    from cosense.cooperation.outcome import mode_of
    from cosense.viewer.pack import ReportFrame
    from cosense.viewer.rerun_log import NewestSlot, RerunLog

    def watch(index: int, frame: CooperativeFrame, exchange: Exchange, elapsed_ms: float) -> None:
        mode = str(mode_of(fusion, exchange.result.peers, [], []))
        page = ReportFrame(
            frame, exchange.result, messages=exchange.messages, mode=mode, elapsed_ms=elapsed_ms
        )
        slot.offer((index, page))

    with RerunLog(target, title, model) as log, NewestSlot(lambda item: log.add(*item)) as slot:
        yield watch


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[RunState], None]]:
    """Show a bar with the AP so far; yields the function to call after each frame."""
    from cosense.progress import ProgressDisplay

    with ProgressDisplay(console) as bar:
        task = bar.add_task("", total=None)
        last_s = 0.0

        def report(state: RunState) -> None:
            nonlocal last_s
            now_s = time.monotonic()
            if now_s - last_s >= _REFRESH_S or state.done == state.total:
                last_s = now_s
                bar.update(task, total=state.total, completed=state.done, description=_so_far(state))

        yield report


def _so_far(state: RunState) -> str:
    """Return a line with AP, kB and ms of the frames that are done."""
    if not state.scores:
        return "frames"
    threshold, ap = state.average_precision()
    sent = [count for score in state.scores for count in score.bytes_per_sender.values()]
    spent_ms = [score.elapsed_ms for score in state.scores]
    kilobytes = sum(sent) / max(1, len(sent)) / 1000
    ms = sum(spent_ms) / len(spent_ms)
    so_far = "–" if math.isnan(ap) else f"{100 * ap:.1f}"
    return f"frames  AP@{threshold:g} {so_far}  {kilobytes:.2f} kB/frame  {ms:.0f} ms/frame"
