"""The ground is found below a car's roof and below a mast, whatever stands on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.data import open_dataset
from cosense.geometry.transforms import invert, transform_points
from cosense.sensing.ground import GroundSurface, ground_height
from cosense.sensing.levelling import LevelCloud, level_cloud


def road(height_m: float, rng: np.random.Generator, beams: int = 24) -> np.ndarray:
    """Rings of a LiDAR `height_m` above a flat road, (N,4)."""
    distance = height_m / np.tan(np.deg2rad(np.linspace(3, 40, beams)))
    angle = np.linspace(-np.pi, np.pi, 360, endpoint=False)
    r, a = (grid.reshape(-1) for grid in np.meshgrid(distance, angle))
    z = -height_m + rng.normal(0, 0.02, len(r))
    return np.stack([r * np.cos(a), r * np.sin(a), z, 0 * r], axis=1).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.floats(1.5, 8.0), st.integers(0, 1000))
def test_a_wall_a_bus_and_a_roof_do_not_move_the_ground(height_m: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wall = np.column_stack(
        [np.full(4000, 20.0), rng.uniform(-30, 30, 4000), rng.uniform(-height_m, 3, 4000), np.zeros(4000)]
    )
    roof = np.column_stack([rng.uniform(8, 20, (900, 1)), rng.uniform(3, 5.5, (900, 1))])
    bus = np.column_stack([roof, np.full(900, 3.0 - height_m), np.zeros(900)])
    own_roof = rng.normal([0, 0, -0.5, 0], [0.5, 0.3, 0.01, 0], (3000, 4))
    cloud = np.concatenate([road(height_m, rng), wall, bus, own_roof]).astype(np.float32)
    assert ground_height(cloud) == pytest.approx(-height_m, abs=0.1)


def test_a_few_points_below_the_road_are_reflections() -> None:
    rng = np.random.default_rng(0)
    cloud = road(1.9, rng)
    below = cloud[rng.choice(len(cloud), len(cloud) // 20)] - np.array([0, 0, 1.5, 0], dtype=np.float32)
    assert ground_height(np.concatenate([cloud, below])) == pytest.approx(-1.9, abs=0.05)


def test_no_point_no_ground() -> None:
    assert ground_height(np.zeros((0, 4), np.float32)) == 0.0


def square(count: int = 20_000, reach_m: float = 50.0, seed: int = 0) -> np.ndarray:
    """Places (N,2) evenly spread around a sensor."""
    return np.random.default_rng(seed).uniform(-reach_m, reach_m, (count, 2))


def cloud_of(xy: np.ndarray, z: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Returns at places (N,2) and heights (N,), with 2 cm of noise, and other points (K,3)."""
    noisy = z + np.random.default_rng(1).normal(0, 0.02, len(z))
    return np.concatenate([np.column_stack([xy, noisy]), *others]).astype(np.float32)


