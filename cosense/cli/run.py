"""Start a scenario: every agent and the fusion as processes of their own, talking over ROS 2."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer


def command(
    scenario: Annotated[Path, typer.Argument(help="YAML file that says who takes part.")],
    data: Annotated[
        Path | None, typer.Option(help="Data set to play instead of the scenario's own source.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for detections.jsonl, run.mcap and logs.")] = Path(
        "results/run"
    ),
    record: Annotated[
        bool | None, typer.Option("--record/--no-record", help="Write run.mcap, whatever the scenario says.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Play only this many frames.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Agent that runs on this machine, the others on others; may be given again."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Keep the time of the recording, so many times faster; 1 is real time."),
    ] = None,
) -> None:
    """Run a scenario live over ROS 2 and write what comes out.

    Each agent, the fusion, the player and the recorder are processes of their own; Ctrl-C stops them all.
    At the end it says which frames were not fused and why, and where the time went.

    Example: cosense run launch/scenarios/v2i.yaml --record --out results/v2i
    """
    from rich.console import Console

    from cosense.runs.run import run_scenario
    from cosense.runs.scenario import load_scenario, with_player

    wanted = load_scenario(scenario)
    if data is not None:
        wanted = dataclasses.replace(
            wanted, source=dataclasses.replace(wanted.source, data=data), agents=(), ego=None
        )
    if record is not None:
        wanted = dataclasses.replace(wanted, record=record)
    if frames is not None:
        wanted = dataclasses.replace(wanted, frames=frames)
    if rate is not None:
        wanted = with_player(wanted, rate=rate)
    if run_scenario(wanted, out, Console(), only or ()):
        raise typer.Exit(1)
