"""The training run of a node encoder: minutes on one core.

The schedule counts steps and every random choice is drawn from (seed, step), so that a run repeats on one
machine. It is too short to be worth a checkpoint.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from rich.progress import Progress
from torch.nn.utils import clip_grad_norm_

import cosense
from cosense.config import load_config, to_mapping
from cosense.errors import CosenseError
from cosense.methods.model import load_model
from cosense.model_folders import WEIGHTS, find_model, write_weights
from cosense.scene_graph.describe.node_encoder import CONFIG, EncoderConfig, EncoderNetwork, load_encoder
from cosense.scene_graph.register.candidates import MAX_CANDIDATES, TEMPERATURE
from cosense.scene_graph.register.descriptors import describer
from cosense.training.config import EncoderTrainingConfig
from cosense.training.encoder_loss import EncoderLoss
from cosense.training.graph_examples import drawn_example
from cosense.training.graph_pairs import GraphPair, load_graph_pairs
from cosense.training.graph_validation import candidate_figures
from cosense.training.loader import sample_at
from cosense.training.log import Log
from cosense.training.loop import learning_rate

logger = logging.getLogger(__name__)
_LOG_EVERY_STEPS = 20
# Candidates of which validation says how many are true.
_FEW = 150


def train_encoder(config: EncoderTrainingConfig, out: Path, *, command: str) -> dict[str, float]:
    """Train, and write weights.safetensors, encoder.yaml, card.md and the logs into `out`.

    Args:
        config: what to train on what.
        out: folder of the run; created.
        command: for the card.

    Returns:
        The last validation.

    Raises:
        CosenseError: bad configuration, or a scene family that is unknown.
    """
    model = load_config(EncoderConfig, find_model(config.encoder, CONFIG) / CONFIG)
    detector = load_model(config.detector).detector
    out.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        bar = progress.add_task("graphs")

        def show(what: str, done: int, of: int) -> None:
            progress.update(bar, description=what, completed=done, total=of)

        pairs = load_graph_pairs(config.train, config.cache, detector, show)
        unseen = load_graph_pairs(config.validation, config.cache, detector, show)
        progress.remove_task(bar)
        started = time.monotonic()
        network = fit(config, model, pairs, Log(out), progress)
        elapsed_s = time.monotonic() - started
    write_weights(network, out / WEIGHTS)
    (out / CONFIG).write_text(yaml.safe_dump(to_mapping(model), sort_keys=False))
    figures = validate(config, out, unseen)
    facts = {"pairs": len(pairs), "validation pairs": len(unseen), "steps": config.steps}
    _write_card(out, config, network, command, elapsed_s, facts | figures)
    return figures


def fit(
    config: EncoderTrainingConfig, model: EncoderConfig, pairs: list[GraphPair], log: Log, progress: Progress
) -> EncoderNetwork:
    """Return a network that has learned from `pairs`.

    Raises:
        CosenseError: there are none.
    """
    if not pairs:
        raise CosenseError(f"{to_mapping(config)['train']}: no pair of agents to learn from")
    torch.manual_seed(config.seed)
    loss = EncoderLoss(EncoderNetwork(model), TEMPERATURE, config.unmatched)
    optimizer = torch.optim.AdamW(
        loss.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    bar = progress.add_task("train", total=config.steps)
    for step in range(config.steps):
        rng = np.random.default_rng((config.seed, step))
        places = range(step * config.batch_size, (step + 1) * config.batch_size)
        chosen = [pairs[sample_at(place, len(pairs), config.seed)] for place in places]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step / config.steps, config.learning_rate)
        values = loss([drawn_example(pair, config, rng) for pair in chosen])
        optimizer.zero_grad(set_to_none=True)
        values["loss"].backward()
        norm = clip_grad_norm_(loss.parameters(), config.gradient_norm)
        optimizer.step()
        progress.update(bar, completed=step + 1, description=f"loss {values['loss'].item():.3f}")
        if (step + 1) % _LOG_EVERY_STEPS == 0:
            row = {name: value.item() for name, value in values.items()}
            log.write("training", step + 1, row | {"gradient_norm": float(norm)})
    return loss.network


def validate(config: EncoderTrainingConfig, folder: Path, unseen: list[GraphPair]) -> dict[str, float]:
    """Return how many true matches are candidates, with the encoder of a folder and without learning."""
    kinds = {"learned": load_encoder(folder).described, "triplets": describer("triplets")}
    figures = {}
    for count in (_FEW, MAX_CANDIDATES):
        for name, describe in kinds.items():
            found = candidate_figures(unseen, describe, count)
            figures[f"recall of {count} candidates, {name}"] = found.recall
    logger.info("%s", figures)
    return figures


def _write_card(
    out: Path,
    config: EncoderTrainingConfig,
    network: EncoderNetwork,
    command: str,
    elapsed_s: float,
    figures: dict[str, float],
) -> None:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    (out / "card.md").write_text(
        f"# {out.resolve().name}\n\n"
        f"Node encoder of scene graphs, {parameters} parameters, trained {elapsed_s / 60:.0f} minutes on cpu "
        f"with {torch.get_num_threads()} threads, seed {config.seed}, on graphs with boxes of "
        f"{config.detector}; cosense {cosense.__version__}, torch {torch.__version__}.\n\n"
        f"Command: `{command}`\n\n"
        f"| figure | value |\n|---|---|\n{rows}\n\n"
        "Recall: share of the true matches of two graphs (one group, within 1 m under the true pose) among "
        'so many candidates, no prior, mean over validation pairs; "triplets" is without learning.\n\n'
        f"## Configuration of the run\n\n```yaml\n{yaml.safe_dump(to_mapping(config), sort_keys=False)}```\n"
    )
