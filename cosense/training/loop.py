"""The training run: steps, learning rate, checkpoints, validation, resume.

AdamW with a learning rate that rises over the first tenth and falls along a cosine to nothing
("super-convergence", Smith & Topin 2019, without the momentum cycle). Progress is counted in epochs, or by
the clock where a run is given minutes: then it ends in time with a finished schedule on any machine.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from cosense.config import to_mapping
from cosense.detectors.device import inference_dtype
from cosense.detectors.pillars import PillarDetector, PillarNetwork, PillarsConfig
from cosense.errors import CosenseError
from cosense.methods.model import read_model_config
from cosense.model_folders import find_model
from cosense.training.checkpoint import read_checkpoint, write_checkpoint
from cosense.training.config import TrainingConfig
from cosense.training.export import export_model
from cosense.training.loader import Batch, training_batches
from cosense.training.log import Log
from cosense.training.losses import detection_losses
from cosense.training.processes import Processes, joined_processes
from cosense.training.samples import Sample, load_samples
from cosense.training.validation import validate

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
_PARTS = {"network", "optimizer", "step", "elapsed_s", "config"}
_SAME_TO_RESUME = ("model", "seed", "batch_size", "train", "crop_m")
_CURE = "resume with the configuration that it was made with, or name another --out without --resume"
_WARM_UP = 0.1
_LOG_EVERY_STEPS = 20


@dataclass
class _State:
    """What a checkpoint holds."""

    network: PillarNetwork
    optimizer: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0

    def save(self, path: Path, config: TrainingConfig) -> None:
        write_checkpoint(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
                "config": to_mapping(config),
            },
            path,
        )

    def load(self, path: Path, config: TrainingConfig) -> None:
        saved = read_checkpoint(path)
        if not isinstance(saved, dict) or not saved.keys() >= _PARTS:
            raise CosenseError(f"{path}: is no checkpoint of cosense train; {_CURE}")
        wanted = to_mapping(config)
        for key in _SAME_TO_RESUME:
            made_with = saved["config"].get(key)
            if made_with != wanted[key]:
                raise CosenseError(
                    f"{path}: was made with {key} {made_with!r}, the run has {wanted[key]!r}; {_CURE}"
                )
        try:
            self.network.load_state_dict(saved["network"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError):
            # Same name, other layers: the model's config.yaml has changed since.
            raise CosenseError(f"{path}: holds another network than {config.model} is now; {_CURE}") from None
        self.step, self.elapsed_s = saved["step"], saved["elapsed_s"]


def learning_rate(progress: float, peak: float) -> float:
    """Return the learning rate after a share `progress` in [0, 1] of the run."""
    if progress < _WARM_UP:
        return peak * (0.1 + 0.9 * progress / _WARM_UP)
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


def train(config: TrainingConfig, out: Path, *, resume: bool, command: str) -> dict[str, float]:
    """Train, and write weights.safetensors, config.yaml, card.md, the logs and checkpoints into `out`.

    Args:
        config: what to train on what.
        out: folder of the run; created.
        resume: go on from the checkpoint in `out`.
        command: for the card.

    Returns:
        The last validation, as `validate` gives it.

    Raises:
        CosenseError: bad configuration or data, nothing to resume from.
    """
    model = read_model_config(find_model(config.model)).detector
    if not isinstance(model, PillarsConfig):
        raise CosenseError(f"{config.model}: only a detector of the kind 'pillars' can be trained")
    with joined_processes(config.device) as processes, Progress(disable=not processes.is_first) as progress:
        if not processes.is_first:
            processes.wait()  # for the first one to fill the cache
        samples, unseen = _load(config, progress)
        if processes.is_first:
            processes.wait()
        run = TrainingRun(config, model, out, processes, progress)
        if resume:
            run.resume()
        run.train(samples, unseen)
        return run.finish(samples, unseen, command) if processes.is_first else {}


def _load(config: TrainingConfig, progress: Progress) -> tuple[list[Sample], list[Sample]]:
    task = progress.add_task("samples")

    def show(what: str, done: int, of: int) -> None:
        progress.update(task, description=what, completed=done, total=of)

    samples = load_samples(config.train, config.cache, show)
    unseen = load_samples(config.validation, config.cache, show)
    progress.remove_task(task)
    return samples, unseen


class TrainingRun:
    """One process of a training run."""

    def __init__(
        self,
        config: TrainingConfig,
        model: PillarsConfig,
        out: Path,
        processes: Processes,
        progress: Progress,
    ) -> None:
        self.config, self.model, self.out = config, model, out
        self.processes, self.progress = processes, progress
        out.mkdir(parents=True, exist_ok=True)
        network = PillarDetector.build(model, config.seed).to(processes.device).train()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.state = _State(network, optimizer)
        self.log = Log(out)
        self.autocast_dtype = inference_dtype(model.precision, processes.device)

    def resume(self) -> None:
        """Go back to the checkpoint of the folder."""
        self.state.load(self.out / CHECKPOINT, self.config)
        if self.processes.is_first:
            self.log.rewind(self.state.step)

    def train(self, samples: list[Sample], unseen: list[Sample]) -> None:
        """Step until the run has had its epochs or its minutes; Ctrl-C leaves a checkpoint."""
        try:
            self._train(samples, unseen)
        except KeyboardInterrupt:
            if self.processes.is_first:
                self.state.save(self.out / CHECKPOINT, self.config)
            raise

    def _train(self, samples: list[Sample], unseen: list[Sample]) -> None:
        config, state, processes = self.config, self.state, self.processes
        wrapped = processes.wrap(state.network)
        epoch_steps = len(samples) / (config.batch_size * processes.count)
        batches = training_batches(
            samples,
            self.model,
            config,
            first_step=state.step,
            rank=processes.rank,
            ranks=processes.count,
        )
        started = time.monotonic() - state.elapsed_s
        saved_s = validated_s = state.elapsed_s
        task = self.progress.add_task("train", total=1.0)
        while (done := processes.agree(self._progress(epoch_steps))) < 1:
            values = self._step(wrapped, next(batches), learning_rate(done, config.learning_rate))
            state.step += 1
            state.elapsed_s = time.monotonic() - started
            if not processes.is_first:
                continue
            self.progress.update(task, completed=done, description=f"loss {float(values['loss']):.3f}")
            if state.step % _LOG_EVERY_STEPS == 0:
                when = {"minutes": state.elapsed_s / 60, "epoch": state.step / epoch_steps}
                self.log.write("training", state.step, when | {k: float(v) for k, v in values.items()})
            if state.elapsed_s - saved_s >= 60 * config.checkpoint_minutes:
                saved_s = state.elapsed_s
                state.save(self.out / CHECKPOINT, config)
            if state.elapsed_s - validated_s >= 60 * config.validation_minutes:
                validated_s = state.elapsed_s
                figures = validate(state.network, unseen, self.model, config)
                self.log.write("validation", state.step, figures)
                logger.info("step %d: %s", state.step, figures)

    def _progress(self, epoch_steps: float) -> float:
        """Return the share of the run that is done."""
        if self.config.minutes is not None:
            return self.state.elapsed_s / (60 * self.config.minutes)
        assert self.config.epochs is not None
        return self.state.step / math.ceil(self.config.epochs * epoch_steps)

    def finish(self, samples: list[Sample], unseen: list[Sample], command: str) -> dict[str, float]:
        """Validate, save and export; return the figures."""
        state = self.state
        figures = validate(state.network, unseen, self.model, self.config)
        state.save(self.out / CHECKPOINT, self.config)
        self.log.write("validation", state.step, figures)
        facts = {"samples": len(samples), "validation samples": len(unseen), "steps": state.step}
        export_model(
            state.network, self.model, self.config, self.out, command, state.elapsed_s, facts | figures
        )
        return figures

    def _step(self, wrapped: torch.nn.Module, batch: Batch, rate: float) -> dict[str, float | Tensor]:
        state, device = self.state, self.processes.device
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(
            device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype != torch.float32
        ):
            maps = wrapped(batch.pillars.to(device), self.autocast_dtype)
        losses = detection_losses(maps, batch.targets.to(device))
        state.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        norm = clip_grad_norm_(state.network.parameters(), self.config.gradient_norm)
        state.optimizer.step()
        return {
            "loss": losses.total.detach(),
            "heat": losses.heat.detach(),
            "boxes": losses.boxes.detach(),
            "gradient_norm": norm,
            "learning_rate": rate,
        }
