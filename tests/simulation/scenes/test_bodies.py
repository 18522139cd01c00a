"""Bodies fill their label boxes exactly, have the sizes of traffic, and a front unlike their rear."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.objects import VEHICLES, ObjectClass
from cosense.simulation.scenes.bodies import LABELS, Body, make_body
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import STATIC
from cosense.simulation.scenes.shapes import box

# Most triangles that a body may have.
LIMITS = {ObjectClass.CAR: 600, ObjectClass.VAN: 600, ObjectClass.TRUCK: 760, ObjectClass.BUS: 800}
PEOPLE_LIMIT = 650


@cache
def drawn(label: ObjectClass) -> list[Body]:
    rng = np.random.default_rng(3)
    return [
        make_body(label, rng)
        for _ in range(100 if label in (ObjectClass.CAR, ObjectClass.PEDESTRIAN) else 50)
    ]


def bodies(label: ObjectClass, count: int = 25) -> list[Body]:
    return drawn(label)[:count]


def hull_of(body: Body) -> np.ndarray:
    """Return the vertices (V,3) of what the label box encloses."""
    return body.mesh.vertices[np.unique(body.mesh.faces[body.mesh.owner != STATIC])]


def outside_of(body: Body) -> np.ndarray:
    return body.mesh.vertices[np.unique(body.mesh.faces[body.mesh.owner == STATIC])]


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name.lower())
def test_the_label_box_is_the_tight_hull_that_stands_on_the_ground(label: ObjectClass) -> None:
    for body in bodies(label):
        length, width, height = body.size
        hull = hull_of(body)
        np.testing.assert_allclose(hull.min(axis=0), [-length / 2, -width / 2, 0], atol=1e-4)
        np.testing.assert_allclose(hull.max(axis=0), [length / 2, width / 2, height], atol=1e-4)
        assert len(body.mesh) <= LIMITS.get(label, PEOPLE_LIMIT)
        np.testing.assert_array_equal(body.mesh.local, body.mesh.vertices)


@pytest.mark.parametrize("label", VEHICLES, ids=lambda label: label.name.lower())
def test_two_mirrors_reach_out_of_the_box_of_a_vehicle(label: ObjectClass) -> None:
    for body in bodies(label):
        mirrors = outside_of(body)
        assert np.ptp(mirrors[:, 0]) < 0.35
        assert mirrors[:, 0].min() > 0
        assert body.size[1] / 2 < np.abs(mirrors[:, 1]).max() < body.size[1] / 2 + 0.4


def test_what_a_person_leads_or_pushes_is_near_but_not_in_its_box() -> None:
    beside = [outside_of(body) for body in bodies(ObjectClass.PEDESTRIAN, 100)]
    reach = [np.abs(places[:, :2]).max() for places in beside if len(places)]
    assert 4 < len(reach) < 40
    assert max(reach) < 2.0
    assert all((body.mesh.owner >= 0).sum() > 100 for body in bodies(ObjectClass.PEDESTRIAN))


def test_a_body_that_stands_is_owned_by_its_row_save_what_is_outside_the_box() -> None:
    body = bodies(ObjectClass.CAR, 1)[0]
    mesh = body.standing(transform_from_planar(5.0, -2.0, 0.5), 7)
    assert set(mesh.owner) == {STATIC, 7}
    assert ((mesh.owner == STATIC) == (body.mesh.owner == STATIC)).all()
    np.testing.assert_allclose(mesh.vertices[:, :2].mean(axis=0), [5.0, -2.0], atol=0.5)
    np.testing.assert_array_equal(mesh.local, body.mesh.vertices)


def side_view(body: Body) -> np.ndarray:
    """Return the height of the body above each of 40 stretches of its length, from the rear to the front."""
    vertices, faces = body.mesh.vertices, body.mesh.faces[body.mesh.owner != STATIC]
    share = np.array([(i, j, 12 - i - j) for i in range(13) for j in range(13 - i)]) / 12
    places = np.einsum("ij,fjk->fik", share, vertices[faces]).reshape(-1, 3)
    stretch = np.clip(((places[:, 0] / body.size[0] + 0.5) * 40).astype(int), 0, 39)
    top = np.zeros(40)
    np.maximum.at(top, stretch, places[:, 2])
    return np.asarray(top)


@pytest.mark.parametrize("label", [ObjectClass.CAR, ObjectClass.VAN], ids=lambda label: label.name.lower())
def test_the_front_is_lower_and_longer_than_the_rear(label: ObjectClass) -> None:
    """Convertibles and pick-ups apart, the roof lies behind the middle, the bonnet is lower than the tail."""
    ahead, behind = [], []
    for body in bodies(label, 50):
        top = side_view(body)
        ahead.append(top[-5:].mean() / body.size[2])
        behind.append(top[:5].mean() / body.size[2])
    assert np.mean(np.array(ahead) < np.array(behind)) > 0.9
    assert np.mean(behind) - np.mean(ahead) > 0.1


@pytest.mark.parametrize("label", LABELS, ids=lambda label: label.name.lower())
def test_a_body_seen_from_the_rear_is_another_one(label: ObjectClass) -> None:
    for body in bodies(label, 12):
        top = side_view(body)
        hull = hull_of(body)
        # How far front and rear reach near the top.
        front, rear = ((side * hull[hull[:, 2] > 0.9 * body.size[2], 0]).max(initial=0.0) for side in (1, -1))
        assert max(np.abs(top - top[::-1]).max(), abs(front - rear)) > 0.05


def test_sizes_are_those_of_traffic() -> None:
    """Cars lie between those of KITTI (3.9 m) and those of nuScenes (4.6 m), with the spread of both."""
    sizes = {label: np.array([body.size for body in bodies(label, 50)]) for label in LABELS}
    car = sizes[ObjectClass.CAR]
    np.testing.assert_allclose(car.mean(axis=0), [4.4, 1.78, 1.53], rtol=0.03)
    assert (car.std(axis=0) > [0.35, 0.06, 0.09]).all()
    assert (car[:, 0].min() < 3.5) & (car[:, 0].max() > 5.1)
    expected = {
        ObjectClass.VAN: ([5.1, 1.89, 2.1], [3.8, 1.55, 1.75], [7.0, 2.1, 2.85]),
        ObjectClass.TRUCK: ([8.4, 2.3, 3.1], [5.1, 1.9, 2.0], [16.6, 2.6, 4.3]),
        ObjectClass.BUS: ([11.2, 2.5, 3.2], [6.9, 2.2, 2.7], [18.5, 2.6, 3.9]),
        ObjectClass.PEDESTRIAN: ([0.68, 0.7, 1.64], [0.2, 0.3, 0.9], [1.4, 1.1, 2.2]),
        ObjectClass.CYCLIST: ([1.8, 0.7, 1.7], [1.65, 0.5, 1.3], [2.4, 0.9, 2.0]),
        ObjectClass.MOTORCYCLIST: ([1.9, 0.75, 1.65], [1.6, 0.6, 1.45], [2.3, 0.95, 1.9]),
        ObjectClass.TRICYCLIST: ([2.9, 1.1, 1.7], [2.5, 0.9, 1.4], [3.4, 1.3, 2.0]),
    }
    for label, (mean, least, most) in expected.items():
        np.testing.assert_allclose(sizes[label].mean(axis=0), mean, rtol=0.12, err_msg=label.name)
        assert (sizes[label] > least).all(), (label.name, sizes[label].min(axis=0))
        assert (sizes[label] < most).all(), (label.name, sizes[label].max(axis=0))


def test_paint_is_dark_to_a_lidar_on_many_cars_and_bright_on_others() -> None:
    paints = []
    for body in bodies(ObjectClass.CAR, 100):
        painted = body.mesh.reflectance[body.mesh.material == Material.PAINT]
        paints.append(np.median(painted))
    assert 0.1 < np.mean(np.array(paints) <= 0.1) < 0.4
    assert 0.2 < np.mean(np.array(paints) > 0.5) < 0.6
    assert min(paints) >= 0.02


def test_a_car_is_glazed_all_around_has_seats_and_plates_that_send_light_back() -> None:
    for body in bodies(ObjectClass.CAR):
        mesh = body.mesh
        middle = mesh.vertices[mesh.faces].mean(axis=1)
        glass = middle[mesh.material == Material.GLASS]
        assert len(glass) >= 2
        assert glass[:, 2].min() > 0.4 * body.size[2]
        assert (mesh.material == Material.CLOTH).sum() >= 10
        plates = middle[mesh.material == Material.SIGN]
        assert plates[:, 0].min() < -0.45 * body.size[0]
        assert (mesh.reflectance[mesh.material == Material.SIGN] > 1).all()


def test_the_same_seed_makes_the_same_body() -> None:
    for label in LABELS:
        one, other = (make_body(label, np.random.default_rng(9)) for _ in range(2))
        assert one.size == other.size
        np.testing.assert_array_equal(one.mesh.vertices, other.mesh.vertices)


def test_a_trailer_is_right_behind_the_box_and_not_in_it() -> None:
    trailer = box((0.4, 0.0, 0.8), (3.0, 1.6, 1.0), Material.METAL)
    car = bodies(ObjectClass.CAR, 1)[0]
    towing = car.towing(trailer)
    assert towing.size == car.size
    behind = outside_of(towing)
    assert behind[:, 0].min() == pytest.approx(-car.size[0] / 2 - 3.0, abs=1e-4)
    assert (behind[behind[:, 0] < 0, 0] <= -car.size[0] / 2 + 1e-4).all()
