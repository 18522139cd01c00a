"""Fronts have holes where their openings are, houses reach below the ground, and every barrier is a piece."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.surroundings.barriers import KINDS, PIECE_M, draw_barrier
from cosense.simulation.scenes.surroundings.house_fronts import House, wall_with_openings
from cosense.simulation.scenes.surroundings.houses import CELLAR_M, house


def area_m2(mesh: Mesh, rows: np.ndarray) -> float:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces[rows]].astype(np.float64), 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_a_wall_has_its_area_without_the_openings_and_panes_that_fill_them() -> None:
    openings = np.array([(-3.0, -2.0, 1.0, 2.5), (0.5, 2.0, 0.0, 2.0)])
    wall, panes = wall_with_openings(8.0, (0.0, 3.0), openings, 0.2, Material.PLASTER, None, 0.5)
    in_front = np.abs(wall.vertices[wall.faces][:, :, 1]).max(axis=1) < 1e-6
    assert area_m2(wall, in_front) == pytest.approx(24.0 - 1.5 - 3.0, abs=1e-4)
    np.testing.assert_allclose(panes[:, :, 1], 0.2)
    assert np.ptp(panes[1], axis=0) == pytest.approx((1.5, 0.0, 2.0))


@pytest.mark.parametrize("seed", range(4))
def test_a_house_fills_its_footprint_and_reaches_below_the_ground(seed: int) -> None:
    made = house(House(12.0, 9.0, 1 + seed, seed % 2 == 0, True), np.random.default_rng(seed))
    low = made.vertices[made.vertices[:, 2] < 2.0]
    assert made.vertices[:, 2].min() == pytest.approx(-CELLAR_M)
    assert np.ptp(low[:, 0]) == pytest.approx(12.0, abs=0.8)
    # Nothing low sticks out over a walkway by more than a hand or two.
    assert low[:, 1].min() > -4.5 - 0.35
    assert len(made) < 3000


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_of_a_barrier_are_at_most_three_metres_long_and_keep_to_their_width(kind: str) -> None:
    barrier = draw_barrier(np.random.default_rng(5), kind)
    for piece in barrier.pieces:
        assert PIECE_M - 0.4 < np.ptp(piece.vertices[:, 0]) < 3.2
        assert np.ptp(piece.vertices[:, 1]) < barrier.width_m + 0.7
