"""Places are furnished in many ways, and nothing stands where somebody drives or walks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.paths import ribbon
from cosense.simulation.scenes.roads import (
    Arm,
    Profile,
    arm_line,
    cyclist_routes,
    mouth_of,
    paint_roads,
    pedestrian_routes,
    vehicle_routes,
)
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.frontages import furnish
from cosense.simulation.scenes.surroundings.style import Style

PROFILE = Profile(lanes=1, lane_m=3.4, cycle_m=1.5, parking_m=2.3, walk_m=3.6, speed_mps=10.0)
# Half the width, and the height up to which somebody needs room; a lorry has a sensor on its roof.
NEEDS_M = {"vehicle": (1.15, 3.6), "cyclist": (0.33, 2.1), "pedestrian": (0.25, 1.95)}
DENSITIES = (0.1, 0.9)


def arms_of_a_crossing() -> list[Arm]:
    headings = [(k * np.pi / 2, PROFILE) for k in range(4)]
    return [
        Arm(
            arm_line(h, 190.0, 0.001),
            PROFILE,
            mouth_of(h, PROFILE, headings[:k] + headings[k + 1 :], 5.0),
            True,
        )
        for k, (h, _) in enumerate(headings)
    ]


@cache
def furnished(density: float) -> list[Mesh]:
    ground, arms = Ground(), arms_of_a_crossing()
    paint_roads(ground, arms)
    rng = np.random.default_rng(0)
    return furnish(ground, arms, Style.drawn(rng, density), rng)


@cache
def in_use(user: str) -> Ground:
    """Return a ground on which what a kind of road user needs is asphalt."""
    arms, ground = arms_of_a_crossing(), Ground()
    for route in vehicle_routes(arms) + cyclist_routes(arms) + pedestrian_routes(arms):
        if route.user == user:
            half_m = NEEDS_M[user][0]
            ground.paint(ribbon(route.line, half_m, -half_m), Material.ASPHALT)
    return ground


@pytest.mark.parametrize("density", DENSITIES)
def test_nothing_stands_on_a_route(density: float) -> None:
    whole = join(furnished(density))
    corners = whole.vertices[whole.faces]
    corners = corners[corners[:, :, 2].min(axis=1) < 3.6]
    places = np.concatenate([corners, (corners + np.roll(corners, 1, axis=1)) / 2]).reshape(-1, 3)
    for user, (_, tall_m) in NEEDS_M.items():
        low = places[places[:, 2] < tall_m]
        hit = in_use(user).material_at(low[:, :2]) == Material.ASPHALT
        assert not hit.any(), (user, low[hit][0])


@pytest.mark.parametrize("density", DENSITIES)
def test_things_are_few_enough_to_cast_and_small_enough_to_stand_on_uneven_ground(density: float) -> None:
    made = furnished(density)
    assert 5_000 < len(join(made)) < 350_000
    for mesh in made:
        size = np.ptp(mesh.vertices, axis=0)
        low = mesh.vertices[mesh.vertices[:, 2] < 1.0]
        house = low[:, 2].min() < -1.4
        assert house or np.ptp(low[:, :2], axis=0).max() < 8.0, size
        assert low[:, 2].min() < 0.25
