"""The families of scenes; the seed draws widths, angles, slopes, houses, vegetation and parked vehicles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cosense.simulation.scenes.car_park import car_park
from cosense.simulation.scenes.roundabout import roundabout
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.streets import (
    arterial,
    crossing,
    curved_road,
    parked_road,
    residential,
    rural_road,
    t_junction,
)
from cosense.simulation.scenes.underpass import underpass

_TRAINING: dict[str, Callable[[np.random.Generator], Scene]] = {
    "crossing": crossing,
    "parked_road": parked_road,
    "curved_road": curved_road,
    "car_park": car_park,
    "residential": residential,
    "arterial": arterial,
    "rural_road": rural_road,
}
_UNSEEN: dict[str, Callable[[np.random.Generator], Scene]] = {
    "t_junction": t_junction,
    "roundabout": roundabout,
    "underpass": underpass,
}
# Those from which detectors and methods learn, and those kept for evaluation: no shipped model has seen them.
TRAINING_FAMILIES: tuple[str, ...] = tuple(_TRAINING)
UNSEEN_FAMILIES: tuple[str, ...] = tuple(_UNSEEN)
FAMILIES: tuple[str, ...] = (*TRAINING_FAMILIES, *UNSEEN_FAMILIES)


def build_scene(family: str, rng: np.random.Generator) -> Scene:
    """Return a scene of one of `FAMILIES`."""
    return (_TRAINING | _UNSEEN)[family](rng)
