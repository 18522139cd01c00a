"""`cosense train`: learn the weights of a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cosense.errors import CosenseError


def command(
    config: Annotated[Path, typer.Argument(help="YAML of the run; its keys are those of TrainingConfig.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; results/train/<name of the config> where not given."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in the folder.")] = False,
    minutes: Annotated[
        float | None, typer.Option(help="Train this long instead of what the config says.")
    ] = None,
) -> None:
    """Train a detector and export its weights with a card.

    Example: cosense train models/pillars-lite/training.yaml --minutes 60

    Several GPUs: torchrun --nproc-per-node 4 -m cosense.cli.main train CONFIG
    """
    import dataclasses
    import logging
    import shlex
    import sys

    from rich.console import Console
    from rich.logging import RichHandler

    from cosense.config import load_config
    from cosense.training.config import TrainingConfig
    from cosense.training.loop import train

    if minutes is not None and not minutes > 0:
        raise CosenseError(f"--minutes {minutes:g}: expected more than 0")
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(show_path=False)])
    run = load_config(TrainingConfig, config)
    if minutes is not None:
        run = dataclasses.replace(run, minutes=minutes, epochs=None)
    folder = out or Path("results/train") / (config.stem if config.stem != "training" else config.parent.name)
    line = shlex.join(["cosense", *sys.argv[1:]])
    figures = train(run, folder, resume=resume, command=line)
    console = Console()
    for name, value in figures.items():
        console.print(f"{name}: {value:.3f}")
    console.print(f"weights, card and logs are in {folder}")
