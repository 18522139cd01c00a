"""A scene stays light enough to cast."""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.plan import light_enough


def heavy(x: float) -> Mesh:
    """Return a thing of 150 000 triangles at a distance from the middle."""
    return Mesh.of(np.array([[x, 0.0, 0.0]]), np.zeros((150_000, 3)), Material.FOLIAGE)


def test_what_stands_farthest_is_left_out_where_there_is_too_much() -> None:
    near, far, beside = heavy(10.0), heavy(-120.0), heavy(60.0)
    assert light_enough([far, near, beside]) == [near, beside]
    assert light_enough([far, near]) == [far, near]
