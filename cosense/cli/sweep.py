"""`cosense sweep`: one curve of average precision over bytes, wrong poses, the radio or agents."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cosense.cli.options import Labels, Limit, Split
from cosense.errors import CosenseError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.cooperation.kinds import FusionKind
    from cosense.evaluation.sweep.lockstep import Point
    from cosense.methods.selection import Selection

_DEFAULT_MODEL = "cosense-lite"
_WIDEST = 1000


def command(
    curve: Annotated[
        str,
        typer.Argument(
            help="budget, pose-noise, delay, loss, burst, rate, range, agents or grid, see above."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Root of the data set.", show_default=False)],
    more_models: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name below models/, or a folder; several as A B.", show_default=_DEFAULT_MODEL),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for sweep.csv, sweep.json and sweep.png; without it one below results/.",
            show_default=False,
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            help="Other values for the curve, as 0,0.3; for grid noise/delay/loss, as 0,0.2/0,100/0,0.5.",
            show_default=False,
        ),
    ] = None,
    fusion: Annotated[
        list[str] | None,
        typer.Option(
            help="late, early, intermediate, hybrid; may be given several times.", show_default=False
        ),
    ] = None,
    selection: Annotated[
        list[str] | None,
        typer.Option(
            help="ranked, supply_demand, confidence, random; may be given several times. Without it the rule "
            "of the model's method.",
            show_default=False,
        ),
    ] = None,
    registration: Annotated[
        list[str] | None,
        typer.Option(
            help="How the others' poses are corrected: none (as sent), scene_graph, icp, boxes, spectral; "
            "several as A B.",
            show_default="none",
        ),
    ] = None,
    unannounced: Annotated[
        bool, typer.Option("--unannounced", help="The covariances of the poses do not include the noise.")
    ] = False,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1, help="Limit of a message in bytes, in all curves but budget.", show_default="2000"
        ),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="As for evaluate.", show_default=False)] = None,
    split: Split = None,
    labels: Labels = None,
    limit: Limit = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of pose noise, radio and bootstrap.")] = 0,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure how average precision depends on one thing, on the same frames for every value of it.

    Bytes are those of the messages sent, with late boxes and requests. All settings go over the frames
    together, so that each cloud is encoded once.

    The curves and their values:

    - budget: bytes of each message; 300, 500, 1000, 2000, 5000, 10000, 20000, none
    - pose-noise: standard deviation of every pose in metres and degrees; 0, 0.2, 0.4, 0.6, 1
    - delay: milliseconds that every message takes; 0, 100, 200, 300, 500, 1000
    - loss: fraction of the messages that get lost one by one; 0, 0.1, 0.5, 0.9, 1
    - burst: messages that get lost in a row on average, 30 % of all; 1, 2, 5, 10, 20
    - rate: bytes per second of each link, where messages wait 200 ms at most and the ego does not wait; 2000,
      5000, 10000, 20000, 50000, 200000, 500000
    - range: metres from which on nothing is received; 10, 20, 30, 50, 75, 100, 150
    - agents: the ego and those next to it; 1 to all
    - grid: all combinations of pose-noise, delay and loss

    Example: cosense sweep budget --data results/demo/sequence --model cosense-lite --out results/budget
    """
    from rich.console import Console

    from cosense.cli.evaluate import check_device, default_protocol
    from cosense.cooperation.kinds import FUSION_KINDS, sent_kind
    from cosense.data import open_dataset
    from cosense.evaluation.protocol import load_protocol
    from cosense.evaluation.runs.runner import check_first_budgets
    from cosense.evaluation.sweep.curves import DEFAULT_BUDGET_BYTES, check_curve, points_of, read_values
    from cosense.evaluation.sweep.lockstep import survey, sweep
    from cosense.evaluation.sweep.results import CSV, JSON, PNG, make_folder, sweep_content, write_sweep
    from cosense.methods.model import load_model
    from cosense.methods.selection import SELECTIONS
    from cosense.scene_graph.registrations import registration_names
    from cosense.viewer.sweep_plot import draw_sweep

    console = Console()
    kind = check_curve(curve)
    if unannounced and kind not in ("pose-noise", "grid"):
        raise CosenseError(f"--unannounced: in the curve '{kind}' poses are exact; take pose-noise or grid")
    if budget is not None and kind == "budget":
        raise CosenseError(f"--budget {budget}: the curve is about budgets, give them as --values {budget}")
    fusions = _known("--fusion", fusion, FUSION_KINDS)
    selections = _known("--selection", selection, SELECTIONS)
    known = registration_names()
    # Words that follow without an option of their own may be models or registrations.
    more_registrations = [name for name in more_models or [] if registration and name in known]
    more_models = [name for name in more_models or [] if name not in more_registrations]
    registrations = _known("--registration", [*(registration or []), *more_registrations], known)
    dataset = open_dataset(data, split=split, labels=labels)
    counting = load_protocol(protocol or default_protocol(dataset.label_set))
    check_device(device)
    models = {}
    for name in model_names(model, more_models):
        loaded = load_model(name, device)
        if loaded.name in models:
            raise CosenseError(f"--model: two models are named '{loaded.name}', rename the folder of one")
        models[loaded.name] = loaded

    def points_for(num_agents: int) -> list[Point]:
        return points_of(
            kind,
            models,
            read_values(kind, values, num_agents),
            fusions=cast("list[FusionKind]", fusions),
            selections=cast("list[Selection]", selections),
            registrations=registrations,
            budget_bytes=budget or DEFAULT_BUDGET_BYTES,
            is_announced=not unannounced,
        )

    # What makes no sense is refused before the data set is read.
    points_for(num_agents=1)
    seen = survey(dataset, limit)
    points = points_for(max(seen.num_agents))
    counted = seen.counted(max(point.delay_ms for point in points))
    kinds = {(sent_kind(point.fusion, models[point.model]), point.budget_bytes) for point in points}
    check_first_budgets(dataset, kinds)
    folder = out or Path("results") / f"sweep-{kind}-{dataset.path.resolve().name}"
    make_folder(folder)
    console.print(f"{len(points)} settings, {sum(counted)} of {len(counted)} frames count", markup=False)
    with _progress(console, len(counted)) as report:
        results = sweep(dataset, models, points, counting, counted, seed=seed, progress=report)
    content = sweep_content(
        results,
        dataset,
        models,
        counting,
        curve=kind,
        seed=seed,
        command=shlex.join(["cosense", *sys.argv[1:]]),
    )
    write_sweep(content, folder)
    draw_sweep(content, folder / PNG)
    _print(console, content)
    console.print(", ".join(str(folder / name) for name in (CSV, JSON, PNG)), soft_wrap=True, markup=False)


