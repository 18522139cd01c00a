"""`cosense reproduce`: the published tables of a data set with our own figures beside them."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Limit

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.evaluation.reproduction import Report
    from cosense.evaluation.runs.runner import RunState

_REFRESH_S = 1.0


def command(
    name: Annotated[
        str, typer.Argument(help="Whose tables: dair-v2x, v2x-seq-spd, opv2v or v2xset.", show_default=False)
    ],
    data: Annotated[Path, typer.Option(help="Root of the data set.", show_default=False)],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Name below models/, or folder of a run of `cosense train`; may be given several times. "
            "Rows without a method are of the first, those of CoSDH and of patches of the "
            "first that shares so.",
            show_default="cosense-lite and cosdh, which have only seen simulated data",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the tables and all runs.", show_default="results/reproduce/<name>"),
    ] = None,
    limit: Limit = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out unreadable frames.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away what --out holds.")] = False,
) -> None:
    """Run every row of the published tables of a data set that a model of ours can fill.

    Writes reproduction.md and reproduction.json: published figures with their sources, ours beside them. Rows
    that are not filled say why. The same command again continues a run that was stopped.

    Example: cosense reproduce dair-v2x --data PATH --model results/train/pillars-paper-dair --device cuda
    """
    from rich.console import Console
    from rich.text import Text

    from cosense.cli.evaluate import check_device
    from cosense.data import open_dataset
    from cosense.evaluation.published import load_published
    from cosense.evaluation.reproduction import (
        Reproduction,
        heading_of,
        markdown,
        models_named,
        notes_of,
        table_cells,
    )
    from cosense.evaluation.run_files import write_json
    from cosense.evaluation.runs.runner import versions
    from cosense.evaluation.tables import WholeTable, print_whole
    from cosense.methods.model import load_model

    published = load_published(name)
    check_device(device)
    models = models_named([load_model(each, device) for each in model or ("cosense-lite", "cosdh")])
    folder = out or Path("results/reproduce") / name
    console = Console()
    reproduction = Reproduction(published, data, models, folder, limit, skip_broken, restart)
    again = f"The runs done are in {folder}: the same command goes on from there."
    with stoppable(console, lambda: again), _progress(console) as report:
        tables = reproduction.tables(report)
    content = {
        "name": name,
        "command": shlex.join(["cosense", *sys.argv[1:]]),
        "data": f"{open_dataset(data).kind}, {data}",
        "versions": versions(),
        "tables": tables,
    }
    for table in tables:
        headings, rows = table_cells(table)
        console.print(Text(f"{table['name']}: {heading_of(table)}".replace("**", "")))
        print_whole(console, WholeTable(headings, rows))
    console.print(notes_of(content))
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "reproduction.json", content)
    (folder / "reproduction.md").write_text(markdown(content))
    console.print(
        f"{folder / 'reproduction.md'}, {folder / 'reproduction.json'}", soft_wrap=True, markup=False
    )


@contextmanager
def _progress(console: Console) -> Iterator[Report]:
    """Show a bar for the run that is going on; yields the function to call after each frame."""
    from cosense.progress import ProgressDisplay

    with ProgressDisplay(console) as bar:
        task = bar.add_task("", total=None)
        last_s = 0.0

        def report(what: str, state: RunState) -> None:
            nonlocal last_s
            now_s = time.monotonic()
            if now_s - last_s >= _REFRESH_S or state.done == state.total:
                last_s = now_s
                bar.update(task, total=state.total, completed=state.done, description=what)

        yield report
