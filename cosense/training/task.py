"""What a cooperative run trains: networks, their losses, and what they say of a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from cosense.detectors.base import BevDetector
from cosense.detectors.head import HeadMaps
from cosense.training.fusion_examples import Example


class Task(nn.Module):
    """One way of sharing features; its state is what a weights file holds beside the detector.

    Attributes:
        settings: how much is sent in validation, by name, as `maps_of` takes it.
        detector: frozen, made the features.
    """

    settings: ClassVar[Mapping[str, Any]]
    detector: BevDetector

    def losses(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return what is minimised, "loss" first."""
        raise NotImplementedError

    def after_backward(self) -> dict[str, Tensor]:
        """Learn from the gradients that "loss" has left, and return what is worth a log."""
        return {}

    def maps_of(self, example: Example, setting: Any) -> HeadMaps:
        """Return the fused maps of one moment in a setting."""
        raise NotImplementedError
