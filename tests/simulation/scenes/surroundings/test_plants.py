"""Foliage stops rays as hedges and crowns do: fuzzily, and not all of them."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, draw_barrier
from cosense.simulation.scenes.surroundings.plants import bush, hedge_piece
from cosense.simulation.scenes.surroundings.trees import (
    bare_tree,
    conifer,
    garden_tree,
    street_tree,
    young_tree,
)

GREEN = (0.1, 0.3, 0.1)


def depths(mesh: Mesh, targets: np.ndarray, away_m: float = 20.0) -> np.ndarray:
    """Return the depth (n,) in y at which level rays through targets (n,2: x, z) hit, inf if none."""
    scene_module = pytest.importorskip("embreex.rtcore_scene")
    shapes = pytest.importorskip("embreex.mesh_construction")
    scene = scene_module.EmbreeScene()
    shapes.TriangleMesh(scene, mesh.vertices, mesh.faces)
    origins = np.column_stack([targets[:, 0], np.full(len(targets), -away_m), targets[:, 1]]).astype(
        np.float32
    )
    directions = np.tile(np.float32([0, 1, 0]), (len(targets), 1))
    range_m = scene.run(origins, directions, output=True)["tfar"]
    return np.where(range_m < 1e3, range_m - away_m, np.inf)


def grid(x_m: float, low_m: float, high_m: float) -> np.ndarray:
    x, z = np.meshgrid(np.linspace(-x_m, x_m, 60), np.linspace(low_m, high_m, 40))
    return np.column_stack([x.ravel(), z.ravel()])


@pytest.mark.parametrize("ragged", [0.0, 0.5, 1.0])
def test_a_hedge_stops_most_rays_in_its_first_half_metre_at_unlike_depths(ragged: float) -> None:
    rng = np.random.default_rng(0)
    pieces = [hedge_piece(PIECE_M, 1.2, 1.6, rng, GREEN, ragged).at(x, 0.0) for x in (-PIECE_M, 0, PIECE_M)]
    depth = depths(join(pieces), grid(2.5, 0.1, 1.0)) + 0.6
    assert (depth < 0.5).mean() > 0.8
    assert np.std(depth[depth < 0.5]) > 0.04
    assert max(len(piece) for piece in pieces) < 1000


def test_a_crown_lets_some_rays_through_and_stops_more() -> None:
    passed = []
    for seed in range(8):
        tree = street_tree(np.random.default_rng(seed))
        crown = tree.vertices[tree.vertices[:, 2] > 2.0]
        middle, half = crown[:, 2].mean(), np.ptp(crown[:, 0]) * 0.25
        passed.append(np.isinf(depths(tree, grid(half, middle - 0.3, middle + 0.6))).mean())
        assert len(tree) < 1400
    assert 0.02 < np.mean(passed) < 0.5


def test_crowns_beside_roads_hang_higher_than_lorries_and_others_reach_the_ground() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        low = street_tree(rng).vertices
        low = low[low[:, 2] < 3.6]
        assert np.hypot(low[:, 0], low[:, 1]).max() < 1.3
    reach = []
    for _ in range(40):
        tree = garden_tree(rng).vertices
        low = tree[(tree[:, 2] > 0.5) & (tree[:, 2] < 1.5)]
        reach.append(np.ptp(low[:, 0]) if len(low) else 0.0)
    assert max(reach) > 2.0
    assert min(reach) < 0.6


def test_bushes_come_from_half_a_metre_to_the_size_of_a_car() -> None:
    rng = np.random.default_rng(2)
    sizes = np.array([np.ptp(bush(rng).vertices, axis=0) for _ in range(60)])
    assert sizes[:, 0].min() < 1.0
    assert sizes[:, 0].max() > 3.2
    assert sizes[:, 2].min() > 0.3
    assert sizes[:, 2].max() < 3.0


@pytest.mark.parametrize("build", [bush, street_tree, garden_tree, young_tree, bare_tree, conifer])
def test_plants_of_one_seed_are_the_same_and_stand_on_the_ground(build) -> None:
    one, other = build(np.random.default_rng(3)), build(np.random.default_rng(3))
    np.testing.assert_array_equal(one.vertices, other.vertices)
    assert -0.6 < one.vertices[:, 2].min() < 0.3


def test_a_hedge_as_a_barrier_comes_in_pieces_that_meet() -> None:
    barrier = draw_barrier(np.random.default_rng(4), "hedge")
    for piece in barrier.pieces:
        assert PIECE_M <= np.ptp(piece.vertices[:, 0]) < 3.2
