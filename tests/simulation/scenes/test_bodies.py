"""Bodies fill their label boxes exactly, have the sizes of traffic, and a front unlike their rear."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bodies import LABELS, Body, make_body

VEHICLES = [ObjectClass.CAR, ObjectClass.VAN, ObjectClass.TRUCK, ObjectClass.BUS]
# Most triangles that a body may have.
LIMITS = {ObjectClass.CAR: 550, ObjectClass.VAN: 550, ObjectClass.TRUCK: 720, ObjectClass.BUS: 740}


def bodies(label: ObjectClass, count: int = 30) -> list[Body]:
    rng = np.random.default_rng(3)
    return [make_body(label, rng) for _ in range(count)]


def inside(body: Body, margin: float = 1e-4) -> np.ndarray:
    """Return which vertices lie in the label box."""
    half = np.array([body.size[0], body.size[1], np.inf]) / 2 + margin
    places = body.mesh.vertices
    return (np.abs(places) <= half).all(axis=1) & (places[:, 2] <= body.size[2] + margin)


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name.lower())
def test_the_label_box_is_the_tight_hull_that_stands_on_the_ground(label: ObjectClass) -> None:
    for body in bodies(label):
        length, width, height = body.size
        hull = body.mesh.vertices[inside(body)]
        np.testing.assert_allclose(hull.min(axis=0), [-length / 2, -width / 2, 0], atol=1e-4)
        np.testing.assert_allclose(hull.max(axis=0), [length / 2, width / 2, height], atol=1e-4)
        assert len(body.mesh) <= LIMITS.get(label, 650)
        np.testing.assert_array_equal(body.mesh.local, body.mesh.vertices)


@pytest.mark.parametrize("label", VEHICLES, ids=lambda label: label.name.lower())
def test_only_mirrors_reach_out_of_the_box_of_a_vehicle(label: ObjectClass) -> None:
    for body in bodies(label):
        outside = body.mesh.vertices[~inside(body)]
        assert 8 <= len(outside) <= 16
        assert (np.abs(outside[:, 1]) > body.size[1] / 2).all()
        assert np.ptp(outside[:, 0]) < 0.35
        assert np.abs(outside[:, 1]).max() < body.size[1] / 2 + 0.4
