"""The end of a run: a model folder that `load_model` opens, with a card that says how it was made."""

from __future__ import annotations

from pathlib import Path

import torch
import yaml

import cosense
from cosense.config import to_mapping
from cosense.detectors.pillars import PillarNetwork, PillarsConfig
from cosense.model_folders import WEIGHTS, write_weights
from cosense.training.config import TrainingConfig


def export_model(
    network: PillarNetwork,
    model: PillarsConfig,
    config: TrainingConfig,
    out: Path,
    command: str,
    elapsed_s: float,
    figures: dict[str, float],
) -> None:
    """Write weights.safetensors, config.yaml and card.md into `out`.

    Args:
        network: trained.
        model: what it is.
        config: how it was trained.
        out: the model folder; exists.
        command: that trained it.
        elapsed_s: wall time of the training.
        figures: for the card, by name.
    """
    write_weights(network, out / WEIGHTS)
    (out / "config.yaml").write_text(
        yaml.safe_dump({"detector": "pillars", **to_mapping(model)}, sort_keys=False)
    )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    (out / "card.md").write_text(
        f"# {out.resolve().name}\n\n"
        f"Pillar detector, {parameters / 1e6:.2f} million parameters, trained {elapsed_s / 60:.0f} minutes "
        f"on {config.device} with seed {config.seed}, cosense {cosense.__version__}, "
        f"torch {torch.__version__}.\n\n"
        f"Command: `{command}`\n\n"
        f"| figure | value |\n|---|---|\n{rows}\n\n"
        "AP: vehicles, bird's-eye IoU 0.5, objects with at least "
        f"{config.min_points} points of the agent itself, all ranges, validation data.\n\n"
        f"## Configuration of the run\n\n```yaml\n{yaml.safe_dump(to_mapping(config), sort_keys=False)}```\n"
    )
