"""Places are different, hold what they must, and nothing stands in anybody's way."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.geometry.boxes import points_in_boxes
from cosense.simulation.scenes.families import FAMILIES, build_scene
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import join
from cosense.simulation.scenes.paths import offset
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.sensors.raycast import World

HALF_WIDTH_M = {"vehicle": 1.15, "cyclist": 0.33, "pedestrian": 0.3}
LORRY_M = 3.4


def scene(family: str, seed: int) -> Scene:
    return build_scene(family, np.random.default_rng(seed))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_stands_on_a_route(family: str, seed: int) -> None:
    place = scene(family, seed)
    parked = np.array([[p.x, p.y, 0, *p.body.size[:2], 20.0, p.yaw] for p in place.parked]).reshape(-1, 7)
    things = World.of(join(place.surroundings), place.ground).with_actors(join([]))
    for route in place.routes:
        half = HALF_WIDTH_M[route.user]
        way = np.concatenate([offset(route.line[::3], side)[1:-1] for side in (-half, 0.0, half)])
        assert not points_in_boxes(np.column_stack([way, np.zeros(len(way))]), parked).any()
        # Rays just above the ground, so that a shelter's roof may reach over the walkway.
        eyes = np.column_stack([way, place.ground.height_at(way) + 0.4])
        ahead = np.diff(eyes, axis=0)
        distance = np.linalg.norm(ahead, axis=1)
        hits = things.cast(eyes[:-1], ahead / distance[:, None])
        near = np.flatnonzero((hits.range_m < distance) & (distance < 3.0))
        met = [Material(material).name for material in hits.material[near]]
        assert not len(near), f"{route.user} meets {met} at {eyes[near]}"


@pytest.mark.parametrize("family", FAMILIES)
def test_places_of_different_seeds_differ(family: str) -> None:
    one, other = scene(family, 0), scene(family, 1)
    shared = (one.ground.surface == other.ground.surface) & (one.ground.surface != Material.GRASS)
    assert shared.mean() < 0.5 * (one.ground.surface != Material.GRASS).mean()
    assert len(one.surroundings) != len(other.surroundings)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_place(family: str) -> None:
    one, other = scene(family, 3), scene(family, 3)
    np.testing.assert_array_equal(one.ground.surface, other.ground.surface)
    np.testing.assert_array_equal(join(one.surroundings).vertices, join(other.surroundings).vertices)
    assert one.masts == other.masts


@pytest.mark.parametrize("family", FAMILIES)
def test_every_place_has_what_the_issue_asks_for(family: str) -> None:
    places = [scene(family, seed) for seed in range(4)]
    for place in places:
        assert place.masts
        assert all(4.0 <= mast.height_m <= 9.0 for mast in place.masts)
        assert place.vehicles + len(place.parked) >= 6
        assert {route.user for route in place.routes} >= {"vehicle", "pedestrian"}
        assert all(place.routes[row].user == "vehicle" for row in place.ego_routes)
    materials = set(np.concatenate([join(place.surroundings).material for place in places]).tolist())
    assert materials >= {Material.FOLIAGE, Material.METAL, Material.PLASTER, Material.BARK}


def test_houses_hide_the_side_road_from_the_ego_and_not_from_the_mast() -> None:
    """On most T-junctions the ground truth has vehicles that only the mast sees."""
    from cosense.simulation import simulate

    gained = []
    for seed in range(4):
        frame = next(iter(simulate("t_junction", seed, 1))).frame
        ego, unit = (frame.agents[name].objects for name in ("vehicle", "infrastructure"))
        assert ego is not None
        assert unit is not None
        gained.append(len(set(unit.ids) - set(ego.ids) - {"vehicle"}))
    assert np.mean(gained) >= 2
