"""`cosense train`: learn the weights of a detector, a method or a node encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Beams
from cosense.errors import CosenseError

if TYPE_CHECKING:
    from cosense.training.run_config import RunConfig


def command(
    config: Annotated[
        Path,
        typer.Argument(
            help="YAML of the run. Its key 'train' says what is trained: detector, method or encoder; "
            "models/*/training.yaml show one each."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run. By default results/train/<name of the file>, or of its folder where the "
            "file is called training.yaml."
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
    beams: Beams = "",
) -> None:
    """Train a detector, what agents share on top of one (a method), or a node encoder of scene graphs.

    The folder then holds weights, configuration and a card, like the folders of models/.

    Example: cosense train models/pillars-lite/training.yaml --minutes 60

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
    from cosense.training.run_config import with_beams
    from cosense.training.tasks.base import read_run

    if minutes is not None and not minutes > 0:
        raise CosenseError(f"--minutes {minutes:g}: expected more than 0")
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(show_path=False)])
    folder = out or Path("results/train") / (config.stem if config.stem != "training" else config.parent.name)
    task, run = read_run(config)
    if minutes is not None:
        run = dataclasses.replace(run, minutes=minutes, epochs=None, steps=None)
    if beams:
        fewer = str(FewerBeams.parse(beams))
        data = {name: with_beams(getattr(run, name), fewer) for name in ("data", "validation")}
        run = dataclasses.replace(run, **data)
    console = Console()
    if only_samples:
        with stoppable(console, lambda: f"The samples so far are in {run.cache}: the same command goes on."):
            prepare(task, run)
        console.print(f"the samples are in {run.cache}")
        return
    with stoppable(console, lambda: _kept(folder, run)):
        figures = train(task, run, folder, resume=resume, command=shlex.join(["cosense", *sys.argv[1:]]))
    for name, value in figures.items():
        console.print(f"{name}: {value:.3f}")
    console.print(f"weights, card and logs are in {folder}")


def _kept(folder: Path, run: RunConfig) -> str:
    """Return what a run that was stopped has left behind, and how to go on."""
    from cosense.training.loop import CHECKPOINT

    if (folder / CHECKPOINT).is_file():
        return f"The checkpoint is in {folder}: the same command with --resume goes on from there."
    return f"Nothing was learned yet; the samples so far are in {run.cache}: the same command goes on."
