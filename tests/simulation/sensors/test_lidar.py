"""Where the rays of a LiDAR go: beams, fields, tilt, motion during a sweep, two heads, the body below."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.beams.elevations import PANDAR40P_DEG
from cosense.simulation.mounting import Mounting
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.shapes import box
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.sensors.lidar import Motion, Sweep, sweep
from cosense.simulation.sensors.lidar_models import MODELS, PANDAR40P, ROADSIDE300, LidarModel
from cosense.simulation.sensors.lidar_unit import LidarUnit
from cosense.simulation.sensors.raycast import Alone, View, World

AT_2_M = transform_from_planar(0.0, 0.0, 0.0, 2.13)
# Lawns lie one kerb above the relief.
WORLD = World.of(join([]), Ground())
SHARP = LidarModel("sharp", (-10.0, -5.0, 0.0, 2.0), 720, 360.0, 300.0, 300.0, noise_m=0.0)


def exact(model: LidarModel) -> LidarUnit:
    """Return a LiDAR without noise, and without returns between two surfaces."""
    return replace(LidarUnit.perfect(model), noise_m=0.0, mixing=0.0, lost=0.0)


def view_of(*actors: Mesh) -> View:
    return WORLD.with_actors(join(actors))


def wall(x: float, width_m: float = 200.0, material: Material = Material.PLASTER) -> Mesh:
    """Return a wall that faces the sensor at a distance ahead."""
    return box((x + 0.1, 0.0, 0.0), (0.2, width_m, 100.0), material)


def take(unit: LidarUnit, *actors: Mesh, T_scene_sensor: np.ndarray = AT_2_M, seed: int = 0, **more) -> Sweep:
    return sweep(unit, view_of(*actors), T_scene_sensor, np.random.default_rng(seed), **more)


def elevations_deg(points: np.ndarray) -> np.ndarray:
    return np.degrees(np.arcsin(points[:, 2] / np.linalg.norm(points[:, :3], axis=1)))


def test_every_beam_hits_at_its_elevation() -> None:
    points = take(exact(PANDAR40P), wall(9.0)).points
    off = np.abs(elevations_deg(points)[:, None] - np.array(PANDAR40P_DEG))
    assert off.min(axis=1).max() < 1e-3
    assert set(off.argmin(axis=1)) == set(range(40))


def test_over_level_ground_all_points_lie_on_it() -> None:
    for model in (PANDAR40P, ROADSIDE300):
        cloud = take(LidarUnit.perfect(model))
        assert len(cloud.points) > 10_000
        assert np.abs(cloud.points[:, 2] + 2.0).max() < 0.1
        assert (cloud.owner < 0).all()


@pytest.mark.parametrize(("roll_deg", "pitch_deg"), [(0.0, 5.0), (-4.0, 0.0), (3.0, -2.0)])
def test_a_tilted_sensor_sees_level_ground_as_a_plane_of_that_tilt(roll_deg: float, pitch_deg: float) -> None:
    mounting = Mounting(0.0, 2.13, *np.radians([roll_deg, pitch_deg]))
    points = take(exact(PANDAR40P), T_scene_sensor=mounting.T_carrier_sensor).points
    near = points[np.hypot(points[:, 0], points[:, 1]) < 40]
    # z = a x + b y + c; the normal of the plane is the vertical as the sensor sees it.
    a, b, _ = np.linalg.lstsq(np.column_stack([near[:, :2], np.ones(len(near))]), near[:, 2], rcond=None)[0]
    up = np.array([-a, -b, 1.0]) / np.sqrt(1 + a**2 + b**2)
    np.testing.assert_allclose(up, mounting.T_carrier_sensor[2, :3], atol=1e-4)
    # Leaning forward raises the road ahead in the frame of the sensor.
    assert np.degrees(np.arctan(a)) == pytest.approx(pitch_deg, abs=0.03)


def test_motion_displaces_a_wall_unless_it_is_compensated() -> None:
    # The seam is ahead at the left: the wall is seen in the first quarter of the turn.
    unit = replace(exact(SHARP), seam_rad=-np.pi / 4)
    motion = Motion((15.0, 0.0, 0.0))
    ahead = {}
    for compensated in (0.0, 0.5, 1.0):
        cloud = take(replace(unit, compensated=compensated), wall(20.0), motion=motion)
        points = cloud.points
        on_wall = (points[:, 0] > 15) & (np.abs(points[:, 1]) < 1.0) & (points[:, 2] > -1)
        ahead[compensated] = points[on_wall, 0].mean()
        # 45 degrees after the start of 0.1 s a turn: 37.5 ms before the middle, 0.5625 m behind.
        assert cloud.shift_m[on_wall, 0].mean() == pytest.approx((1 - compensated) * 0.5625, abs=0.02)
    assert ahead[1.0] == pytest.approx(20.0, abs=1e-3)
    assert ahead[0.5] == pytest.approx(20.0 + 0.5625 / 2, abs=0.02)
    assert ahead[0.0] == pytest.approx(20.0 + 0.5625, abs=0.02)


def test_turning_is_compensated_too() -> None:
    motion = Motion((10.0, 2.0, 0.0), 0.5)
    points = take(exact(SHARP), wall(20.0), motion=motion).points
    on_wall = points[(points[:, 2] > -1) & (points[:, 0] > 15)]
    np.testing.assert_allclose(on_wall[:, 0], 20.0, atol=2e-3)


def test_a_moving_car_is_whole_except_where_the_seam_cuts_it() -> None:
    car = box((-10.0, 0.0, 1.0), (4.0, 2.0, 2.0), Material.PAINT).owned_by(0)
    velocities = np.array([[12.0, 0.0, 0.0]])
    cut, whole = (
        take(replace(exact(SHARP), seam_rad=seam), car, velocities_mps=velocities) for seam in (np.pi, 0.0)
    )
    rear = {}
    for name, cloud in (("cut", cut), ("whole", whole)):
        rear[name] = cloud.points[(cloud.owner == 0) & (cloud.points[:, 0] > -9), 0]
        rear[name] = cloud.points[cloud.owner == 0, 0]
    assert np.ptp(rear["whole"]) < 0.1
    # Both halves are 0.1 s apart, nearly.
    assert np.ptp(rear["cut"]) == pytest.approx(1.2, abs=0.1)
    assert rear["cut"].mean() == pytest.approx(-8.0, abs=0.1)


def test_two_heads_see_from_their_own_heights() -> None:
    model = replace(SHARP, elevations_deg=(-10.0, -4.0), second_head_m=-0.5)
    points = take(exact(model)).points
    assert np.abs(points[:, 2] + 2.0).max() < 1e-3
    found = np.unique(np.round(np.hypot(points[:, 0], points[:, 1]), 1))
    # The lower head hangs upside down and looks above the horizon.
    np.testing.assert_allclose(found, [2 / np.tan(np.radians(10)), 2 / np.tan(np.radians(4))], atol=0.1)
    model = replace(model, elevations_deg=(4.0, 10.0))
    points = take(exact(model)).points
    found = np.unique(np.round(np.hypot(points[:, 0], points[:, 1]), 1))
    np.testing.assert_allclose(found, [1.5 / np.tan(np.radians(10)), 1.5 / np.tan(np.radians(4))], atol=0.1)


def test_fields_of_view() -> None:
    around = take(LidarUnit.perfect(PANDAR40P)).points
    assert np.histogram(np.arctan2(around[:, 1], around[:, 0]), bins=36)[0].min() > 500
    for name, half_deg in (("roadside300", 50.0), ("solid128", 60.0), ("rosette", 40.85)):
        ahead = take(LidarUnit.perfect(MODELS[name])).points
        azimuth = np.degrees(np.arctan2(ahead[:, 1], ahead[:, 0]))
        assert np.abs(azimuth).max() == pytest.approx(half_deg, abs=0.5)


def test_a_rosette_looks_elsewhere_in_every_sweep() -> None:
    unit = exact(MODELS["rosette"])
    seen = []
    for seed in (0, 1):
        points = take(unit, wall(30.0), seed=seed).points
        points = points[points[:, 0] > 29]
        azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0]))
        seen.append(set(zip(np.round(azimuth, 2), np.round(elevations_deg(points), 2), strict=True)))
    assert min(len(cells) for cells in seen) > 5_000
    assert len(seen[0] & seen[1]) < 0.1 * len(seen[0])


def test_beams_out_of_calibration_report_where_they_should_have_gone() -> None:
    error = np.radians([0.0, 0.0, 1.0, 0.0]).astype(np.float32)
    unit = replace(exact(SHARP), elevation_error_rad=error)
    points = take(unit, wall(20.0)).points
    ahead = points[(np.abs(points[:, 1]) < 0.1) & (points[:, 0] > 15)]
    level = ahead[np.abs(elevations_deg(ahead)) < 0.01]
    # It flies 1 degree above the horizon, and its range is that of the slant.
    assert level[:, 0] == pytest.approx(20.0 / np.cos(np.radians(1.0)), abs=2e-3)


def test_the_body_below_is_seen_or_filtered_and_moves_along() -> None:
    roof = Alone.of(box((0.0, 0.0, 0.9), (4.0, 1.8, 1.5), Material.METAL).owned_by(0))
    motion = Motion((20.0, 0.0, 0.0))
    unit = replace(exact(PANDAR40P), compensated=0.0, filters_own_body=False)
    cloud = take(unit, carrier=roof, motion=motion)
    own = cloud.points[cloud.owner == 0]
    assert len(own) > 500
    np.testing.assert_allclose(own[:, 2], -0.48, atol=1e-3)
    assert np.abs(own[:, 0]).max() <= 2.0
    assert not (take(replace(unit, filters_own_body=True), carrier=roof).owner == 0).any()


def test_a_tall_body_hides_what_is_behind_it() -> None:
    cargo = Alone.of(box((-4.0, 0.0, 1.8), (7.0, 2.5, 3.2), Material.PAINT).owned_by(0))
    unit = replace(exact(PANDAR40P), filters_own_body=False)
    cloud = take(unit, wall(-60.2), carrier=cargo)
    behind = cloud.points[np.abs(np.arctan2(cloud.points[:, 1], -cloud.points[:, 0])) < np.radians(60)]
    assert len(behind)
    assert (behind[:, 0] > -1.0).all()


def test_blind_sectors_are_empty() -> None:
    unit = replace(exact(PANDAR40P), blind_rad=((np.radians(170), np.radians(200)),))
    points = take(unit).points
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
    assert not ((azimuth > 170.3) & (azimuth < 199.7)).any()
    assert np.histogram(azimuth, bins=[140, 170, 200, 230])[0][[0, 2]].min() > 500


def test_same_seed_same_sweep() -> None:
    first, second, other = (
        take(LidarUnit.perfect(PANDAR40P), wall(8.0), seed=seed).points for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first[:1000], other[:1000])
