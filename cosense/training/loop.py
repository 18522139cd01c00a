"""The training loop: steps, learning rate, log, checkpoints, validation, resume. What is trained is a `Task`.

AdamW with a learning rate that rises over the first tenth and falls along a cosine to nothing
("super-convergence", Smith & Topin 2019, without the momentum cycle). Progress is counted in epochs or steps,
or by the clock where a run is given minutes: then it ends in time with a finished schedule on any machine.
Runs that follow a published schedule name its steps (`decay_at`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from cosense.config import to_mapping
from cosense.detectors.device import usable_device
from cosense.errors import CosenseError
from cosense.model_folders import WEIGHTS
from cosense.progress import ProgressDisplay
from cosense.training.card import CARD, write_card
from cosense.training.log import LOGS, TRAINING, VALIDATION, Log
from cosense.training.run_config import RunConfig
from cosense.training.tasks.base import Task
from cosense.training.torchrun import Processes, joined_processes

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
# What may change between a checkpoint and the run that goes on from it: nothing that a step depends on, but
# for the minutes, since a run by the clock is another one on every machine anyway.
_MAY_CHANGE = {
    *("cache", "device", "workers", "minutes", "checkpoint_minutes"),
    *("validation", "validation_minutes", "validation_steps"),
}
_PARTS = {"task", "optimizer", "step", "elapsed_s", "config"}
_CURE = "resume with the configuration that it was made with, or name another --out without --resume"
_WARM_UP = 0.1
_LOG_EVERY_STEPS = 20


def train(task: type[Task], config: RunConfig, out: Path, *, resume: bool, command: str) -> dict[str, float]:
    """Train, and write weights, configuration, card.md, the logs and checkpoints into `out`.

    Args:
        task: class of the networks to train.
        config: settings of the run, an instance of `task.Config`.
        out: folder of the run; created.
        resume: go on from the checkpoint in `out`.
        command: command line, named on the card.

    Returns:
        The last validation, as `task.validate` gives it; of the first of several processes only.

    Raises:
        CosenseError: bad configuration or data, nothing to learn from or to resume from.
    """
    if resume:
        read_checkpoint(out / CHECKPOINT, config)
    else:
        check_folder(out)
    console = Console()
    with (
        joined_processes(config.device) as processes,
        ProgressDisplay(console, counts_steps=False, disable=not processes.is_first) as progress,
    ):
        trained = task(config, processes.device)
        with processes.first_before_others():
            prepared_s = _load(trained, progress, config.minutes)
        run = Run(trained, out, processes, progress, prepared_s)
        if resume:
            run.resume()
        run.train()
        return run.finish(command) if processes.is_first else {}


def prepare(task: type[Task], config: RunConfig) -> None:
    """Make the samples of a run in its cache, however long it takes; several runs can then share them.

    Raises:
        CosenseError: bad configuration or data, or nothing to learn from.
    """
    with ProgressDisplay(Console(), counts_steps=False) as progress:
        _load(task(config, usable_device(config.device)), progress, None)


def check_folder(out: Path) -> None:
    """Refuse a folder with what another run has learned.

    Raises:
        CosenseError: it holds a checkpoint, weights, a card or a log.
    """
    for name in (CHECKPOINT, WEIGHTS, CARD, *LOGS):
        if (out / name).exists():
            raise CosenseError(
                f"{out / name}: is of an earlier run, which nothing overwrites; go on from its checkpoint "
                "with --resume, or name another folder with --out"
            )


def _load(task: Task, progress: Progress, minutes: float | None) -> float:
    """Load the samples of a task; return the wall time that it took in seconds.

    Raises:
        CosenseError: nothing to learn from, or it takes all the minutes.
    """
    bar = progress.add_task("samples")
    started = time.monotonic()

    def show(what: str, done: int, of: int) -> None:
        progress.update(bar, description=what, completed=done, total=of)
        check(f"{what}: {done} of {of}")

    def check(doing: str) -> None:
        if minutes is not None and time.monotonic() - started >= 60 * minutes:
            raise CosenseError(
                f"minutes is {minutes:g}, and preparing samples took them all ({doing}); what is done is "
                f"kept in {task.config.cache}: start again, or give more minutes"
            )

    task.load(show)
    check("all are there")
    progress.remove_task(bar)
    return time.monotonic() - started


def learning_rate(progress: float, peak: float, decay_at: Sequence[float] = ()) -> float:
    """Return the learning rate after a share `progress` in [0, 1] of the run; see `RunConfig`."""
    if decay_at:
        return float(peak * 0.1 ** sum(progress >= share for share in decay_at))
    if progress < _WARM_UP:
        return peak * (0.1 + 0.9 * progress / _WARM_UP)
    return peak * 0.5 * (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP)))


class Run:
    """One process of a training run.

    Attributes:
        task: networks to train, with their samples loaded.
        step: number of steps done.
        elapsed_s: wall time spent on them in seconds, validation included.
    """

    def __init__(
        self, task: Task, out: Path, processes: Processes, progress: Progress, prepared_s: float = 0.0
    ) -> None:
        """Prepare a run that writes into the folder `out`, created where it is missing.

        Args:
            task: networks to train, with their samples loaded.
            out: folder of the run.
            processes: this process among all.
            progress: shows how far the run is.
            prepared_s: wall time that the samples took, in seconds; a run by the clock is so much shorter.

        Raises:
            CosenseError: the task has no samples.
        """
        if not task.samples:
            raise CosenseError(f"data: nothing to learn from in {to_mapping(task.config)['data']}")
        self.task, self.out, self.processes, self.progress = task, out, processes, progress
        self._prepared_s = prepared_s
        self.config: RunConfig = task.config
        out.mkdir(parents=True, exist_ok=True)
        self.optimizer = torch.optim.AdamW(
            task.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        self.log = Log(out)
        self.step = 0
        self.elapsed_s = 0.0
        self._epoch_steps = len(task.samples) / (self.config.batch_size * processes.count)

    def train(self) -> None:
        """Step until the run has had its epochs, steps or minutes; Ctrl-C leaves a checkpoint."""
        task, processes = self.task.train(), self.processes
        batches = task.batches(self.step, processes.rank, processes.count)
        started = time.monotonic() - self.elapsed_s
        self._saved_s = self._validated_s = self.elapsed_s
        if self.step and self._done() >= 1:
            logger.info("step %d: the run has its length; --minutes prolongs one by the clock", self.step)
        bar = self.progress.add_task("train", total=1.0)
        try:
            while (done := processes.agree(self._done())) < 1:
                rate = learning_rate(done, self.config.learning_rate, self.config.decay_at)
                values = self._descend(next(batches), rate)
                self.step += 1
                self.elapsed_s = time.monotonic() - started
                if processes.is_first:
                    description = f"loss {float(values['loss']):.3f}"
                    self.progress.update(bar, completed=done, description=description)
                    self._attend(values)
        finally:
            if processes.is_first:
                self.save()

    def _descend(self, batch: Any, rate: float) -> dict[str, float | Tensor]:
        """Make one step, and return what is worth a log."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        losses = self.task.losses(batch)
        losses["loss"].backward()
        further = self.task.after_backward()
        self.processes.average_gradients(self.task.parameters())
        norm = clip_grad_norm_(self.task.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        detached = {name: value.detach() for name, value in {**losses, **further}.items()}
        return {**detached, "gradient_norm": norm, "learning_rate": rate}

    def _attend(self, values: dict[str, float | Tensor]) -> None:
        """Log, save and validate after a step where it is time to."""
        if self.step % _LOG_EVERY_STEPS == 0:
            when = {"minutes": self.elapsed_s / 60, "epoch": self.step / self._epoch_steps}
            self.log.write(TRAINING, self.step, when | {k: float(v) for k, v in values.items()})
        if self.elapsed_s - self._saved_s >= 60 * self.config.checkpoint_minutes:
            self._saved_s = self.elapsed_s
            self.save()
        every = self.config.validation_steps
        if every is None:
            is_due = self.elapsed_s - self._validated_s >= 60 * self.config.validation_minutes
        else:
            is_due = self.step % every == 0
        # The last validation is that of `finish`.
        if is_due and self._done() < 1:
            self._validated_s = self.elapsed_s
            self._validate()

    def _done(self) -> float:
        """Return the share of the run that is done."""
        config = self.config
        if config.minutes is not None:
            return self.elapsed_s / (60 * config.minutes - self._prepared_s)
        if config.epochs is not None:
            return self.step / math.ceil(config.epochs * self._epoch_steps)
        assert config.steps is not None
        return self.step / config.steps

    def _validate(self) -> dict[str, float]:
        figures = self.task.validate()
        self.log.write(VALIDATION, self.step, figures)
        said = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        logger.info("step %d: %s", self.step, said)
        return figures

    def finish(self, command: str) -> dict[str, float]:
        """Validate and export with a card that names `command`; return the figures."""
        figures = self._validate()
        self.task.export(self.out, command)
        write_card(
            self.task,
            self.out,
            command=command,
            steps=self.step,
            elapsed_s=self.elapsed_s,
            figures=figures,
        )
        return figures

    def save(self) -> None:
        """Write the checkpoint, as one file that appears complete or not at all."""
        path = self.out / CHECKPOINT
        partial = path.with_name(path.name + ".part")
        content = {
            "task": self.task.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "config": to_mapping(self.config),
        }
        try:
            torch.save(content, partial)
        except (OSError, RuntimeError) as error:
            # torch reports a disk that is full as an error of its own writer.
            partial.unlink(missing_ok=True)
            raise CosenseError(
                f"{path}: cannot be written ({' '.join(str(error).split())[:120]}): free some space, then "
                "--resume goes on from the checkpoint before"
            ) from None
        partial.replace(path)

    def resume(self) -> None:
        """Go back to the checkpoint of the folder.

        Raises:
            CosenseError: there is none, it is broken, or it is of another run.
        """
        path = self.out / CHECKPOINT
        saved = read_checkpoint(path, self.config)
        try:
            self.task.load_state_dict(saved["task"])
            self.optimizer.load_state_dict(saved["optimizer"])
        except (RuntimeError, ValueError):
            # Same name, other layers: the model's configuration has changed since.
            raise CosenseError(f"{path}: holds other networks than the run has now; {_CURE}") from None
        self.step, self.elapsed_s = saved["step"], saved["elapsed_s"]
        if self.processes.is_first:
            self.log.rewind(self.step)


def read_checkpoint(path: Path, config: RunConfig) -> dict[str, Any]:
    """Return the content of a checkpoint.

    Raises:
        CosenseError: there is none, it is broken, or it is of a run with another configuration.
    """
    saved = _read(path)
    if not isinstance(saved, dict) or not saved.keys() >= _PARTS:
        raise CosenseError(f"{path}: is no checkpoint of cosense train; {_CURE}")
    for key, value in to_mapping(config).items():
        made_with = saved["config"].get(key)
        if key not in _MAY_CHANGE and made_with != value:
            raise CosenseError(f"{path}: was made with {key} {made_with!r}, the run has {value!r}; {_CURE}")
    return saved


def _read(path: Path) -> Any:
    """Return what a checkpoint holds, on the processor; what it is has yet to be checked."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CosenseError(f"{path}: no checkpoint to resume from; leave --resume out") from None
    except Exception as error:  # torch raises half a dozen types for a broken file
        raise CosenseError(f"{path}: not readable as a checkpoint: {error}") from None
