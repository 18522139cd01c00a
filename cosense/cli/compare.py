"""`cosense compare`: results of two or more runs beside each other, on the same frames."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cosense.cli.options import ProtocolName
from cosense.errors import CosenseError


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders that `cosense evaluate` has written; the others are compared with the first."
        ),
    ],
    protocol: ProtocolName = None,
    out: Annotated[Path, typer.Option(help="Folder for comparison.json and comparison.png.")] = Path(
        "results/comparison"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws of frames.")] = 0,
) -> None:
    """Compare runs on the frames that all of them have: a table and a picture.

    Everything is counted again from the frames, so that runs under different protocols can be compared under
    one. Each difference to the first run has an interval that holds 95 of 100 draws of frames (of sequences,
    where there are several).

    Example: cosense compare results/none results/late results/hybrid
    """
    from rich.console import Console

    from cosense.evaluation.comparison import compare, protocol_of, read_runs
    from cosense.evaluation.protocol import load_protocol
    from cosense.evaluation.run_files import write_json
    from cosense.evaluation.tables import paired_view, print_whole
    from cosense.viewer.comparison_plot import draw_paired

    if len(runs) < 2:
        raise CosenseError(f"{runs[0]}: compare it with what? name two folders or more")
    read = read_runs(runs)
    content = compare(read, load_protocol(protocol) if protocol else protocol_of(read), seed=seed)
    console = Console()
    print_whole(console, paired_view(content))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "comparison.json", {"command": shlex.join(["cosense", *sys.argv[1:]]), **content})
    draw_paired(content, out / "comparison.png")
    console.print(f"{out / 'comparison.json'}, {out / 'comparison.png'}", soft_wrap=True, markup=False)
