"""Which families there are, and that their seeds draw different places."""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.families import FAMILIES, TRAINING_FAMILIES, UNSEEN_FAMILIES, build_scene
from cosense.simulation.scenes.materials import Material


def test_families_for_evaluation_are_not_among_those_for_training() -> None:
    assert not set(TRAINING_FAMILIES) & set(UNSEEN_FAMILIES)
    assert FAMILIES == TRAINING_FAMILIES + UNSEEN_FAMILIES
    assert len(UNSEEN_FAMILIES) >= 3


def test_places_of_different_seeds_differ() -> None:
    one, other = (build_scene("underpass", np.random.default_rng(seed)) for seed in range(2))
    shared = (one.ground.surface == other.ground.surface) & (one.ground.surface != Material.GRASS)
    assert shared.mean() < 0.5 * (one.ground.surface != Material.GRASS).mean()
    assert len(one.surroundings) != len(other.surroundings)
