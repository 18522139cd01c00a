"""`cosense train`: learn the weights of a detector, a method or a node encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Beams
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from cosense.training.run_config import RunConfig
    from cosense.training.tasks.base import Task


def command(
    config: Annotated[
        Path,
        typer.Argument(
            help="YAML of the run. Its key 'train' says what is trained: detector, method or encoder; "
            "models/*/training.yaml show one each; models/*/dair.yaml learn from DAIR-V2X-C."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run. By default results/train/<name of the file>; in the folder of a model "
            "<model> for training.yaml, <model>-<name of the file> for others."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on from the checkpoint in the folder, with the same configuration; minutes, device and "
            "validation may differ."
        ),
    ] = False,
    only_samples: Annotated[
        bool,
        typer.Option(
            "--only-samples",
            help="Make the samples that are not in the cache yet, on all cores, and stop: runs side by side "
            "then share them.",
        ),
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="End after this long, preparing scenes included, instead of after the epochs, steps or "
            "minutes that the file says."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="End after so many passes over the samples instead.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set to learn from and to validate on, in place of the one that the file names; the "
            "splits stay those of the file.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="cpu or cuda.", show_default="as the file says"),
    ] = None,
    beams: Beams = "",
) -> None:
    """Train a detector, what agents share on top of one (a method), or a node encoder of scene graphs.

    The folder then holds weights, configuration and a card, like the folders of models/.

    Example: cosense train models/pillars-lite/training.yaml --minutes 60

    On DAIR-V2X-C: cosense train models/pillars-paper/dair.yaml --data PATH

    Several processes or GPUs: torchrun --nproc-per-node 4 -m cosense.cli.main train CONFIG
    """
    import dataclasses
    import logging
    import shlex
    import sys

    from rich.console import Console
    from rich.logging import RichHandler

    from cosense.sensing.beams.fewer import FewerBeams
    from cosense.training.loop import prepare, train
    from cosense.training.run_config import paths_of, with_beams, with_path

    if minutes is not None and not minutes > 0:
        raise CosenseError(f"--minutes {minutes:g}: expected more than 0")
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(show_path=False)])
    folder = out or Path("results/train") / _run_name(config)
    task, run = _read(config)
    if epochs is not None and minutes is not None:
        raise CosenseError(
            f"--epochs {epochs}: --minutes {minutes:g} says when to end already, leave one out"
        )
    if epochs is not None:
        run = dataclasses.replace(run, minutes=None, epochs=epochs, steps=None)
    if minutes is not None:
        run = dataclasses.replace(run, minutes=minutes, epochs=None, steps=None)
    if device is not None:
        run = dataclasses.replace(run, device=device)
    if beams:
        fewer = str(FewerBeams.parse(beams))
        run = dataclasses.replace(
            run, data=with_beams(run.data, fewer), validation=with_beams(run.validation, fewer)
        )
    if data is not None:
        if not paths_of(run.data):
            raise CosenseError(f"--data {data}: {config} learns from simulated scenes, leave it out")
        run = dataclasses.replace(
            run, data=with_path(run.data, data), validation=with_path(run.validation, data)
        )
    for path in [*paths_of(run.data), *paths_of(run.validation)]:
        if not path.exists():
            raise CosenseError(f"{path}: no such data set; say where yours is with --data PATH")
    console = Console()
    if only_samples:
        with stoppable(console, lambda: f"The samples so far are in {run.cache}: the same command goes on."):
            prepare(task, run)
        console.print(f"the samples are in {run.cache}", markup=False)
        return
    with stoppable(console, lambda: _kept(folder, run)):
        figures = train(task, run, folder, resume=resume, command=shlex.join(["cosense", *sys.argv[1:]]))
    for name, value in figures.items():
        console.print(f"{name}: {value:.3f}", markup=False)
    console.print(f"weights, card and logs are in {folder}", markup=False)


def _read(config: Path) -> tuple[type[Task], Any]:
    """Return what a file trains, and the settings, whose data and validation are of the task's own kind."""
    from cosense.training.tasks.base import read_run

    return read_run(config)


def _run_name(config: Path) -> str:
    """Return what a run is called: like its file, or like the model whose folder holds it."""
    from cosense.model_folders import CONFIG

    if config.stem == "training":
        return config.parent.name
    return f"{config.parent.name}-{config.stem}" if (config.parent / CONFIG).is_file() else config.stem


def _kept(folder: Path, run: RunConfig) -> str:
    """Return what a run that was stopped has left behind, and how to go on."""
    from cosense.training.loop import CHECKPOINT

    if (folder / CHECKPOINT).is_file():
        return f"The checkpoint is in {folder}: the same command with --resume goes on from there."
    return f"Nothing was learned yet; the samples so far are in {run.cache}: the same command goes on."