def error_at(level: LevelCloud, xy: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return how far (N,) the ground of a cloud is from places (N,2) and heights (N,) in its own frame."""
    places = transform_points(invert(level.T_sensor_level), np.column_stack([xy, z]))
    return np.abs(level.ground.heights(places))


PROBES = square(500, 45.0, seed=5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(1.5, 9.0))
def test_a_tilted_sensor_sees_a_slope(pitch_deg: float, roll_deg: float, height_m: float) -> None:
    slopes = np.tan(np.deg2rad([pitch_deg, roll_deg]))
    xy = square()
    level = level_cloud(cloud_of(xy, xy @ slopes - height_m))
    assert error_at(level, PROBES, PROBES @ slopes - height_m).max() < 0.05
    assert level.slopes == pytest.approx(tuple(slopes), abs=0.002)
    assert level.ground.height_m == pytest.approx(-height_m / np.sqrt(1 + slopes @ slopes), abs=0.03)


@settings(max_examples=20, deadline=None)
@given(st.floats(1.5, 8.0), st.integers(0, 1000))
def test_where_the_road_is_level_the_surface_is_as_good_as_one_height(height_m: float, seed: int) -> None:
    cloud = road(height_m, np.random.default_rng(seed))
    one = abs(ground_height(cloud) + height_m)
    error = error_at(level_cloud(cloud), PROBES, np.full(500, -height_m))
    assert np.quantile(error, 0.95) <= one + 0.03
    assert error.max() <= one + 0.1


@pytest.mark.parametrize(
    "relief",
    [
        pytest.param(lambda x, y: 0.15 * (np.abs(y) > 6), id="kerbs of 15 cm"),
        pytest.param(lambda x, y: -0.02 * np.abs(y), id="a crowned road"),
        pytest.param(lambda x, y: 0.5 * np.sin(x / 12), id="undulation"),
        pytest.param(lambda x, y: 0.08 * np.maximum(0, x - 10), id="a ramp that begins at 10 m"),
        pytest.param(lambda x, y: -0.8 * np.exp(-(((y - 15) / 3) ** 2)), id="a ditch"),
    ],
)
def test_what_no_plane_has_is_relief(relief: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
    xy = square(40_000)
    level = level_cloud(cloud_of(xy, relief(*xy.T) - 1.9))
    error = error_at(level, PROBES, relief(*PROBES.T) - 1.9)
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.95) < 0.2


def test_walls_of_vehicles_around_the_sensor_are_no_ground() -> None:
    """Rows of parked cars hide most of the ground beyond them; what is seen of it between them counts."""
    rng = np.random.default_rng(2)
    xy = square(6_000)
    seen = (np.abs(xy[:, 1]) < 4) | (xy[:, 0] % 8 < 1.0)
    sides = np.column_stack(
        [rng.uniform(-40, 40, 8_000), rng.choice([-4.5, 4.5], 8_000), rng.uniform(-1.6, -0.4, 8_000)]
    )
    roofs = np.column_stack([rng.uniform(-40, 40, 4_000), rng.uniform(4.5, 6.5, 4_000), np.full(4_000, -0.4)])
    level = level_cloud(cloud_of(xy[seen], np.full(seen.sum(), -1.9), sides, roofs))
    assert np.quantile(error_at(level, PROBES, np.full(500, -1.9)), 0.95) < 0.25


def test_a_house_and_mirrored_returns_do_not_move_the_ground() -> None:
    rng = np.random.default_rng(0)
    xy = square()
    house = np.column_stack([rng.uniform([20, 20], [26, 26], (3000, 2)), rng.uniform(-1, 1.5, 3000)])
    below = np.array([[10.0, 10.0, -4.0], [-20.0, 5.0, -3.5]])
    outside = (np.abs(xy - 23) > 3).any(axis=1)
    level = level_cloud(cloud_of(xy[outside], np.full(outside.sum(), -1.8), house, below))
    assert error_at(level, PROBES, np.full(500, -1.8)).max() < 0.1
    assert level.ground.at(np.array([500.0]), np.array([0.0])) == pytest.approx(-1.8, abs=0.2)


@pytest.mark.parametrize(("own", "other"), [(-1.9, -8.0), (-1.9, 4.0)])
def test_of_two_levels_the_own_one_is_the_ground(own: float, other: float) -> None:
    """On a bridge another road is far below, under one its deck is above; the sensor's own road goes on.

    Over the edge of a bridge, 12 m away and 1.9 m below the sensor, a road at -8 m is seen from 50 m on.
    """
    xy, elsewhere = square(12_000), square(12_000, 70.0, seed=3)
    elsewhere = elsewhere[np.abs(elsewhere[:, 1]) > (12 if other > 0 else 12 * other / own)]
    own_road = xy[np.abs(xy[:, 1]) < 12]
    deck = np.column_stack([elsewhere, np.full(len(elsewhere), other)])
    level = level_cloud(cloud_of(own_road, np.full(len(own_road), own), deck))
    near = PROBES[np.abs(PROBES[:, 1]) < 8]
    assert error_at(level, near, np.full(len(near), own)).max() < 0.1


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_where_too_little_is_seen_the_ground_is_level(count: int) -> None:
    points = np.zeros((count, 4), np.float32)
    points[:, :2], points[:, 2] = square(count, 4.0) + 10, -1.7
    level = level_cloud(points)
    assert level.slopes == (0, 0)
    assert level.ground.height_m == pytest.approx(ground_height(points), abs=0.01)


def test_a_return_on_the_very_edge_of_the_surface_counts_in_its_last_cell() -> None:
    points = cloud_of(square(), np.full(20_000, -1.9))
    points[:2, :2] = np.nextafter(np.float32(70.0), np.float32(0.0))
    assert level_cloud(points).ground.height_m == pytest.approx(-1.9, abs=0.02)


ON_ROAD = np.abs(square()[:, 1]) < 5
OWN_ROAD = square()[ON_ROAD]


@pytest.mark.parametrize(
    ("beside", "worst_m"),
    [
        pytest.param((12_000, (5, 7), (-1.7, -0.6)), 0.35, id="hedges"),
        pytest.param((12_000, (0, 50), (0.3, 6.0)), 0.2, id="crowns all over"),
        pytest.param((16_000, (5, 50), (-1.9, -1.4)), 0.2, id="tall grass"),
        pytest.param((12_000, (5.0, 5.2), (-1.9, 8.0)), 0.15, id="a street of houses"),
    ],
)
def test_what_grows_or_stands_beside_the_road_is_no_ground(
    beside: tuple[int, tuple[float, float], tuple[float, float]], worst_m: float
) -> None:
    rng = np.random.default_rng(4)
    count, across, up = beside
    y = rng.choice([-1, 1], count) * rng.uniform(*across, count)
    things = np.column_stack([rng.uniform(-50, 50, count), y, rng.uniform(*up, count)])
    level = level_cloud(cloud_of(OWN_ROAD, np.full(len(OWN_ROAD), -1.9), things))
    assert np.quantile(error_at(level, PROBES, np.full(500, -1.9)), 0.95) < worst_m
    assert error_at(level, OWN_ROAD, np.full(len(OWN_ROAD), -1.9)).max() < 0.1


def tube(half_m: float, length_m: float, low_m: float, high_m: float) -> np.ndarray:
    """Walls and ceiling of a tunnel, or of a hall where it is as long as wide."""
    rng = np.random.default_rng(4)
    x, y = rng.uniform(-length_m, length_m, 14_000), rng.uniform(-half_m, half_m, 14_000)
    z = np.full(14_000, high_m)
    y[:8_000], z[:8_000] = rng.choice([-half_m, half_m], 8_000), rng.uniform(low_m, high_m, 8_000)
    return np.column_stack([x, y, z])


@pytest.mark.parametrize(
    ("half_m", "length_m", "floor_m", "ceiling_m"), [(4, 60, -1.9, 3.5), (20, 20, -1.2, 4)]
)
@pytest.mark.parametrize("floor_points", [300, 8_000])
def test_in_a_tunnel_and_indoors_the_floor_is_the_ground(
    half_m: float, length_m: float, floor_m: float, ceiling_m: float, floor_points: int
) -> None:
    floor = square(floor_points, 1.0) * [length_m, half_m]
    level = level_cloud(
        cloud_of(floor, np.full(floor_points, floor_m), tube(half_m, length_m, floor_m, ceiling_m))
    )
    assert error_at(level, 0.9 * floor, np.full(floor_points, floor_m)).max() < 0.2


def test_without_a_floor_in_view_the_ceiling_is_all_there_is_and_nothing_tilts() -> None:
    """A hall of which the sensor sees only what is above itself."""
    level = level_cloud(tube(20, 20, 0.0, 2.5).astype(np.float32))
    assert level.slopes == pytest.approx((0, 0), abs=0.01)
    assert -0.1 <= level.ground.height_m <= 2.6


@pytest.mark.parametrize(("height_m", "ground_m"), [(1.9, 1.9), (6.0, 0.0)])
def test_upside_down_the_road_is_overhead_or_beyond_every_site(height_m: float, ground_m: float) -> None:
    """Up to 3 m above the sensor a road counts, as on a ramp; beyond there is none, and z = 0 is ground."""
    turned = road(height_m, np.random.default_rng(0))
    turned[:, 1:3] *= -1
    level = level_cloud(turned)
    assert level.slopes == pytest.approx((0, 0), abs=0.005)
    assert level.ground.height_m == pytest.approx(ground_m, abs=0.05)


@pytest.mark.parametrize("height_m", [-2.5, 0.5, 1.6, 4.0, 8.0, 11.5])
def test_the_height_of_the_sensor_need_not_be_known(height_m: float) -> None:
    level = level_cloud(cloud_of(square(), np.full(20_000, -height_m)))
    assert error_at(level, PROBES, np.full(500, -height_m)).max() < 0.03


def test_a_hundred_points_of_a_road_are_enough() -> None:
    points = road(1.9, np.random.default_rng(0))
    few = points[np.random.default_rng(1).choice(len(points), 100, replace=False)]
    assert error_at(level_cloud(few), PROBES, np.full(500, -1.9)).max() < 0.3


def test_one_beam_on_the_road_shows_its_plane_and_one_on_walls_shows_none() -> None:
    azimuth = np.linspace(0, 2 * np.pi, 1800, endpoint=False)
    ring = 15 * np.column_stack([np.cos(azimuth), np.sin(azimuth)])
    level = level_cloud(cloud_of(ring, np.full(1800, -1.9)))
    assert error_at(level, PROBES, np.full(500, -1.9)).max() < 0.1
    walls = np.column_stack([np.clip(1.5 * ring, -12, 12), np.zeros(1800)])
    level = level_cloud(walls.astype(np.float32))
    assert level.slopes == (0, 0)
    assert level.ground.height_m == pytest.approx(0.0, abs=0.01)


def test_a_slope_that_no_road_and_no_mount_has_is_none() -> None:
    steep = np.tan(np.deg2rad(20.0))
    assert level_cloud(cloud_of(square(), square()[:, 0] * steep - 1.9)).slopes == (0, 0)


def test_boxes_are_lowered_by_the_ground_below_their_centres() -> None:
    relief = np.zeros((56, 56), np.float32)
    relief[30:] = 0.4
    surface = GroundSurface(-2.0, relief)
    boxes = np.array([[10.0, 20.0, 0.5, 4, 2, 1.5, 0.3], [-10.0, 20.0, 0.5, 4, 2, 1.5, 0.3]])
    assert surface.above(boxes)[0] == pytest.approx([10, 20, 0.5 + 2.0 - 0.4, 4, 2, 1.5, 0.3])
    assert surface.above(boxes)[1] == pytest.approx([-10, 20, 0.5 + 2.0, 4, 2, 1.5, 0.3])
    leaning = GroundSurface.level(-2.0).off_by(0.5, 0.1, -0.2)
    np.testing.assert_allclose(
        leaning.at(np.array([0.0, 11.0]), np.array([0.0, 7.0])), [-1.5, -1.5 + 1.1 - 1.4], atol=1e-6
    )


def test_ground_of_a_foreign_frame(shared_data: Path) -> None:
    frame = open_dataset(shared_data / "v2xset_frame")[0]
    for agent in frame.agents.values():
        assert agent.objects is not None
        bottoms = agent.objects.boxes[:, 2] - agent.objects.boxes[:, 5] / 2
        assert ground_height(agent.points) == pytest.approx(float(np.median(bottoms)), abs=0.3)
        boxes = agent.objects.boxes
        assert np.median(error_at(level_cloud(agent.points), boxes[:, :2], bottoms)) < 0.2
