"""Weather as a LiDAR feels it: pulses that the air weakens or throws back, and roads that mirror.

The air leaves exp(-2 a r) of a pulse (Beer and Lambert). For fog, a = 3 / visibility (Koschmieder); rain and
snow follow Hahner et al., "LiDAR snowfall simulation" (CVPR 2022), and Goodin et al., "Predicting the
influence of rain on LiDAR" (Electronics 2019), in their order of magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.simulation.chance import draw


@dataclass(frozen=True)
class Weather:
    """The weather of one scene.

    Attributes:
        name: what people call it.
        extinction_per_m: share of a pulse that is lost per metre.
        backscatter: share of rays that return from a drop, a flake or fog.
        reach_m: mean range of these returns.
        wet: how much of a film of water lies on the roads, 0..1.
    """

    name: str
    extinction_per_m: float = 0.0
    backscatter: float = 0.0
    reach_m: float = 1.0
    wet: float = 0.0


CLEAR = Weather("clear")
# How often each is drawn.
_SHARES = {
    CLEAR: 0.62,
    Weather("wet road", wet=1.0): 0.07,
    Weather("drying road", wet=0.5): 0.05,
    Weather("light rain", 0.001, 0.003, 6.0, wet=0.7): 0.08,
    Weather("heavy rain", 0.006, 0.02, 5.0, wet=1.0): 0.04,
    Weather("mist", 3 / 400, 0.004, 8.0, wet=0.2): 0.05,
    Weather("fog", 3 / 80, 0.05, 5.0, wet=0.3): 0.03,
    Weather("light snow", 0.002, 0.006, 7.0): 0.04,
    Weather("heavy snow", 0.008, 0.04, 6.0): 0.02,
}


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw the weather of a scene: fair in most of them."""
    return draw(_SHARES, rng)
