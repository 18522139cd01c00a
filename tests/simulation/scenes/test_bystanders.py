"""People stand on the walkway, clear of things and of those who walk past."""

from __future__ import annotations

import numpy as np

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bystanders import stand_about
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.paths import Route
from cosense.simulation.scenes.roads import Arm, Profile, arm_line
from cosense.simulation.scenes.scene import Parked
from cosense.simulation.scenes.shapes import box

# Somebody walks 6.1 m to the left and to the right of the road's middle.
ROUTES = [Route.along(np.array([[-10.0, y], [130.0, y]]), "pedestrian", 1.3) for y in (6.1, -6.1)]


def arm(walk_m: float) -> Arm:
    """Return a straight arm along x whose kerbs are 3.5 m from its middle."""
    return Arm(arm_line(0.0, 120.0, 0.0), Profile(1, 3.5, 0.0, 0.0, walk_m, 10.0), 5.0, crossing=False)


def standing(walk_m: float, things: list[Mesh]) -> list[Parked]:
    return [
        person
        for seed in range(8)
        for person in stand_about([arm(walk_m)], things, ROUTES, np.random.default_rng(seed))
    ]


def test_people_stand_on_the_walkway_beside_those_who_walk() -> None:
    people = standing(4.2, [])
    assert len(people) > 20
    assert {person.body.label for person in people} == {ObjectClass.PEDESTRIAN}
    for person in people:
        half = np.hypot(*person.body.size[:2]) / 2
        assert 3.5 + half <= abs(person.y) <= 7.7 - half
        assert abs(abs(person.y) - 6.1) > half + 0.5
        assert 6 < person.x < 90


def test_nobody_stands_on_a_narrow_walkway_or_in_a_thing() -> None:
    assert standing(0.6, []) == []
    wall = box((50.0, 6.0, 1.0), (90.0, 5.0, 2.0), Material.CONCRETE)
    assert all(person.y < 0 for person in standing(4.2, [wall]))


def test_groups_stand_close_together_and_do_not_touch() -> None:
    people = stand_about([arm(4.2)], [], ROUTES, np.random.default_rng(3))
    for one in people:
        for other in people:
            apart = np.hypot(one.x - other.x, one.y - other.y)
            reach = (np.hypot(*one.body.size[:2]) + np.hypot(*other.body.size[:2])) / 2
            assert one is other or apart >= reach or one.y * other.y < 0
