"""What a run trains: the interface between the loop and a detector, a method or an encoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

import cosense.training.tasks
from cosense import plugins
from cosense.config import from_mapping, load_yaml
from cosense.errors import CosenseError, nearest
from cosense.methods.model import read_model_config
from cosense.model_folders import CONFIG, find_model
from cosense.training.cached import Show, silent
from cosense.training.run_config import RunConfig

KINDS = ("detector", "method", "encoder")


class Task(nn.Module):
    """Networks with their samples, losses and validation.

    The parameters of this module are what is trained, its state is what a checkpoint holds.

    Attributes:
        Config: dataclass that the run's YAML is read into.
        figures_mean: sentence of the card that says what the figures of `validate` are.
        config: the run.
        samples: samples that are learned from, once `load` has been called.
        unseen: samples that are validated on, likewise.
    """

    Config: ClassVar[type[RunConfig]]
    figures_mean: str
    config: Any
    samples: Sequence[Any]
    unseen: Sequence[Any]

    def __init__(self, config: Any, device: torch.device) -> None:
        """Build the networks of a run, with weights drawn from its seed."""
        super().__init__()
        self.config, self.device = config, device

    def load(self, show: Show = silent) -> None:
        """Set `samples` and `unseen`, making what is not in the cache yet."""
        raise NotImplementedError

    def batches(self, first_step: int, rank: int, ranks: int) -> Iterator[Any]:
        """Yield the batches of one of `ranks` processes from a step on, without end.

        Every random choice is drawn from (seed, step, rank), never from a state that runs along: a run that
        resumes at step n sees what it would have seen.
        """
        size = self.config.batch_size
        for step in itertools.count(first_step):
            first = (step * ranks + rank) * size
            rng = np.random.default_rng((self.config.seed, step, rank))
            places = range(first, first + size)
            yield self.batch(
                [self.samples[sample_at(place, len(self.samples), self.config.seed)] for place in places], rng
            )

    def batch(self, samples: list[Any], rng: np.random.Generator) -> Any:
        """Return a batch, drawn from samples; only the `batches` of this class calls it."""
        raise NotImplementedError

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return scalars by name; "loss" is minimised, the others are logged."""
        raise NotImplementedError

    def after_backward(self) -> dict[str, Tensor]:
        """Learn from the gradients that "loss" has left, and return further scalars for the log."""
        return {}

    def validate(self) -> dict[str, float]:
        """Return how good the networks are on `unseen`, by name; they stay as they are, in training mode."""
        raise NotImplementedError

    def summary(self) -> str:
        """Return what the networks are and their size, for the card."""
        raise NotImplementedError

    def export(self, out: Path, command: str) -> None:
        """Write weights, configuration and whatever else the model needs, all but the card, into `out`."""
        raise NotImplementedError


def sample_at(position: int, size: int, seed: int) -> int:
    """Return the index of the sample at a position of a run, one of `size`; every epoch has its own order."""
    epoch, place = divmod(position, size)
    # Drawn anew for each position: a permutation of a few thousand costs microseconds.
    return int(np.random.default_rng((seed, epoch)).permutation(size)[place])


def read_run(path: Path) -> tuple[type[Task], RunConfig]:
    """Return what a run's YAML trains, and how.

    Raises:
        CosenseError: the file does not say what kind of thing it trains, nothing can train it, or a key or
            value is wrong.
    """
    mapping = load_yaml(path)
    kind = mapping.get("train") if isinstance(mapping, dict) else None
    if not isinstance(kind, str):
        raise CosenseError(
            f"{path}: does not say what it trains; add 'train: detector', 'train: method' or "
            "'train: encoder', and call the scenes that it learns from 'data:'"
        )
    if kind not in KINDS:
        raise CosenseError(
            f"{path}: train: '{kind}' is not one of {', '.join(KINDS)}, {nearest(kind, KINDS)}"
        )
    task = plugins.load_class(cosense.training.tasks, _name(kind, mapping, path), Task, f"{path}: {kind}")
    return task, from_mapping(task.Config, mapping, where=str(path))


def _name(kind: str, mapping: dict[str, Any], path: Path) -> str:
    """Return which of its kind a run trains."""
    if kind == "encoder":
        return "node_encoder"
    if not isinstance(mapping.get("model"), str):
        raise CosenseError(f"{path}: missing key 'model', the folder whose {CONFIG} says which network")
    model = read_model_config(find_model(mapping["model"]))
    if kind == "detector":
        return str(mapping.get("part", model.detector_name))
    if model.method_name is None:
        raise CosenseError(f"{model.where}: has no 'sharing:', so there is no method to train")
    return model.method_name
