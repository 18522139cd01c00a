"""Rays meet triangles, slopes and kerbs where geometry says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cosense.simulation.scenes.materials import ALBEDO, Material
from cosense.simulation.scenes.mesh import STATIC, Mesh, join
from cosense.simulation.scenes.shapes import box, cylinder, ellipsoid, leaves
from cosense.simulation.scenes.surface import EXTENT_M, KERB_M, Ground
from cosense.simulation.sensors.raycast import Hits, Looks, View, World

EYE = (0.0, 0.0, 2.0)


@pytest.fixture(scope="module")
def street() -> Ground:
    """A road for y < 5, a walkway beyond, both rising by 5 % along x."""
    ground = Ground()
    ground.surface[:] = Material.ASPHALT
    ground.paint(np.array([[-100.0, 5], [100, 5], [100, 100], [-100, 100]]), Material.PAVING)
    ground.relief[:] = 0.05 * np.linspace(-EXTENT_M, EXTENT_M, len(ground.relief))
    return ground


@pytest.fixture(scope="module")
def flat() -> Ground:
    ground = Ground()
    ground.surface[:] = Material.ASPHALT
    return ground


def look(view: View, *directions: tuple[float, float, float], eye: tuple[float, float, float] = EYE) -> Hits:
    ahead = np.array(directions) / np.linalg.norm(directions, axis=1, keepdims=True)
    return view.cast(np.tile(eye, (len(ahead), 1)), ahead)


def looks(view: View, *directions: tuple[float, float, float]) -> Looks:
    ahead = np.array(directions) / np.linalg.norm(directions, axis=1, keepdims=True)
    return view.look(np.tile(EYE, (len(ahead), 1)), ahead)[1]


def view_of(ground: Ground, *meshes: Mesh, actors: Mesh | None = None) -> View:
    return World.of(join(meshes), ground).with_actors(join([]) if actors is None else actors)


def test_faces_of_a_turned_box(flat: Ground) -> None:
    house = box((10.0, 0.0, 2.0), (4.0, 4.0, 4.0), Material.BRICK, yaw=math.pi / 4)
    rays = (1, 0.05, 0), (1, -0.05, 0), (0, 1, 0)
    hits = look(view_of(flat, house), *rays)
    corner_m = 10 - 2 * math.sqrt(2)
    # The faces meet in an edge on the x axis, where x = corner + |y| on both.
    expected = corner_m / (1 - 0.05) * math.hypot(1, 0.05)
    np.testing.assert_allclose(hits.range_m, [expected, expected, np.inf], rtol=1e-5)
    half = math.sqrt(0.5)
    np.testing.assert_allclose(hits.normal[:2], [[-half, half, 0], [-half, -half, 0]], atol=1e-6)
    assert hits.material[:2].tolist() == [Material.BRICK] * 2
    np.testing.assert_allclose(looks(view_of(flat, house), *rays).colour[0], ALBEDO[Material.BRICK])


def test_round_things(flat: Ground) -> None:
    post = cylinder((6.0, 0.0, 2.0), (2.0, 2.0, 4.0), Material.METAL)
    ball = ellipsoid((0.0, 6.0, 2.0), (2.0, 2.0, 2.0), Material.METAL)
    hits = look(view_of(flat, post, ball), (1, 0, 0), (0, 1, 0))
    np.testing.assert_allclose(hits.range_m, [5.0, 5.0], atol=0.1)


def test_both_sides_of_a_surface_are_seen(flat: Ground) -> None:
    room = box((0.0, 0.0, 2.0), (8.0, 8.0, 8.0), Material.PLASTER)
    hits = look(view_of(flat, room), (1, 0, 0))
    assert hits.range_m.item() == pytest.approx(4.0)
    np.testing.assert_allclose(hits.normal, [[-1, 0, 0]])


def test_the_first_of_wall_actor_and_ground_counts(flat: Ground) -> None:
    car = box((10.0, 0.0, 0.75), (4.0, 2.0, 1.5), Material.PAINT).owned_by(3)
    wall = box((6.0, 3.0, 2.0), (0.2, 2.0, 4.0), Material.CONCRETE)
    other = box((12.0, 6.0, 0.75), (2.0, 2.0, 1.5), Material.PAINT).owned_by(4)
    hits = look(
        view_of(flat, wall, actors=join([car, other])), (8, 0, -1), (2, 0, -1), (11, 5.5, -1.0), (20, 0, -0.1)
    )
    assert hits.owner.tolist() == [3, STATIC, STATIC, STATIC]
    assert hits.material.tolist() == [Material.PAINT, Material.ASPHALT, Material.CONCRETE, Material.ASPHALT]
    assert hits.range_m[0] == pytest.approx(math.hypot(8, 1))
    assert hits.range_m[1] == pytest.approx(math.hypot(4, 2))
    assert hits.range_m[3] == pytest.approx(20 * math.hypot(20, 0.1), rel=1e-4)


def test_a_place_on_a_thing_moves_along_with_it(flat: Ground) -> None:
    crate = box((0.0, 0.0, 0.0), (2.0, 2.0, 2.0), Material.PAINT)
    for yaw in (0.0, 1.2):
        seen = looks(
            view_of(flat, crate.at(9.0 * math.cos(yaw), 9.0 * math.sin(yaw), yaw, 2.0)),
            (math.cos(yaw), math.sin(yaw), 0.02),
        )
        np.testing.assert_allclose(seen.local, [[-1, 0, 8 * 0.02]], atol=1e-5)


def test_a_slope_is_met_where_it_is(street: Ground) -> None:
    rays = (1, 0, 0), (1, 0, -1), (-1, 0, 0)
    hits = look(view_of(street), *rays)
    np.testing.assert_allclose(hits.range_m, [40.0, 2 / 1.05 * math.sqrt(2), np.inf], rtol=1e-4)
    up = np.array([-0.05, 0, 1]) / math.hypot(0.05, 1)
    np.testing.assert_allclose(hits.normal[:2], [up, up], atol=1e-5)
    np.testing.assert_allclose(looks(view_of(street), *rays).local[0], [40, 0, 2], atol=1e-3)


def test_a_walkway_is_raised_along_the_slope(street: Ground) -> None:
    hits = look(view_of(street), (0, 5, -1), (3, 5, -1))
    # Where the sloping plane, one kerb higher, is met.
    share = (2 - KERB_M) / np.array([1, 1.15])
    np.testing.assert_allclose(hits.range_m, share * np.array([math.hypot(5, 1), math.sqrt(35)]), rtol=1e-4)
    assert hits.material.tolist() == [Material.PAVING] * 2


def test_the_face_of_a_kerb_looks_at_the_road(street: Ground) -> None:
    rays = (0, 5, KERB_M / 2 - 2.0), (2, 5, KERB_M / 2 - 1.9)
    hits = look(view_of(street), *rays)
    assert hits.material.tolist() == [Material.CONCRETE] * 2
    np.testing.assert_allclose(looks(view_of(street), *rays).local[:, 1], 5.0, atol=0.06)
    np.testing.assert_allclose(hits.normal, [[0, -1, 0]] * 2, atol=0.1)


def test_a_walkway_hides_the_foot_of_what_stands_deeper(street: Ground) -> None:
    """A cellar wall behind the kerb is not seen below the walkway."""
    wall = box((0.0, 8.0, 0.0), (10.0, 0.2, 3.0), Material.BRICK)
    hits = look(view_of(street, wall), (0, 7.9, 0.1 - 2.0), (0, 7.9, 0.3 - 2.0))
    assert hits.material.tolist() == [Material.PAVING, Material.BRICK]


def test_leaves_let_some_rays_pass_and_hide_the_same_thing_twice(flat: Ground) -> None:
    rng = np.random.default_rng(2)
    middles = rng.uniform((8, -2, 0), (10, 2, 4), (400, 3))
    hedge = leaves(middles, (0.2, 0.3), Material.FOLIAGE, rng)
    view = view_of(flat, hedge, box((15.0, 0.0, 2.0), (0.2, 20.0, 4.0), Material.BRICK))
    ahead = rng.uniform((10, -1.5, -1.5), (10, 1.5, 1.5), (4000, 3))
    first, again = (look(view, *ahead) for _ in range(2))
    share = (first.material == Material.FOLIAGE).mean()
    # Poisson: each leaf shows half of its area on average (Cauchy), before 16 m^2.
    one, two, three = (hedge.vertices[k::3] for k in range(3))
    shade = np.linalg.norm(np.cross(two - one, three - one), axis=1).sum() / 4 / 16
    assert share == pytest.approx(1 - math.exp(-shade), abs=0.04)
    np.testing.assert_array_equal(first.range_m, again.range_m)


def test_shadows(flat: Ground) -> None:
    wall = box((5.0, 0.0, 2.0), (0.2, 10.0, 4.0), Material.BRICK)
    car = box((0.0, 8.0, 1.0), (2.0, 2.0, 2.0), Material.PAINT)
    places = np.array([[3.0, 0, 0.01], [-3.0, 0, 0.01], [0, 7.0, 3.0], [-1.5, 8.0, 0.5]], dtype=np.float32)
    sun = np.array([1.0, 0.0, 1.0]) / math.sqrt(2)
    assert view_of(flat, wall, actors=car).is_dark(places, sun).tolist() == [True, False, False, True]


def test_nothing_to_hit(flat: Ground) -> None:
    hits = look(view_of(flat), (1, 0, 0.1))
    assert hits.range_m.tolist() == [np.inf]
    assert len(view_of(flat).cast(np.zeros((0, 3)), np.zeros((0, 3)))) == 0
