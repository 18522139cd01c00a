"""Which families there are; test_every_family.py has what holds in each of them."""

from __future__ import annotations

from cosense.simulation.scenes.families import FAMILIES, TRAINING_FAMILIES, UNSEEN_FAMILIES


def test_families_for_evaluation_are_not_among_those_for_training() -> None:
    assert not set(TRAINING_FAMILIES) & set(UNSEEN_FAMILIES)
    assert FAMILIES == TRAINING_FAMILIES + UNSEEN_FAMILIES
    assert len(UNSEEN_FAMILIES) >= 3
