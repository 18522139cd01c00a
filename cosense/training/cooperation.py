"""The training run of what agents share and how it is fused; `training.loop` is that of a detector alone.

The detector's backbone is taken from a trained model and stays as it is: what an agent finds by itself, and
so the supply and the late boxes, are calibrated by single-agent supervision already, and every step costs a
quarter. The schedule counts steps and every random choice is drawn from (seed, step): a run repeats on one
machine, and one that was stopped goes on where it was.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from cosense.config import to_mapping
from cosense.detectors.base import BevDetector
from cosense.detectors.pillars import PillarNetwork
from cosense.errors import CosenseError
from cosense.methods.cosdh.settings import CosdhConfig
from cosense.methods.model import ModelConfig, load_model, read_model_config, read_network
from cosense.methods.patches.settings import PatchesConfig
from cosense.model_folders import find_model
from cosense.training.checkpoint import read_checkpoint, write_checkpoint
from cosense.training.config import CooperativeTrainingConfig
from cosense.training.cooperative_export import export_cooperation
from cosense.training.cooperative_features import EncodedSample, encoded_samples
from cosense.training.cooperative_validation import fused_precision
from cosense.training.cosdh_task import CosdhTask
from cosense.training.fusion_examples import Example, make_example
from cosense.training.loader import sample_at
from cosense.training.log import Log
from cosense.training.loop import learning_rate
from cosense.training.patches_task import PatchesTask
from cosense.training.task import Task

logger = logging.getLogger(__name__)
CHECKPOINT = "checkpoint.pt"
_LOG_EVERY_STEPS = 20
_CHECKPOINT_S = 180.0
# What may change between a checkpoint and the run that goes on from it.
_MAY_CHANGE = ("cache", "device", "validation_steps")


def train_cooperation(
    config: CooperativeTrainingConfig, out: Path, *, resume: bool, command: str
) -> dict[str, float]:
    """Train, and write weights.safetensors, config.yaml, calibration.json, card.md and the logs into `out`.

    Args:
        config: what to train on what.
        out: folder of the run; created.
        resume: go on from the checkpoint in `out`.
        command: for the card.

    Returns:
        The last validation, as `fused_precision` gives it.

    Raises:
        CosenseError: bad configuration, nothing to start or resume from.
    """
    model = read_model_config(find_model(config.model))
    if model.method_name is None:
        raise CosenseError(f"{config.model}: config.yaml has no 'sharing: {{method: …}}' to train")
    detector = load_model(config.start_from, config.device).detector
    if not isinstance(detector, BevDetector):
        raise CosenseError(f"{config.start_from}: its detector has no bird's-eye maps to share")
    out.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        samples = encoded_samples(config.train, config.cache, detector, progress)
        unseen = encoded_samples(config.validation, config.cache, detector, progress)
        run = CooperativeRun(config, make_task(model, detector, config), detector, out)
        if resume:
            run.resume()
        figures = run.train(samples, unseen, progress)
    facts = {"samples": len(samples), "validation samples": len(unseen), "steps": config.steps}
    export_cooperation(run.task, model, config, unseen, out, command, run.elapsed_s, facts | figures)
    return figures


def make_task(model: ModelConfig, detector: BevDetector, config: CooperativeTrainingConfig) -> Task:
    """Return the networks to be trained, with weights drawn from the run's seed."""
    torch.manual_seed(config.seed)
    if isinstance(model.sharing, PatchesConfig):
        return PatchesTask(model.sharing, detector)
    network = read_network(find_model(config.start_from))
    if not isinstance(model.sharing, CosdhConfig) or not isinstance(network, PillarNetwork):
        raise CosenseError(f"{config.model}: there is no training for the method '{model.method_name}'")
    return CosdhTask(model.sharing, detector, network)


class CooperativeRun:
    """One training run."""

    def __init__(
        self, config: CooperativeTrainingConfig, task: Task, detector: BevDetector, out: Path
    ) -> None:
        self.config, self.task, self.detector, self.out = config, task, detector, out
        self.optimizer = torch.optim.AdamW(
            task.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.log = Log(out)
        self.step = 0
        self.elapsed_s = 0.0

    def resume(self) -> None:
        """Go back to the checkpoint of the folder.

        Raises:
            CosenseError: there is none, or it is of another run.
        """
        path = self.out / CHECKPOINT
        saved = read_checkpoint(path)
        wanted = to_mapping(self.config)
        made_with = saved.get("config") if isinstance(saved, dict) else None
        for key in wanted.keys() - set(_MAY_CHANGE):
            if not isinstance(made_with, dict) or made_with.get(key) != wanted[key]:
                raise CosenseError(
                    f"{path}: was made with another {key}; resume with the configuration that it was made "
                    "with, or name another --out without --resume"
                )
        self.task.load_state_dict(saved["task"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.step, self.elapsed_s = saved["step"], saved["elapsed_s"]
        self.log.rewind(self.step)

    def train(
        self, samples: list[EncodedSample], unseen: list[EncodedSample], progress: Progress
    ) -> dict[str, float]:
        """Step until the run is done, and return the last validation; Ctrl-C leaves a checkpoint."""
        config = self.config
        bar = progress.add_task("train", total=config.steps)
        started = time.monotonic() - self.elapsed_s
        saved_s = self.elapsed_s
        figures: dict[str, float] = {}
        try:
            while self.step < config.steps:
                values = self._step(samples)
                self.step += 1
                self.elapsed_s = time.monotonic() - started
                progress.update(bar, completed=self.step, description=f"loss {float(values['loss']):.3f}")
                if self.step % _LOG_EVERY_STEPS == 0:
                    row = {"minutes": self.elapsed_s / 60} | {k: float(v) for k, v in values.items()}
                    self.log.write("training", self.step, row)
                if self.elapsed_s - saved_s >= _CHECKPOINT_S:
                    saved_s = self.elapsed_s
                    self._save()
                if self.step % config.validation_steps == 0 or self.step == config.steps:
                    figures = fused_precision(self.task, unseen, self.detector, config.min_points)
                    self.log.write("validation", self.step, figures)
                    logger.info("step %d: %s", self.step, figures)
        finally:
            self._save()
        return figures or fused_precision(self.task, unseen, self.detector, config.min_points)

    def _save(self) -> None:
        write_checkpoint(
            {
                "task": self.task.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "config": to_mapping(self.config),
            },
            self.out / CHECKPOINT,
        )

    def _step(self, samples: list[EncodedSample]) -> dict[str, float | Tensor]:
        config = self.config
        rng = np.random.default_rng((config.seed, self.step))
        first = self.step * config.batch_size
        places = range(first, first + config.batch_size)
        chosen = [samples[sample_at(place, len(samples), config.seed)] for place in places]
        examples = [make_example(sample, self.detector, config, rng) for sample in chosen]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step / config.steps, config.learning_rate)
        return self._descend(examples, rng)

    def _descend(self, examples: list[Example], rng: np.random.Generator) -> dict[str, float | Tensor]:
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.task.losses(examples, rng)
        losses["loss"].backward()
        further = self.task.after_backward()
        norm = clip_grad_norm_(self.task.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        detached: dict[str, float | Tensor] = {name: value.detach() for name, value in losses.items()}
        return detached | further | {"gradient_norm": norm}