def _print(console: Console, content: Mapping[str, Any]) -> None:
    """Print all points, and for a grid those that are worse than the ego alone."""
    from cosense.evaluation.tables import sweep_table, verdict

    table = sweep_table(content)
    if not console.is_terminal:
        # A file or a pipe takes the table as wide as it is.
        usual, console.width = console.width, _WIDEST
        console.width = max(usual, console.measure(table).maximum)
    console.print(table)
    if content["curve"] == "grid":
        console.print(verdict(content["points"]), markup=False)


def model_names(named: Sequence[str] | None, more: Sequence[str] | None) -> list[str]:
    """Return the models, each given with an option of its own, after one option, or with commas.

    Args:
        named: values of the option.
        more: words that followed without an option.
    """
    parts = [*(named or []), *(more or [])] or [_DEFAULT_MODEL]
    return list(dict.fromkeys(name for part in parts for name in part.split(",")))


def _known(option: str, given: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the values of an option that may be repeated.

    Raises:
        CosenseError: something unknown; names the nearest.
    """
    names = list(dict.fromkeys(name for part in given or [] for name in part.split(",")))
    for name in names:
        if name not in known:
            raise CosenseError(f"{option} '{name}' is unknown, {nearest(name, known)}")
    return names


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar; yields the function to call with the number of frames done."""
    from cosense.progress import ProgressDisplay

    with ProgressDisplay(console) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
