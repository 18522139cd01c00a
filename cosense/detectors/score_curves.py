"""Scores that are probabilities: how likely a box of this class, so far away, is an object.

A heat map says how much a place looks like the middle of an object. How often it is right depends on the
class and on the distance: far away a few points look like a car more often than they are one. So each class
has a logistic curve (Platt, 1999) with the distance as a second variable,

    logit p = a * logit of the heat map + b + c * distance / 50 m,

fitted on scenes that nothing was learned from (`training.detector_task`) and kept in config.yaml. It is
applied where the head's maps are made, so everything that reads them reads probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from cosense.detectors.head import DETECTED_CLASSES, cell_centers
from cosense.detectors.layers import FAR_M
from cosense.sensing.grid import BevGrid

Curves = Mapping[str, tuple[float, float, float]]


def check_curves(curves: Curves) -> None:
    """Raise ValueError where a curve is of no class, or does not keep the order of scores."""
    names = [kind.name.lower() for kind in DETECTED_CLASSES]
    for name, (a, b, c) in curves.items():
        if name not in names:
            raise ValueError(f"score_curves: '{name}' is not one of {', '.join(names)}")
        if not (0 < a < math.inf and math.isfinite(b) and math.isfinite(c)):
            raise ValueError(
                f"score_curves: {name} is ({a}, {b}, {c}), expected a first number above 0, all finite"
            )


class ScoreCurves:
    """The curves of a detector, on the cells of its heat maps."""

    def __init__(self, curves: Curves, grid: BevGrid, device: torch.device) -> None:
        """Take curves by name of the class in lower case; a class without one keeps its scores."""
        height, width = grid.shape
        distance_m = torch.linalg.norm(cell_centers(torch.arange(height * width), grid), dim=1)
        rows = [curves.get(kind.name.lower(), (1.0, 0.0, 0.0)) for kind in DETECTED_CLASSES]
        a, b, c = torch.tensor(rows).T[..., None, None]
        self._steepness = a.to(device)
        self._offset = (b + c * distance_m.view(height, width) / FAR_M).to(device)
        self._are_given = bool(curves)

    def calibrated(self, class_logits: Tensor) -> Tensor:
        """Return the logits (classes,H,W) of probabilities."""
        return class_logits * self._steepness + self._offset if self._are_given else class_logits
