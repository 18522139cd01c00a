"""Units go where they see what the ego does not."""

from __future__ import annotations

import numpy as np

from cosense.sensing.objects import ObjectClass
from cosense.simulation.conflicts import find_conflicts
from cosense.simulation.masts import in_sight, rank_masts
from cosense.simulation.scenes.bodies import make_body
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import STATIC, Mesh, join
from cosense.simulation.scenes.paths import Route, Routes
from cosense.simulation.scenes.scene import Mast, Parked, Scene
from cosense.simulation.scenes.shapes import box
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.sensors.raycast import View, World
from cosense.simulation.stage import Place
from cosense.simulation.traffic import Mover, Traffic

NOTHING = join([])


def view_of(*meshes: Mesh) -> View:
    return World.of(join(meshes), Ground()).with_actors(NOTHING)


def test_a_wall_hides_what_is_behind_it_and_below_its_top() -> None:
    wall = view_of(box((10.0, 0.0, 1.5), (0.4, 10.0, 3.0), Material.BRICK))
    nobody = np.full(4, STATIC)
    targets = np.array([[20.0, 0.0, 1.0], [20.0, 30.0, 1.0], [8.0, 0.0, 1.0], [20.0, 0.0, 5.5]])
    assert in_sight(wall, np.array([0.0, 0.0, 2.0]), targets, nobody).tolist() == [False, True, True, True]
    assert in_sight(wall, np.array([0.0, 0.0, 4.0]), targets, nobody).tolist() == [False, True, True, True]
    assert in_sight(wall, np.array([0.0, 0.0, 7.0]), targets, nobody).tolist() == [True, True, True, True]
    assert in_sight(view_of(), np.array([0.0, 0.0, 1.0]), targets, nobody).all()


def test_what_a_target_is_part_of_does_not_hide_it() -> None:
    car = box((10.0, 0.0, 0.8), (4.0, 2.0, 1.6), Material.PAINT).owned_by(5)
    middle, eye = np.array([[10.0, 0.0, 1.0]]), np.array([0.0, 0.0, 2.0])
    assert [in_sight(view_of(car), eye, middle, np.array([row])).item() for row in (5, 6)] == [True, False]


def test_the_first_mast_is_the_one_that_sees_what_is_hidden_from_the_ego() -> None:
    """A wall hides parked cars: one mast looks behind it, one away, one at the ego's side of it."""
    rng = np.random.default_rng(0)
    wall = box((20.0, 0.0, 1.5), (0.4, 40.0, 3.0), Material.BRICK)
    away = Mast(30.0, 30.0, 6.0, np.pi / 2)
    beside = Mast(-15.0, 20.0, 6.0, -0.9)
    behind = Mast(50.0, 20.0, 6.0, -2.6)
    road = Route.along(np.array([[-50.0, -3.0], [15.0, -3.0]]), "vehicle", 10.0)
    parked = tuple(Parked(make_body(ObjectClass.CAR, rng), 25.0, y, 0.0) for y in (-8.0, 0.0, 8.0))
    scene = Scene("", (wall,), Ground(), (road,), (away, beside, behind), parked, (0,), (50.0,), {})
    ego = Mover("vehicle", make_body(ObjectClass.CAR, rng), 0, 40.0, 0.0, 1.0)
    traffic = Traffic(scene, rng, find_conflicts(scene.routes), Routes.of(scene.routes), [ego], ("vehicle",))
    view = Place.of(scene).world.with_actors(NOTHING)
    assert rank_masts(scene, view, traffic) == (behind, beside, away)
