"""`cosense run`: starts a scenario, with every agent and the fusion as a process of its own, over ROS 2."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Beams, PoseError
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from rich.console import Console


def command(
    scenario: Annotated[
        str,
        typer.Argument(
            help="YAML file that describes who takes part, or the name of one that ships, as v2i.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Data set to play.", show_default="the source that the scenario names"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for detections.jsonl, run.mcap and logs.")] = Path(
        "results/run"
    ),
    record: Annotated[
        bool | None,
        typer.Option(
            "--record/--no-record", help="Write run.mcap or not.", show_default="as in the scenario"
        ),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Play only this many frames.", show_default="all")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Agent to start on this machine, while the others run elsewhere. May be repeated.",
            show_default="all agents",
        ),
    ] = None,
    pose_error: PoseError = None,
    registration: Annotated[
        str | None,
        typer.Option(
            help="scene_graph: graphs of all agents correct the poses of the others; none: poses as sent.",
            show_default="as in the scenario",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            help="enforce: only what is signed with the key of its name counts; warn: other messages are "
            "used and named; off: names are believed.",
            show_default="as in the scenario",
        ),
    ] = None,
    beams: Beams = "",
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1000.0,
            help="Play at the pace of the recording, times this factor; 1 is real time.",
            show_default="as in the scenario",
        ),
    ] = None,
    rerun: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.rrd",
            help="Write the run as a recording for Rerun's viewer once it is over, or stream it to one that "
            "is open (rerun+http://...). Without --no-record run.mcap is written too: graphs and cells that "
            "were sent are read from it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a scenario live over ROS 2 and write the fused detections.

    Each agent, the fusion, the player and the recorder is a process of its own; Ctrl-C stops them all. At the
    end a report lists the frames that were not fused, with the reason, and where the time was spent.

    Example: cosense run v2i --record --out results/v2i
    """
    from rich.console import Console

    from cosense.cooperation.kinds import live_registration
    from cosense.evaluation.runs.pose_noise import PoseNoise
    from cosense.runs.live_run import print_results, run_scenario, what_is_fused
    from cosense.runs.scenario import find_scenario, load_scenario, with_changes, with_player
    from cosense.sensing.beams.fewer import FewerBeams
    from cosense.trust.identity.membership import identity_policy

    file = find_scenario(scenario)
    wanted = load_scenario(file)
    if data is not None:
        if not data.exists():
            raise CosenseError(f"--data {data}: no such file or folder")
        wanted = dataclasses.replace(
            wanted, source=dataclasses.replace(wanted.source, data=data), agents=(), ego=None
        )
    if record is not None:
        wanted = dataclasses.replace(wanted, record=record)
    if frames is not None:
        wanted = dataclasses.replace(wanted, frames=frames)
    if rate is not None:
        wanted = with_player(wanted, rate=rate)
    if pose_error is not None:
        wanted = with_changes(wanted, pose_error=PoseNoise.named(pose_error).preset)
    if registration is not None:
        wanted = with_changes(wanted, registration=live_registration(registration))
    if identity is not None:
        trust = dataclasses.replace(wanted.trust, identity=identity_policy(identity))
        wanted = dataclasses.replace(wanted, trust=trust)
    if beams:
        fewer = str(FewerBeams.parse(beams))
        wanted = dataclasses.replace(wanted, source=dataclasses.replace(wanted.source, beams=fewer))
    if rerun is not None:
        from cosense.viewer.rerun_log import check_target

        check_target(rerun)
        if record is None:
            wanted = dataclasses.replace(wanted, record=True)
    console = Console()
    with stoppable(console, lambda: what_is_fused(out)):
        failures = run_scenario(wanted, out, console, only or (), where=str(file))
    print_results(out, console)
    if rerun is not None:
        _record(out, rerun, console)
    if failures:
        raise typer.Exit(1)


def _record(out: Path, rerun: str, console: Console) -> None:
    """Write all frames of the run that is over as a recording for Rerun."""
    from cosense.methods.model import load_model
    from cosense.runs.finished import pages_of_run
    from cosense.viewer.rerun_log import RerunLog

    pages, facts = pages_of_run(out, 0, sys.maxsize)
    with RerunLog(rerun, out.resolve().name, load_model(facts["model"])) as log:
        for index, page in enumerate(pages):
            log.add(index, page)
    console.print(rerun, soft_wrap=True, markup=False)
