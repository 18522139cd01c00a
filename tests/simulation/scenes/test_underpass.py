"""A road below a bridge: two grounds, one above the other."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import join
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.underpass import underpass
from cosense.simulation.sensors.raycast import World


@pytest.fixture(scope="module")
def place() -> Scene:
    return underpass(np.random.default_rng(0))


def test_under_the_bridge_there_are_two_grounds(place: Scene) -> None:
    """Rays from the sky meet the deck, rays from below it the road, with room for a lorry between them."""
    view = World.of(join(place.surroundings), place.ground).with_actors(join([]))
    road = place.ground.height_at(np.zeros((1, 2)))[0]
    from_sky, from_road = (
        view.cast(np.array([[0.0, 0.0, height]]), np.array([[0.0, 0.0, way]]))
        for height, way in ((60.0, -1.0), (road + 0.5, 1.0))
    )
    deck, below = 60.0 - from_sky.range_m[0], road + 0.5 + from_road.range_m[0]
    assert below - road > 4.2
    assert deck - below == pytest.approx(0.8, abs=0.1)


def test_another_seed_draws_another_place(place: Scene) -> None:
    other = underpass(np.random.default_rng(1))
    used = place.ground.surface != Material.GRASS
    assert ((place.ground.surface == other.ground.surface) & used).mean() < 0.5 * used.mean()
    assert len(place.surroundings) != len(other.surroundings)
