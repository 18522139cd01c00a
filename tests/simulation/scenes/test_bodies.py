"""Bodies fill their label boxes exactly, and their front differs from their rear."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bodies import make_body

LABELS = [
    ObjectClass.CAR,
    ObjectClass.VAN,
    ObjectClass.TRUCK,
    ObjectClass.BUS,
    ObjectClass.CYCLIST,
    ObjectClass.PEDESTRIAN,
]


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name.lower())
def test_the_hull_of_the_parts_is_the_label_box(label: ObjectClass) -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        body = make_body(label, rng)
        low, high = body.mesh.vertices.min(axis=0), body.mesh.vertices.max(axis=0)
        length, width, height = body.size
        np.testing.assert_allclose(low, [-length / 2, -width / 2, 0], atol=1e-5)
        np.testing.assert_allclose(high, [length / 2, width / 2, height], atol=1e-5)


@pytest.mark.parametrize("label", LABELS[:3], ids=lambda label: label.name.lower())
def test_front_and_rear_differ(label: ObjectClass) -> None:
    """The roof of the foremost metre is lower than that of the rear half."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        body = make_body(label, rng)
        x, _, z = body.mesh.vertices.T
        ahead = z[x > body.size[0] / 2 - 0.3].max()
        behind = z[x < 0].max()
        assert ahead < behind


def test_sizes_are_those_of_the_class() -> None:
    rng = np.random.default_rng(5)
    car, bus = (
        np.mean([make_body(label, rng).size for label in [label] * 300], axis=0) for label in LABELS[:4:3]
    )
    np.testing.assert_allclose(car, [4.55, 1.85, 1.55], rtol=0.03)
    np.testing.assert_allclose(bus, [11.6, 2.54, 3.15], rtol=0.03)
