"""`cosense sweep`: one curve of average precision over bytes, wrong poses, the radio or agents."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Columns, Labels, Limit, PairGap, PoseError, Region, Split
from cosense.errors import CosenseError, nearest
from cosense.errors import counted as number_of

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.cooperation.kinds import FusionKind
    from cosense.evaluation.attacks import AttackName
    from cosense.evaluation.sweep.lockstep import PointResult
    from cosense.evaluation.sweep.point import Defence, Point

_DEFAULT_MODEL = "cosense-lite"
_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}


class Command(TyperCommand):
    """A verb whose options that may be repeated take several words as well: --model A B."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write each further word as an option of its own, but the name of the curve."""
        from cosense.evaluation.sweep.curves import CURVES

        several = [parameter for parameter in self.params if getattr(parameter, "multiple", False)]
        repeated = {name for parameter in several for name in parameter.opts}
        words: list[str] = []
        option, has_value = "", False
        for word in args:
            if word.startswith("--"):
                name, equals, _ = word.partition("=")
                option, has_value = name if name in repeated else "", bool(equals)
            elif option and has_value and word not in CURVES:
                words.append(option)
            elif option:
                has_value = True
            words.append(word)
        return super().parse_args(ctx, words)


def command(
    curve: Annotated[
        str,
        typer.Argument(
            help="budget, pose-noise, pose-error, delay, loss, burst, rate, range, agents, attack or grid, "
            "see above."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Root of the data set.", show_default=False)],
    model: Annotated[
        list[str] | None,
        typer.Option(help="As for evaluate; several as A B.", show_default=_DEFAULT_MODEL),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for sweep.csv, sweep.json, sweep.png and sweep.npz; without it one below results/.",
            show_default=False,
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            help="Other values for the curve, as 0,0.3 or 0 0.3; for grid noise/delay/loss, as "
            "0,0.2/0,100/0,0.5.",
            show_default=False,
        ),
    ] = None,
    fusion: Annotated[
        list[str] | None,
        typer.Option(help="late, early, intermediate, hybrid; several as A B.", show_default=False),
    ] = None,
    selection: Annotated[
        list[str] | None,
        typer.Option(
            help="ranked, lcv2i, score, supply_demand, confidence, random; several as A B. Without it the "
            "rule of the model's method.",
            show_default=False,
        ),
    ] = None,
    registration: Annotated[
        list[str] | None,
        typer.Option(
            help="How the others' poses are corrected: scene_graph, none (as sent), icp, gicp, boxes, "
            "spectral; several as A B.",
            show_default="scene_graph",
        ),
    ] = None,
    unannounced: Annotated[
        bool, typer.Option("--unannounced", help="The covariances of the poses do not include the noise.")
    ] = False,
    pose_error: PoseError = None,
    attackers: Annotated[
        list[str] | None,
        typer.Option(
            help="For attack: how many of the others lie, as 0,1,4 or 0 1 4; the same as --values.",
            show_default=False,
        ),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            help="For attack: ghosts, turned, fat, shift, pose, replay, sybil, flood, patches, removal, "
            "graph, spoof; several as A B.",
            show_default="all of them",
        ),
    ] = None,
    defence: Annotated[
        list[str] | None,
        typer.Option(
            help="What the ego does about lies: none, own_eyes (frame by frame), full (and over time); to "
            "compare with, robosac and majority; several as A B.",
            show_default="full",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1, help="Limit of a message in bytes, in all curves but budget.", show_default="2000"
        ),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="As for evaluate.", show_default=False)] = None,
    split: Split = None,
    labels: Labels = None,
    region: Region = "",
    pair_gap: PairGap = "",
    columns: Columns = "",
    limit: Limit = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of pose noise, radio and bootstrap.")] = 0,
    restart: Annotated[bool, typer.Option("--restart", help="Throw away the points in --out.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure how average precision depends on one thing, on the same frames for every value of it.

    Bytes are those of the messages sent, with late boxes and requests. All settings go over the frames
    together, so that each cloud is encoded once. What is done of each point is kept in sweep.npz: the same
    command goes on where it was stopped, and one with further values computes these alone.

    The curves and their values:

    - budget: bytes of each message; 300, 500, 1000, 2000, 5000, 10000, 20000, none
    - pose-noise: standard deviation of every pose in metres and degrees; 0, 0.2, 0.4, 0.6, 1
    - pose-error: errors as papers have them (0.2 m, 0.2 degrees, 100 ms), and as measured, unannounced, on
      the data of DAIR, without and with its correction; none, literature, dair, dair_corrected
    - delay: milliseconds that every message takes; 0, 100, 200, 300, 500, 1000
    - loss: fraction of the messages that get lost one by one; 0, 0.1, 0.5, 0.9, 1
    - burst: messages that get lost in a row on average, 30 % of all; 1, 2, 5, 10, 20
    - rate: bytes per second of each link, where messages wait 200 ms at most and the ego does not wait; 2000,
      5000, 10000, 20000, 50000, 200000, 500000
    - range: metres from which on nothing is received; 10, 20, 30, 50, 75, 100, 150
    - agents: the ego and those next to it; 1 to all
    - attack: how many senders lie, those nearest to the ego; 0, 1, 2, 3, 4. In the ways of --attack they send
      20 cars more that are not there (ghosts), turn all boxes by 90 degrees, make them 1.6 times as long and
      wide (fat), move them by 1 m (shift), claim to be 2 m farther on (pose), send their first message again
      and again (replay), repeat ghosts under more names (sybil), send thousands of boxes under 16 names
      (flood), let all feature cells say the same (patches), name next to nothing (removal), move the objects
      of their scene graphs (graph), or send ghosts under the name of another (spoof)
    - grid: all combinations of pose-noise, delay and loss

    Example: cosense sweep budget --data results/demo/sequence --model cosense-lite --out results/budget
    """
    from rich.console import Console

    from cosense.cli.evaluate import check_device, default_protocol
    from cosense.cooperation.kinds import FUSION_KINDS, sent_kind
    from cosense.data import open_dataset
    from cosense.evaluation.attacks import ATTACKS
    from cosense.evaluation.protocol import load_protocol
    from cosense.evaluation.runs.pose_noise import PoseNoise
    from cosense.evaluation.runs.runner import check_first_budgets, check_pose_error
    from cosense.evaluation.sweep.curves import (
        DEFAULT_BUDGET_BYTES,
        applied,
        check_curve,
        points_of,
        read_values,
    )
    from cosense.evaluation.sweep.kept import KEPT, read_kept, write_kept
    from cosense.evaluation.sweep.lockstep import survey, sweep
    from cosense.evaluation.sweep.point import DEFENCES
    from cosense.evaluation.sweep.results import (
        CSV,
        JSON,
        PNG,
        make_folder,
        run_description,
        sweep_content,
        write_sweep,
    )
    from cosense.methods.model import load_model
    from cosense.methods.selection.base import selection_names
    from cosense.scene_graph.registrations import registration_names
    from cosense.viewer.sweep_plot import draw_sweep

    console = Console()
    kind = check_curve(curve)
    if unannounced and kind not in ("pose-noise", "grid"):
        raise CosenseError(f"--unannounced: in the curve '{kind}' poses are exact; take pose-noise or grid")
    if pose_error is not None and kind in ("pose-noise", "pose-error", "grid"):
        raise CosenseError(f"--pose-error {pose_error}: curve '{kind}' is about errors itself, leave it out")
    error = PoseNoise.named(pose_error).preset
    if budget is not None and kind == "budget":
        raise CosenseError(f"--budget {budget}: the curve is about budgets, give them as --values {budget}")
    for option, given in (("--attackers", attackers), ("--attack", attack)):
        if given and kind != "attack":
            raise CosenseError(f"{option}: nobody lies in the curve '{kind}', take attack")
    if attackers and values:
        raise CosenseError("--attackers: says the same as --values in this curve, leave one of them out")
    values = values or attackers
    attacks = _known("--attack", attack, ATTACKS)
    defences = _known("--defence", defence, DEFENCES)
    fusions = _known("--fusion", fusion, FUSION_KINDS)
    selections = _known("--selection", selection, selection_names())
    registrations = _known("--registration", registration, registration_names())
    text = None if values is None else " ".join(values)
    check_device(device)
    models = {}
    for name in model_names(model):
        loaded = load_model(name, device)
        if loaded.name in models:
            raise CosenseError(f"--model: two models are named '{loaded.name}', rename the folder of one")
        models[loaded.name] = loaded
    dataset = open_dataset(
        data,
        split=split,
        labels=labels,
        cameras=any("camera" in each.detector.needs for each in models.values()),
        columns=columns,
        region=region,
        pair_gap=pair_gap,
    )
    check_pose_error(dataset, error or ("dair" if kind == "pose-error" else None))
    counting = load_protocol(protocol or default_protocol(dataset.label_set))

    def points_for(num_agents: int) -> list[Point]:
        return points_of(
            kind,
            models,
            read_values(kind, text, num_agents),
            fusions=cast("list[FusionKind]", fusions),
            selections=selections,
            registrations=registrations,
            budget_bytes=budget or DEFAULT_BUDGET_BYTES,
            is_announced=not unannounced,
            pose_error=error,
            attacks=cast("list[AttackName]", attacks),
            defences=cast("list[Defence]", defences),
        )

    # What makes no sense is refused before the data set is read.
    if budget is not None and not any(point.budget_bytes for point in points_for(num_agents=1)):
        raise CosenseError(f"--budget {budget}: no message of these fusions has a limit, leave it out")
    points_for(num_agents=1)
    seen = survey(dataset, limit)
    points = points_for(max(seen.num_agents))
    longest_ms = max(point.total_delay_ms for point in points)
    counted = seen.counted(longest_ms)
    kinds = {(sent_kind(point.fusion, models[point.model]), point.budget_bytes) for point in points}
    check_first_budgets(dataset, kinds)
    folder = out or Path("results") / f"sweep-{kind}-{dataset.path.resolve().name}"
    run = run_description(dataset, models, counting, counted, seed)
    run, kept = (run, {}) if restart else read_kept(folder / KEPT, run)
    make_folder(folder)

    def keep(results: Sequence[PointResult]) -> None:
        write_kept(folder / KEPT, run, {**kept, **{result.point: result for result in results}}.values())

    done = sum(point in kept and len(kept[point].frames) == len(counted) for point in points)
    there = f", {done} of them are in {folder / KEPT} already" if done else ""
    why = "" if all(counted) else f": those with {longest_ms:g} ms of their sequence before them"
    console.print(
        f"{number_of(len(points), 'setting')}{there}, {sum(counted)} of "
        f"{number_of(len(counted), 'frame')} count{why}",
        **_PLAIN,
    )
    notes = applied(points, seen)
    for note in notes:
        console.print(f"note: {note}", **_PLAIN)
    said = f"What is done of each point is in {folder / KEPT}: the same command goes on from there."
    with stoppable(console, lambda: said), _progress(console, len(counted)) as report:
        results = sweep(
            dataset,
            models,
            points,
            counting,
            counted,
            seed=seed,
            progress=report,
            earlier=kept,
            keep=keep,
        )
    content = sweep_content(
        results,
        dataset,
        models,
        counting,
        curve=kind,
        seed=seed,
        command=shlex.join(["cosense", *sys.argv[1:]]),
        sequences=seen.sequences(counted),
    )
    if notes:
        content["notes"] = notes
    write_sweep(content, folder)
    draw_sweep(content, folder / PNG)
    _print(console, content)
    console.print(", ".join(str(folder / name) for name in (CSV, JSON, PNG)), soft_wrap=True, markup=False)


def _print(console: Console, content: Mapping[str, Any]) -> None:
    """Print all points, and for a grid those that are worse than the ego alone."""
    from cosense.evaluation.tables import print_whole, sweep_view, verdict

    print_whole(console, sweep_view(content))
    if content["curve"] == "grid":
        console.print(verdict(content["points"]), markup=False)


def model_names(named: Sequence[str] | None) -> list[str]:
    """Return the models, each given with an option of its own, after one option, or with commas."""
    parts = [[part] if part.startswith("{") else part.split(",") for part in named or [_DEFAULT_MODEL]]
    return list(dict.fromkeys(name for names in parts for name in names))


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
        task = bar.add_task("frames", total=total)
        yield lambda done: bar.update(task, completed=done)
