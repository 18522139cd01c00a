"""Colours of bodies, and how bright they are at 905 nm.

Shares of colours are those of new cars worldwide (Axalta, Global Automotive Color Popularity Report 2023:
white 36 %, black 21 %, grey 15 %, silver 9 %, blue 9 %, red 5 %, others 5 %). Carbon black absorbs the
LiDAR's light as well as the visible: black paint reflects 2-10 %, while red, yellow and most blue pigments
are bright in the near infrared (Lim et al., Near-Infrared Reflective Dark-Tone Bilayer System for
LiDAR-Based Autonomous Vehicles, Macromolecular Research, 2022). Clothing of any colour reflects much more
than it seems to the eye, save black polyester and leather.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.mesh import Colour

# Share, albedo, and smallest and largest reflectance at 905 nm.
_PAINTS: tuple[tuple[float, Colour, float, float], ...] = (
    (0.34, (0.86, 0.86, 0.86), 0.55, 0.85),
    (0.20, (0.04, 0.04, 0.045), 0.02, 0.10),
    (0.15, (0.30, 0.31, 0.33), 0.06, 0.25),
    (0.10, (0.62, 0.63, 0.65), 0.35, 0.65),
    (0.09, (0.10, 0.18, 0.42), 0.08, 0.45),
    (0.06, (0.58, 0.07, 0.07), 0.40, 0.75),
    (0.02, (0.75, 0.62, 0.15), 0.50, 0.80),
    (0.02, (0.12, 0.30, 0.20), 0.10, 0.40),
    (0.02, (0.45, 0.36, 0.27), 0.20, 0.50),
)
_SHARES = np.array([paint[0] for paint in _PAINTS])
_SKINS: tuple[Colour, ...] = ((0.72, 0.53, 0.43), (0.58, 0.42, 0.33), (0.36, 0.24, 0.18))


def paint(rng: np.random.Generator) -> tuple[Colour, float]:
    """Return the colour of a vehicle, and its reflectance at 905 nm."""
    _, colour, low, high = _PAINTS[int(rng.choice(len(_PAINTS), p=_SHARES))]
    shade = rng.uniform(0.85, 1.15)
    red, green, blue = (float(min(part * shade, 0.95)) for part in colour)
    return (red, green, blue), float(rng.uniform(low, high))


def livery(rng: np.random.Generator) -> tuple[Colour, float]:
    """Return the colour of a commercial vehicle, of which more than half are white, and its reflectance."""
    return paint(rng) if rng.random() < 0.45 else ((0.86, 0.86, 0.86), float(rng.uniform(0.55, 0.85)))


def cloth(rng: np.random.Generator) -> tuple[Colour, float]:
    """Return the colour of a piece of clothing, and its reflectance at 905 nm."""
    if rng.random() < 0.35:
        grey = float(rng.uniform(0.03, 0.15))
        return (grey, grey, grey * 1.1), float(rng.uniform(0.05, 0.45))
    red, green, blue = (float(part) for part in rng.uniform(0.08, 0.8, 3))
    return (red, green, blue), float(rng.uniform(0.25, 0.75))


def complexion(rng: np.random.Generator) -> Colour:
    """Return the colour of a person's skin."""
    return _SKINS[int(rng.integers(len(_SKINS)))]
