"""Who stays, who is replaced, and routes that know where they meet; test_every_family.py has the rest."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.conflicts import find_conflicts
from cosense.simulation.scenes.paths import Route
from cosense.simulation.scenes.roads import pedestrian_routes, vehicle_routes
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.streets import draw_profile, through_arms
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.traffic import Traffic


@pytest.fixture(scope="module")
def bend() -> Traffic:
    """A road of two lanes in a bend, where nothing stands."""
    rng = np.random.default_rng(2)
    arms = through_arms(rng, draw_profile(rng, lanes=2, parking=0.0), 1 / 150, 1.0)
    routes = (*vehicle_routes(arms), *pedestrian_routes(arms))
    movers = {"vehicle": 16, "pedestrian": 6}
    scene = Scene("bend", (), Ground(), routes, (), (), (0, 1), (190.0, 190.0), movers)
    return Traffic.start(scene, rng, 3, 5.0)


def test_positions_a_little_later_are_those_of_the_speed(bend: Traffic) -> None:
    ahead = np.linalg.norm(bend.poses(0.03)[:, :2] - bend.poses()[:, :2], axis=1)
    speeds = [mover.speed_mps for mover in bend.movers]
    np.testing.assert_allclose(ahead, np.array(speeds) * 0.03, atol=0.005)


def test_the_instrumented_vehicles_stay_and_the_others_are_replaced(bend: Traffic) -> None:
    assert bend.ego_ids == ("vehicle", "vehicle_2", "vehicle_3")
    first = {mover.identity for mover in bend.movers}
    for _ in range(200):
        bend.step()
    present = {mover.identity for mover in bend.movers}
    assert set(bend.ego_ids) <= present
    assert present - first
    ego = bend.movers[0]
    assert ego.front_m <= bend.scene.routes[ego.route].length_m


def route(*corners: tuple[float, float], user: str = "vehicle") -> Route:
    return Route.along(np.array(corners, dtype=np.float64), user, 10.0)


def test_routes_that_cross_conflict_where_they_do() -> None:
    conflicts = find_conflicts([route((-50, 0), (50, 0)), route((0, -30), (0, 50))])
    (first,), (second,) = conflicts[0], conflicts[1]
    assert first.start_m < 50 < first.end_m
    assert second.start_m < 30 < second.end_m
    assert first.end_m - first.start_m < 10


def test_parallel_lanes_do_not_conflict() -> None:
    conflicts = find_conflicts([route((-50, 0), (50, 0)), route((50, 3.2), (-50, 3.2))])
    assert conflicts[0] == conflicts[1] == ()


def test_leaving_a_common_lane_is_no_conflict_but_joining_is() -> None:
    straight, leaving = route((0, 0), (100, 0)), route((0, 0), (50, 0), (80, 30))
    assert find_conflicts([straight, leaving])[0] == ()
    joining = route((20, 30), (50, 0), (100, 0))
    (merge,) = find_conflicts([straight, joining])[0]
    assert 40 < merge.start_m < 50


def test_a_route_that_crosses_itself_conflicts_with_itself() -> None:
    loop = route((-40, 0), (30, 0), (30, 30), (0, 30), (0, -40))
    crossing = [c for cluster in find_conflicts([loop])[0] for c in cluster.conflicts]
    assert {c.other for c in crossing} == {0}
    assert any(c.start_m < 40 < c.end_m and c.other_start_m > 100 for c in crossing)
