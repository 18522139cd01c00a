"""Colours of what people put beside roads."""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.mesh import Colour


def any_colour(rng: np.random.Generator) -> Colour:
    """Draw a paint: greys, and now and then something bright."""
    if rng.random() < 0.5:
        grey = float(rng.uniform(0.08, 0.8))
        return grey, grey, grey
    red, green, blue = rng.uniform(0.05, 0.8, 3)
    return float(red), float(green), float(blue)


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made brighter or darker by a factor."""
    red, green, blue = (min(1.0, part * factor) for part in colour)
    return red, green, blue
