"""Scores that mean the same wherever a box comes from: the probability that it overlaps an object by half.

A score of 0.6 means different things from a roadside unit, from the ego and from the fused head. Merged by
one constant factor, as CoSDH does, one agent's false alarms suppress another one's cars. Each source and
class gets a logistic curve (Platt, 1999), p = sigmoid(a logit(s) + b), fitted on scenes that nothing was
learned from, and shipped with the weights. It is monotone: the order within one source never changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cosense.detectors.head import DETECTED_CLASSES, detected_class
from cosense.errors import CosenseError, parse_json, read_file
from cosense.sensing.detections import Detections, Source

FILE_NAME = "calibration.json"
_LOWEST, _HIGHEST = 1e-4, 1 - 1e-4
# Few boxes of a class must not bend its curve: a pull towards "the score is the probability".
_PULL = 1.0


@dataclass(frozen=True)
class Calibration:
    """Curves by source and class.

    Attributes:
        curves: (a, b) by source ("ego", "late", "fused") and name of the class in lower case.
    """

    curves: Mapping[str, Mapping[str, tuple[float, float]]]

    def apply(self, detections: Detections, factors: NDArray[np.float64] | float = 1.0) -> Detections:
        """Return the detections with calibrated scores times `factors` (M,), best first."""
        scores = detections.scores.astype(np.float64).clip(_LOWEST, _HIGHEST)
        classes = np.array([detected_class(int(label)) for label in detections.labels], dtype=object)
        a, b = np.ones(len(scores)), np.zeros(len(scores))
        for source in Source:
            for index, label in enumerate(DETECTED_CLASSES):
                curve = self.curves.get(source.name.lower(), {}).get(label.name.lower())
                if curve is not None:
                    chosen = (detections.sources == source) & (classes == index)
                    a[chosen], b[chosen] = curve
        probabilities = (expit(a * logit(scores) + b) * factors).astype(np.float32)
        return Detections.concatenate([replace(detections, scores=probabilities)])

    def write(self, folder: Path, command: str) -> None:
        """Write the curves into a model folder, with the command that made them."""
        content = {"command": command, "curves": self.curves}
        (folder / FILE_NAME).write_text(json.dumps(content, indent=2) + "\n")


IDENTITY = Calibration({})


def read_calibration(folder: Path) -> Calibration:
    """Return the curves of a model folder; a score without a curve stays as it is.

    Raises:
        CosenseError: the file is broken.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return IDENTITY
    try:
        curves = parse_json(read_file(path))["curves"]
        return Calibration(
            {
                source: {label: _checked(float(a), float(b)) for label, (a, b) in of.items()}
                for source, of in curves.items()
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CosenseError(f"{path}: is no calibration: {error}; fit it again with `cosense train`") from None


def _checked(a: float, b: float) -> tuple[float, float]:
    """Return a curve that keeps the order of scores."""
    if not (0 < a < np.inf and np.isfinite(b)):
        raise ValueError(f"a curve is ({a}, {b}), expected a above 0 and both finite")
    return a, b


def fit_curve(scores: NDArray, is_hit: NDArray[np.bool_], *others: NDArray) -> tuple[float, ...]:
    """Return the logistic curve that makes scores (M,) probabilities of `is_hit` (M,).

    Args:
        scores: in [0, 1].
        is_hit: whether the box of a score is right.
        others: further variables (M,) of about one, on which the probability may depend.

    Returns:
        (a, b, c, ...): the logit of the probability is a logit(s) + b + c times the first of `others` + ...
    """
    # Imported late: it takes long, and only who fits curves needs it.
    from scipy.optimize import minimize

    ones = np.ones(len(scores))
    columns = [logit(np.asarray(scores, dtype=np.float64).clip(_LOWEST, _HIGHEST)), ones, *others]
    x, y = np.column_stack(columns), np.asarray(is_hit, dtype=np.float64)
    identity = np.eye(1, len(columns))[0]

    def loss(curve: NDArray) -> float:
        z = x @ curve
        return float(np.sum(np.logaddexp(0, z) - y * z) + _PULL * np.sum((curve - identity) ** 2))

    bounds = [(0.05, 20.0), *[(-20.0, 20.0)] * (len(columns) - 1)]
    return tuple(float(value) for value in minimize(loss, identity, method="L-BFGS-B", bounds=bounds).x)
