"""The card of a trained model: what it is, how good it is, and the run that made it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import yaml

import cosense
from cosense.config import to_mapping
from cosense.data.provenance import MARK
from cosense.errors import CosenseError, counted
from cosense.training.run_config import DataConfig, SceneConfig
from cosense.training.samples import open_recorded
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
    learned, validated = data_of(config.data), data_of(config.validation)
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
        f"{_wrapped(f'Data to learn from: {learned}. Data of the figures: {validated}.')}\n\n"
        f"{_wrapped(how)}\n\n"
        f"Command: `{command}`\n\n"
        f"| figure | value |\n|---|---|\n{rows}\n\n"
        f"{_wrapped(task.figures_mean)}\n\n"
        f"## Configuration of the run\n\n```yaml\n{yaml.safe_dump(to_mapping(config), sort_keys=False)}```\n"
    )


def data_of(config: DataConfig | Sequence[SceneConfig | DataConfig]) -> str:
    """Return in words what made the data that a configuration names."""
    kinds = []
    for entry in [config] if isinstance(config, DataConfig) else config:
        if isinstance(entry, SceneConfig):
            kinds.append(MARK)
            continue
        kinds += [MARK] if entry.scenes is not None else []
        for path in entry.paths:
            try:
                kinds.append(open_recorded(entry, path).kind)
            except CosenseError:
                # It was there when training began; a card is written all the same.
                kinds.append(str(path))
    return " and ".join(dict.fromkeys(kinds))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
