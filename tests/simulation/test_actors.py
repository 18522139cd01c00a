"""What a LiDAR returns from a road user lies in the label box of that road user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.sensing.objects import ObjectClass
from cosense.simulation.actors import Actors, actors_at, parked_actors
from cosense.simulation.scenes.bodies import make_body
from cosense.simulation.scenes.families import build_scene
from cosense.simulation.scenes.mesh import STATIC, join
from cosense.simulation.scenes.scene import Parked, Scene
from cosense.simulation.scenes.surface import EXTENT_M, Ground
from cosense.simulation.sensors.lidar import sweep
from cosense.simulation.sensors.lidar_models import PANDAR40P, ROADSIDE300, LidarModel
from cosense.simulation.sensors.lidar_unit import LidarUnit
from cosense.simulation.sensors.raycast import World
from cosense.simulation.traffic import Traffic

# Three standard deviations of the range noise.
NOISE_M = 0.06


@pytest.fixture(scope="module")
def street() -> tuple[Scene, Traffic]:
    rng = np.random.default_rng(6)
    scene = build_scene("parked_road", rng)
    return scene, Traffic.start(scene, rng, 1, 4.0)


def everybody(street: tuple[Scene, Traffic], later_ns: int = 0) -> Actors:
    scene, traffic = street
    return actors_at(scene, traffic, parked_actors(scene), later_ns)


@pytest.mark.parametrize("model", [PANDAR40P, ROADSIDE300], ids=["vehicle", "roadside"])
def test_returns_lie_in_their_own_label_box(street: tuple[Scene, Traffic], model: LidarModel) -> None:
    actors = everybody(street)
    scene = street[0]
    mast = scene.masts[0]
    T_scene_sensor = transform_from_planar(mast.x, mast.y, mast.yaw, mast.height_m)
    view = World.of(parked_actors(scene).mesh, scene.ground).with_actors(actors.mesh)
    cloud = sweep(LidarUnit.perfect(model), view, T_scene_sensor, np.random.default_rng(0))
    returned = cloud.owner >= 0
    assert returned.sum() > 1000
    xyz = transform_points(T_scene_sensor, cloud.points[returned, :3].astype(np.float64))
    # Label boxes are upright; whoever stands on a slope leans out of its own by a hand.
    T_body_scene = invert(actors.T_scene_body)[cloud.owner[returned]]
    local = np.einsum("nij,nj->ni", T_body_scene[:, :3, :3], xyz) + T_body_scene[:, :3, 3]
    size = actors.objects.boxes[cloud.owner[returned], 3:6]
    off_middle_m = np.abs(local - size * [0.0, 0.0, 0.5])
    assert (off_middle_m <= size / 2 + NOISE_M).all(axis=1).mean() >= 0.98


def test_everybody_has_a_box_on_the_ground_and_a_name(street: tuple[Scene, Traffic]) -> None:
    actors = everybody(street)
    assert len(set(actors.objects.ids)) == len(actors.objects) == len(actors)
    meshes = join([parked_actors(street[0]).mesh, actors.mesh])
    assert set(meshes.owner) - {STATIC} == set(range(len(actors)))
    bottom = actors.objects.boxes[:, 2] - actors.objects.boxes[:, 5] / 2
    np.testing.assert_allclose(bottom, street[0].ground.height_at(actors.T_scene_body[:, :2, 3]), atol=0.02)
    ego = actors.row_of("vehicle")
    assert ego is not None
    assert actors.objects.ids[ego] == "vehicle"
    assert actors.row_of("infrastructure") is None


def test_a_little_later_only_movers_have_moved(street: tuple[Scene, Traffic]) -> None:
    now, later = everybody(street), everybody(street, 30_000_000)
    moved = np.linalg.norm(later.T_scene_body[:, :3, 3] - now.T_scene_body[:, :3, 3], axis=1)
    parked = np.char.startswith(now.objects.ids, "parked")
    assert moved[parked].max() == 0
    assert 0.1 < moved[~parked].max() < 0.5


def test_a_vehicle_has_the_pitch_and_the_roll_of_its_road(street: tuple[Scene, Traffic]) -> None:
    """Uphill on a slope of 8 %, downhill, and across it."""
    ground = Ground()
    ground.relief[:] = 0.08 * np.linspace(-EXTENT_M, EXTENT_M, len(ground.relief))
    car = make_body(ObjectClass.CAR, np.random.default_rng(0))
    parked = tuple(Parked(car, 20.0, 5.0, yaw) for yaw in (0.0, np.pi, np.pi / 2))
    poses = parked_actors(replace(street[0], ground=ground, parked=parked)).T_scene_body
    steepness = 0.08 / np.hypot(1, 0.08)
    np.testing.assert_allclose(poses[:, 2, 0], [steepness, -steepness, 0.0], atol=1e-5)
    np.testing.assert_allclose(poses[:, 2, 1], [0.0, 0.0, -steepness], atol=1e-5)
    np.testing.assert_allclose(poses[:, :3, :3] @ poses[:, :3, :3].swapaxes(1, 2), [np.eye(3)] * 3, atol=1e-9)
