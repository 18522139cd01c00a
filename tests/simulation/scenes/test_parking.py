"""Vehicles park along the kerb both ways round, at an angle, at right angles, and on driveways."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cosense.geometry.transforms import wrap_angle
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.parking import drives, park_along
from cosense.simulation.scenes.roads import Arm, Profile, Stalls, arm_line
from cosense.simulation.scenes.surface import Ground


def arm(stalls: Stalls, parking_m: float, blocked: bool = False) -> Arm:
    """Return a straight arm along x."""
    profile = Profile(2, 3.3, 0.0, parking_m, 3.0, 10.0, stalls, blocked=blocked)
    return Arm(arm_line(0.0, 190.0, 0.0), profile, 5.0, crossing=False)


def headings_deg(road: Arm, side: int) -> np.ndarray:
    """Return the angles between parked vehicles of one side (+1 is left of x) and the traffic there."""
    parked = park_along([road], 0.9, np.random.default_rng(0))
    ahead = np.pi if side > 0 else 0.0
    return np.degrees([wrap_angle(one.yaw - ahead) for one in parked if one.y * side > 0])


def test_most_stand_along_the_kerb_with_the_traffic_and_some_against_it() -> None:
    road = arm(Stalls.PARALLEL, 2.4)
    sides = [np.abs(headings_deg(road, side)) for side in (1, -1)]
    for turned in sides:
        assert ((turned < 10) | (turned > 170)).all()
        assert (turned < 10).mean() > 0.6
    assert (np.concatenate(sides) > 170).any()


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("stalls", [Stalls.ANGLED, Stalls.ACROSS])
def test_stalls_at_an_angle_are_driven_into_forwards_or_backwards(side: int, stalls: Stalls) -> None:
    turned = headings_deg(arm(stalls, 5.2), side)
    forwards = np.abs(turned + stalls.value) < 10
    backwards = np.abs(turned - (180 - stalls.value)) < 10
    assert (forwards | backwards).all()
    assert 0.4 < forwards.mean() < 0.95


def test_they_keep_to_their_strip_and_apart() -> None:
    road = arm(Stalls.PARALLEL, 2.4)
    parked = park_along([road], 0.9, np.random.default_rng(1))
    assert len(parked) > 20
    for side in (1, -1):
        row = sorted((one for one in parked if one.y * side > 0), key=lambda one: one.x)
        for one in row:
            assert abs(one.y) + one.body.size[1] / 2 < road.profile.kerb_m
            assert abs(one.y) - one.body.size[1] / 2 > road.profile.lanes_m - 0.3
        for one, other in pairwise(row):
            assert other.x - one.x > (one.body.size[0] + other.body.size[0]) / 2


def test_double_parked_vehicles_stand_in_the_outermost_lane() -> None:
    for one in park_along([arm(Stalls.PARALLEL, 0.0, blocked=True)], 0.9, np.random.default_rng(2)):
        assert 3.3 < abs(one.y) < 6.6


def test_driveways_lead_away_from_the_road_over_a_dropped_kerb() -> None:
    road, ground = arm(Stalls.PARALLEL, 0.0), Ground()
    parked = drives(ground, [road], 1.0, np.random.default_rng(3))
    assert len(parked) > 10
    for one in parked:
        assert abs(one.y) - one.body.size[0] / 2 > road.profile.edge_m
        assert abs(np.cos(one.yaw)) < 0.2
        at_kerb = np.array([[one.x, np.sign(one.y) * (road.profile.kerb_m + 0.5)]])
        assert ground.material_at(at_kerb)[0] == Material.CONCRETE
