"""`cosense replay`: feeds a bag to live agents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Budget, Columns, takes_bag_options
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from cosense.data.bag import BagOptions


@takes_bag_options
def command(
    bag: Annotated[Path, typer.Argument(help="A bag of ROS 2 (or any data set).", show_default=False)],
    *,
    mode: Annotated[
        str | None,
        typer.Option(
            help="drain: as fast as the agents can; no frame is lost, and the result is always the same. "
            "rate: at the pace of the recording.",
            show_default="drain, or rate where --rate is given",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1000.0,
            help="Speed of mode rate: 1 is the pace of the recording, 2 is twice as fast.",
            show_default="1",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model that all agents run: a name below models/, or a folder.")
    ] = "cosense-lite",
    fusion: Annotated[
        str | None,
        typer.Option(
            help="hybrid, intermediate or late.",
            show_default="hybrid if the model shares features, else late",
        ),
    ] = None,
    registration: Annotated[
        str,
        typer.Option(help="scene_graph: graphs of all agents correct the poses; none: poses as recorded."),
    ] = "scene_graph",
    budget: Budget = None,
    cameras: Annotated[bool, typer.Option("--cameras", help="Also play images.")] = False,
    columns: Columns = "",
    frames: Annotated[
        int | None, typer.Option(min=1, help="Play only the first frames.", show_default="all")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Write run.mcap.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for detections.jsonl, run.mcap and logs.")] = Path(
        "results/replay"
    ),
    bag_options: BagOptions,
) -> None:
    """Feed a bag, recorded by anyone, to live agents and their fusion over ROS 2.

    Topics and frames are found by their types. If that is ambiguous, the error lists the candidates and the
    option that chooses among them.

    Example: cosense replay results/demo/run.mcap --budget 2000 --record --out results/replay
    """
    from rich.console import Console

    from cosense.config import from_mapping, to_mapping
    from cosense.runs.live_run import print_results, run_scenario, what_is_fused
    from cosense.runs.scenario import Scenario

    if rate is not None and mode == "drain":
        raise CosenseError(f"--rate {rate:g}: mode drain has no pace of its own; leave out one of the two")
    scenario = from_mapping(
        Scenario,
        {
            "source": {
                "data": str(bag),
                "cameras": cameras,
                "bag": to_mapping(bag_options),
                "columns": columns,
            },
            "model": model,
            "fusion": fusion,
            "registration": registration,
            "budget_bytes": budget,
            "frames": frames,
            "player": {
                "mode": mode or ("drain" if rate is None else "rate"),
                "rate": 1.0 if rate is None else rate,
            },
            "record": record,
        },
        "cosense replay",
    )
    console = Console()
    with stoppable(console, lambda: what_is_fused(out)):
        failures = run_scenario(scenario, out, console)
    print_results(out, console)
    if failures:
        raise typer.Exit(1)
