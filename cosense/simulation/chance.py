"""Draws one of several things, each as often as its weight says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Thing = TypeVar("Thing")


def draw(weights: Mapping[Thing, float], rng: np.random.Generator) -> Thing:
    """Return one of the keys; the weights need not add up to one."""
    left = rng.random() * sum(weights.values())
    *others, last = weights
    for thing in others:
        left -= weights[thing]
        if left < 0:
            return thing
    return last
