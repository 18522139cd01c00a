"""The card of a trained model: what it is, how good it is, and the run that made it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml

import cosense
from cosense.config import to_mapping
from cosense.errors import counted
from cosense.training.tasks.base import Task

CARD = "card.md"
_WIDTH = 118


def write_card(
    task: Task, out: Path, *, command: str, steps: int, elapsed_s: float, figures: Mapping[str, float]
) -> None:
    """Write card.md into a model folder.

    Args:
        task: trained.
        out: the model folder; exists.
        command: the command that trained it.
        steps: number of steps that it took.
        elapsed_s: wall time of the training in seconds.
        figures: last validation.
    """
    config = task.config
    facts = {"samples": len(task.samples), "validation samples": len(task.unseen), "steps": steps}
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in {**facts, **figures}.items())
    how = (
        f"{task.summary()} Trained {elapsed_s / 60:.0f} minutes on {config.device} with "
        f"{counted(torch.get_num_threads(), 'thread')} and seed {config.seed}; "
        f"cosense {cosense.__version__}, torch "
        f"{torch.__version__}."
    )
    (out / CARD).write_text(
        f"# {out.resolve().name}\n\n"
        f"{_wrapped(how)}\n\n"
        f"Command: `{command}`\n\n"
        f"| figure | value |\n|---|---|\n{rows}\n\n"
        f"{_wrapped(task.figures_mean)}\n\n"
        f"## Configuration of the run\n\n```yaml\n{yaml.safe_dump(to_mapping(config), sort_keys=False)}```\n"
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
