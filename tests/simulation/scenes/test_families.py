"""Places are different, hold what they must, and nothing stands in anybody's way."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.objects import VEHICLES
from cosense.simulation.scenes.families import FAMILIES, TRAINING_FAMILIES, UNSEEN_FAMILIES, build_scene
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import join
from cosense.simulation.scenes.paths import offset
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.sensors.raycast import World

HALF_WIDTH_M = {"vehicle": 1.15, "cyclist": 0.33, "pedestrian": 0.3}
LORRY_M = 3.4


@cache
def scene(family: str, seed: int) -> Scene:
    return build_scene(family, np.random.default_rng(seed))


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_stands_on_a_route(family: str) -> None:
    place = scene(family, 0)
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
    one, other = scene(family, 1), build_scene(family, np.random.default_rng(1))
    np.testing.assert_array_equal(one.ground.surface, other.ground.surface)
    np.testing.assert_array_equal(one.ground.relief, other.ground.relief)
    np.testing.assert_array_equal(join(one.surroundings).vertices, join(other.surroundings).vertices)
    assert one.masts == other.masts


@pytest.mark.parametrize("family", FAMILIES)
def test_every_place_has_what_the_issue_asks_for(family: str) -> None:
    places = [scene(family, seed) for seed in range(2)]
    for place in places:
        assert place.masts
        assert all(4.0 <= mast.height_m <= 9.0 for mast in place.masts)
        assert place.vehicles + len(place.parked) >= 6
        assert {route.user for route in place.routes} >= {"vehicle", "pedestrian"}
        assert all(place.routes[row].user == "vehicle" for row in place.ego_routes)
    materials = set(np.concatenate([join(place.surroundings).material for place in places]).tolist())
    assert materials >= {Material.FOLIAGE, Material.METAL, Material.PLASTER, Material.BARK}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_world_goes_on_behind_the_houses_and_stays_small(family: str) -> None:
    place = scene(family, 0)
    middles = np.array([thing.middle for thing in place.surroundings])
    assert (np.linalg.norm(middles, axis=1) > 140).sum() > 5
    assert sum(len(thing) for thing in place.surroundings) < 400_000
    assert len(place.ground.relief_mesh()) < 120_000


def test_families_for_evaluation_are_not_among_those_for_training() -> None:
    assert not set(TRAINING_FAMILIES) & set(UNSEEN_FAMILIES)
    assert FAMILIES == TRAINING_FAMILIES + UNSEEN_FAMILIES
    assert len(UNSEEN_FAMILIES) >= 3


def test_under_the_bridge_there_are_two_grounds() -> None:
    """Rays from the sky meet the deck, rays from below it the road, with room for a lorry between them."""
    place = scene("underpass", 0)
    view = World.of(join(place.surroundings), place.ground).with_actors(join([]))
    road = place.ground.height_at(np.zeros((1, 2)))[0]
    from_sky, from_road = (
        view.cast(np.array([[0.0, 0.0, height]]), np.array([[0.0, 0.0, way]]))
        for height, way in ((60.0, -1.0), (road + 0.5, 1.0))
    )
    deck, below = 60.0 - from_sky.range_m[0], road + 0.5 + from_road.range_m[0]
    assert below - road > 4.2
    assert deck - below == pytest.approx(0.8, abs=0.1)


def test_vehicles_park_in_many_ways() -> None:
    """Along the kerb with and against the traffic, at an angle and at right angles to it."""
    headings = []
    for family in ("residential", "arterial", "parked_road", "crossing"):
        for seed in range(2):
            place = scene(family, seed)
            lines = np.concatenate([route.line for route in place.routes if route.user == "vehicle"])
            ways = np.concatenate(
                [np.gradient(route.line, axis=0) for route in place.routes if route.user == "vehicle"]
            )
            for parked in (one for one in place.parked if one.body.label in VEHICLES):
                way = ways[np.linalg.norm(lines - (parked.x, parked.y), axis=1).argmin()]
                headings.append(abs(wrap_angle(parked.yaw - np.arctan2(way[1], way[0]))))
    share = np.histogram(np.degrees(headings), bins=[0, 15, 50, 75, 105, 135, 165, 180])[0] / len(headings)
    assert share[0] > 0.1
    assert share[3] > 0.05
    assert share[2] + share[4] > 0.02
    assert share[6] > 0.01


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
