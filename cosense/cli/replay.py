"""`cosense replay`: a bag into live agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cosense.cli.options import Budget, Ego, GroundTruth, Points, Pose, Tolerance, World, bag_options


def command(
    bag: Annotated[Path, typer.Argument(help="A bag of ROS 2 (or any data set).", show_default=False)],
    mode: Annotated[
        str,
        typer.Option(
            help="drain: as fast as the agents can, no frame is lost, the same result every time; "
            "rate: in the time of the recording."
        ),
    ] = "drain",
    rate: Annotated[float, typer.Option(help="In mode rate, times the speed of the recording.")] = 1.0,
    model: Annotated[
        str, typer.Option(help="Of all agents: name below models/, or a folder.")
    ] = "cosense-lite",
    fusion: Annotated[
        str | None,
        typer.Option(
            help="hybrid, intermediate or late; without it hybrid where the model shares features.",
            show_default=False,
        ),
    ] = None,
    registration: Annotated[
        str,
        typer.Option(help="scene_graph: graphs of all agents correct the poses; none: as recorded."),
    ] = "none",
    budget: Budget = None,
    cameras: Annotated[bool, typer.Option("--cameras", help="Also play images.")] = False,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Only the first frames.", show_default=False)
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Write run.mcap.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for detections.jsonl, run.mcap and logs.")] = Path(
        "results/replay"
    ),
    points: Points = None,
    pose: Pose = None,
    ego: Ego = None,
    world: World = None,
    ground_truth: GroundTruth = None,
    tolerance_ms: Tolerance = 50.0,
) -> None:
    """Feed a bag, recorded by anyone, to live agents and their fusion over ROS 2.

    Topics and frames are found by type, or the error lists the candidates and the option to give.

    Example: cosense replay demo.mcap --budget 2000 --record --out results/replay
    """
    from rich.console import Console

    from cosense.config import from_mapping, to_mapping
    from cosense.runs.run import run_scenario
    from cosense.runs.scenario import Scenario

    scenario = from_mapping(
        Scenario,
        {
            "source": {
                "data": str(bag),
                "cameras": cameras,
                "bag": to_mapping(bag_options(points, pose, ego, world, ground_truth, tolerance_ms)),
            },
            "model": model,
            "fusion": fusion,
            "registration": registration,
            "budget_bytes": budget,
            "frames": frames,
            "player": {"mode": mode, "rate": rate},
            "record": record,
        },
        "cosense replay",
    )
    if run_scenario(scenario, out, Console()):
        raise typer.Exit(1)
