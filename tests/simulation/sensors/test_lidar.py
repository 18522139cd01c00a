"""Beam table, noise, lost returns and intensity of the LiDARs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.pcd import read_pcd
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, box, join
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.sensors.lidar import PANDAR40P, PANDAR40P_DEG, ROADSIDE300, LidarModel, Sweep, sweep
from cosense.simulation.sensors.raycast import World

LAWN = Ground()
AT_2_M = transform_from_planar(0.0, 0.0, 0.0, 2.13)


def take(model: LidarModel, things: list[Mesh], T_scene_sensor: np.ndarray = AT_2_M, seed: int = 0) -> Sweep:
    view = World.of(join(things), LAWN).with_actors(join([]))
    return sweep(model, view, T_scene_sensor, np.random.default_rng(seed))


def test_beam_table_is_that_of_a_real_scan(shared_data: Path) -> None:
    xyz = read_pcd(shared_data / "lidar_scans" / "pandar40p.pcd").xyz.astype(np.float64)
    elevation = np.degrees(np.arcsin(xyz[:, 2] / np.linalg.norm(xyz, axis=1)))
    table = np.array(PANDAR40P_DEG)
    nearest = np.abs(elevation[:, None] - table).min(axis=1)
    assert nearest.max() < 0.002
    seen = np.abs(elevation[:, None] - table).argmin(axis=1)
    # The two lowest beams had nothing in reach in that room.
    assert set(seen) == set(range(2, 40))


def test_beam_table_ascends() -> None:
    assert len(PANDAR40P_DEG) == 40
    assert np.all(np.diff(PANDAR40P_DEG) > 0)


def test_over_flat_ground_without_any_solid_all_points_lie_on_it() -> None:
    for model in (PANDAR40P, ROADSIDE300):
        cloud = take(model, [])
        assert len(cloud.points) > 10_000
        heights = cloud.points[:, 2]
        # Lawns are one kerb high, the sensor 2 m above that.
        assert np.abs(heights + 2.0).max() < 0.1
        assert (cloud.owner < 0).all()


def test_range_noise() -> None:
    wall = box((20.0, 0.0, 0.0), (0.2, 200.0, 100.0), Material.PLASTER)
    cloud = take(PANDAR40P, [wall])
    points = cloud.points[
        (cloud.points[:, 0] > 19) & (cloud.points[:, 2] > -1) & (np.abs(cloud.points[:, 1]) < 50)
    ]
    exact = points[:, :3] / points[:, :1] * 19.9
    error = np.linalg.norm(points[:, :3], axis=1) - np.linalg.norm(exact, axis=1)
    assert error.std().item() == pytest.approx(0.02, rel=0.1)
    assert abs(error.mean().item()) < 0.002


def test_no_return_comes_through_a_wall() -> None:
    wall = box((10.0, 0.0, 5.0), (0.2, 200.0, 10.0), Material.BRICK)
    hidden = [box((10.0 + gap, 0.0, 1.0), (4.0, 2.0, 2.0), Material.PAINT) for gap in (4.0, 20.0, 50.0)]
    cloud = take(ROADSIDE300, [wall, *hidden])
    assert cloud.points[:, 0].max() < 10.1


def test_dark_and_far_targets_are_lost_more_often() -> None:
    def share(material: Material, distance_m: float) -> float:
        wall = box((distance_m + 0.1, 0.0, 0.0), (0.2, 20.0, 20.0), material)
        model = LidarModel((0.0,), 400, 4.0, 300.0, 170.0)
        return len(take(model, [wall]).points) / 400

    assert share(Material.CONCRETE, 30) > 0.98
    assert share(Material.RUBBER, 150) < 0.6 < share(Material.PLASTER, 150)
    assert share(Material.GLASS, 190) < share(Material.GLASS, 60)


def test_intensity_tells_materials_apart() -> None:
    sign = box((20.0, -5.0, 2.0), (0.1, 4.0, 4.0), Material.SIGN)
    tyre = box((20.0, 5.0, 2.0), (0.1, 4.0, 4.0), Material.RUBBER)
    points = take(PANDAR40P, [sign, tyre]).points
    near = (points[:, 0] > 19.5) & (points[:, 0] < 20.2) & (points[:, 2] > -1.8)
    assert points[near & (points[:, 1] < -3.1), 3].mean() > 0.95
    assert points[near & (points[:, 1] > 3.1), 3].mean() < 0.1
    assert points[:, 3].min() >= 0
    assert points[:, 3].max() <= 1


def test_fields_of_view() -> None:
    around = take(PANDAR40P, []).points
    assert np.histogram(np.arctan2(around[:, 1], around[:, 0]), bins=36)[0].min() > 500
    ahead = take(ROADSIDE300, []).points
    azimuth = np.degrees(np.arctan2(ahead[:, 1], ahead[:, 0]))
    assert np.abs(azimuth).max() == pytest.approx(50.0, abs=0.5)


def test_same_seed_same_sweep() -> None:
    hedge = [box((8.0, 0.0, 1.0), (4.0, 4.0, 2.0), Material.FOLIAGE)]
    first, second, other = (take(PANDAR40P, hedge, seed=seed).points for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first[:1000], other[:1000])
