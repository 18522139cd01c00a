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
    """Train a detector, what agents share on top of one, or a node encoder; export weights with a card.

    Example: cosense train models/pillars-lite/training.yaml --minutes 60

    Several GPUs: torchrun --nproc-per-node 4 -m cosense.cli.main train CONFIG
    """
    import logging
    import shlex
    import sys

    from rich.console import Console
    from rich.logging import RichHandler

    if minutes is not None and not minutes > 0:
        raise CosenseError(f"--minutes {minutes:g}: expected more than 0")
    logging.basicConfig(level="INFO", format="%(message)s", handlers=[RichHandler(show_path=False)])
    folder = out or Path("results/train") / (config.stem if config.stem != "training" else config.parent.name)
    line = shlex.join(["cosense", *sys.argv[1:]])
    figures = _train(config, folder, resume, minutes, line)
    console = Console()
    for name, value in figures.items():
        console.print(f"{name}: {value:.3f}")
    console.print(f"weights, card and logs are in {folder}")


def _train(config: Path, out: Path, resume: bool, minutes: float | None, line: str) -> dict[str, float]:
    """Train what the keys of the file are about: a node encoder, what agents share, or a detector."""
    import dataclasses

    from cosense.config import from_mapping, load_yaml
    from cosense.training.config import CooperativeTrainingConfig, EncoderTrainingConfig, TrainingConfig

    mapping = load_yaml(config)
    if isinstance(mapping, dict) and "encoder" in mapping:
        from cosense.training.encoder import train_encoder

        if minutes is not None or resume:
            option = "--resume" if minutes is None else f"--minutes {minutes:g}"
            raise CosenseError(f"{option}: {config} trains minutes, in steps; change 'steps' in the file")
        encoder_run = from_mapping(EncoderTrainingConfig, mapping, where=str(config))
        return train_encoder(encoder_run, out, command=line)
    if isinstance(mapping, dict) and "start_from" in mapping:
        from cosense.training.cooperation import train_cooperation

        if minutes is not None:
            raise CosenseError(f"--minutes {minutes:g}: {config} counts steps; change 'steps' in the file")
        run = from_mapping(CooperativeTrainingConfig, mapping, where=str(config))
        return train_cooperation(run, out, resume=resume, command=line)
    from cosense.training.loop import train

    detector_run = from_mapping(TrainingConfig, {} if mapping is None else mapping, where=str(config))
    if minutes is not None:
        detector_run = dataclasses.replace(detector_run, minutes=minutes, epochs=None)
    return train(detector_run, out, resume=resume, command=line)
