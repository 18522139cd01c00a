"""Scenes of planes and walls, where the shadow can be written down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cosense.data import open_dataset
from cosense.geometry.boxes import bev_corners, points_in_boxes, transform_boxes
from cosense.geometry.transforms import invert
from cosense.sensing.grid import BevGrid
from cosense.sensing.levelling import level_cloud
from cosense.sensing.visibility import TARGET_HEIGHT_M, visible_places

GRID = BevGrid((-60.0, -40.0, -3.0, 60.0, 40.0, 1.0), 1.0)
WALL_X, WALL_HALF_WIDTH = 20.0, 5.0


def scan(
    sensor_height_m: float,
    wall_height_m: float = 0.0,
    field_deg: tuple[float, float] = (-180.0, 180.0),
    lowest_deg: float = -45.0,
) -> NDArray:
    """Return (N,4) of a LiDAR above flat ground, with a thin wall across x = 20 m, |y| <= 5 m."""
    azimuth = np.deg2rad(np.arange(field_deg[0] + 0.1, field_deg[1], 0.2))
    slope = np.tan(np.deg2rad(np.concatenate([np.arange(lowest_deg, -8, 0.5), np.arange(-8, 2, 0.1)])))
    azimuth, slope = (a.ravel() for a in np.meshgrid(azimuth, slope))
    with np.errstate(divide="ignore"):
        to_ground = np.where(slope < 0, -sensor_height_m / slope, np.inf)
        to_wall = np.where(np.cos(azimuth) > 0, WALL_X / np.cos(azimuth), np.inf)
    hits_wall = (
        (np.abs(to_wall * np.sin(azimuth)) <= WALL_HALF_WIDTH)
        & (to_wall < to_ground)
        & (to_wall * slope + sensor_height_m <= wall_height_m)
    )
    distance = np.where(hits_wall, to_wall, to_ground)
    back = distance < 120
    distance, azimuth, slope = distance[back], azimuth[back], slope[back]
    return np.column_stack(
        [distance * np.cos(azimuth), distance * np.sin(azimuth), distance * slope, np.zeros(len(slope))]
    ).astype(np.float32)


def visible_cells(points: NDArray, grid: BevGrid) -> NDArray[np.bool_]:
    """Return (H,W) whether the centre of each cell is visible."""
    return visible(points, grid.centres().reshape(-1, 2)).reshape(grid.shape)


def visible(points: NDArray, xy: NDArray) -> NDArray[np.bool_]:
    """Return which places (K,2) the sensor of a cloud sees; all these sensors are level."""
    level = level_cloud(points)
    return visible_places(level.points, level.ground, xy)


def centres() -> tuple[NDArray, NDArray]:
    x, y = np.meshgrid(np.arange(-59.5, 60), np.arange(-39.5, 40))
    return x, y


def behind_wall(x: NDArray, y: NDArray, margin: float) -> NDArray:
    """Cells whose line of sight crosses the wall, `margin` metres within its ends (negative: outside)."""
    return (x > WALL_X + 1) & (np.abs(y / np.maximum(x, 1e-9) * WALL_X) <= WALL_HALF_WIDTH - margin)


def test_open_ground_is_visible_everywhere() -> None:
    assert visible_cells(scan(1.9), GRID).shape == GRID.shape
    assert visible_cells(scan(1.9), GRID).all()


def test_wall_hides_exactly_what_is_behind_it() -> None:
    visible = visible_cells(scan(1.9, wall_height_m=3.0), GRID)
    x, y = centres()
    assert not visible[behind_wall(x, y, 0.3)].any()
    assert visible[~behind_wall(x, y, -0.3) & (np.abs(x - WALL_X) > 1)].all()
    assert visible[(np.abs(y) < 4) & (x > 0) & (x < WALL_X)].all()


def test_mast_sees_over_the_wall_and_a_car_does_not() -> None:
    x, y = centres()
    shadow_end = WALL_X * (6.0 - TARGET_HEIGHT_M) / (6.0 - 3.0)  # where the ray over the wall is car-high
    assert shadow_end == pytest.approx(30.0)
    behind = behind_wall(x, y, 0.5)
    distance = np.hypot(x, y)
    from_mast = visible_cells(scan(6.0, wall_height_m=3.0), GRID)
    assert not from_mast[behind & (distance < shadow_end - 1)].any()
    assert from_mast[behind & (distance > shadow_end * 1.03 + 1.5)].all()
    assert not visible_cells(scan(1.9, wall_height_m=3.0), GRID)[behind].any()


def test_nothing_outside_the_field_of_view() -> None:
    visible = visible_cells(scan(6.0, field_deg=(-50.0, 50.0)), GRID)
    x, y = centres()
    azimuth = np.rad2deg(np.arctan2(y, x))
    assert visible[(np.abs(azimuth) < 49) & (np.hypot(x, y) > 6)].all()
    assert not visible[np.abs(azimuth) > 51].any()


def test_blind_ring_around_the_foot_of_a_mast() -> None:
    visible = visible_cells(scan(6.0, lowest_deg=-30.0), GRID)
    x, y = centres()
    distance = np.hypot(x, y)
    first = (6.0 - TARGET_HEIGHT_M) / np.tan(np.deg2rad(30.0))  # where the lowest beam meets a car's roof
    assert not visible[distance < first - 1].any()
    assert visible[distance > first + 1].all()


def test_beyond_the_farthest_return_is_hidden() -> None:
    points = scan(1.9)
    points = points[np.hypot(points[:, 0], points[:, 1]) < 30]
    x, y = centres()
    visible = visible_cells(points, GRID)
    assert not visible[np.hypot(x, y) > 31].any()
    assert visible[np.hypot(x, y) < 28].all()


def test_a_hill_is_ground_and_not_a_wall() -> None:
    points = scan(1.9)
    hill = points.copy()
    hill[:, 2] += 0.08 * hill[:, 0]  # the whole street climbs by 8 %
    assert visible_cells(hill, GRID).mean() > 0.98


def test_reflections_below_the_road_do_not_lower_it() -> None:
    points = scan(1.9, wall_height_m=3.0)
    ghosts = points[::2000] * [1, 1, 0, 1] - [0, 0, 8, 0]
    agree = visible_cells(np.vstack([points, ghosts]), GRID) == visible_cells(points, GRID)
    assert agree.mean() > 0.99


def test_returns_overhead_show_nothing_below_them() -> None:
    points = scan(1.9)
    under = (np.abs(points[:, 0] - 20) < 8) & (np.abs(points[:, 1]) < 8)
    beyond = (points[:, 0] > 0) & (np.abs(points[:, 1] / points[:, 0]) < 1)
    points[under, 2] = 4.0  # a sign gantry catches every beam that would have met the road below
    visible = visible_cells(points[under | ~beyond], GRID)
    x, y = centres()
    assert not visible[(np.abs(x - 20) < 7) & (np.abs(y) < 7)].any()
    assert visible[x < -1].all()


def test_empty_cloud_sees_nothing() -> None:
    assert not visible_cells(np.zeros((0, 4), np.float32), GRID).any()
    assert not visible_cells(np.zeros((5, 4), np.float32), GRID).any(), "returns at the sensor itself"


def test_returns_far_outside_the_grid_are_enough() -> None:
    ring = scan(1.9, lowest_deg=-2.0)
    ring = ring[np.hypot(ring[:, 0], ring[:, 1]) > 75]
    near = BevGrid((-10.0, -10.0, -3.0, 10.0, 10.0, 1.0), 1.0)
    assert not visible_cells(ring, near).any(), "beams pass 1.6 m above the road there"


def test_no_places_no_answers() -> None:
    assert visible(scan(1.9), np.zeros((0, 2))).shape == (0,)


def test_vehicles_with_returns_stand_where_the_sensor_sees(shared_data: Path) -> None:
    """On a frame that we did not make, for the sensors of three cars."""
    frame = open_dataset(shared_data / "v2xset_frame")[0]
    seen, with_returns = [], []
    for agent_id, agent in frame.agents.items():
        boxes = transform_boxes(invert(frame.T_ego_agent(agent_id)), frame.ground_truth.boxes)
        boxes = boxes[np.hypot(boxes[:, 0], boxes[:, 1]) > 4]  # not the sensor's own car
        corners = bev_corners(boxes)
        # Between other cars often only a strip of one is seen, which may well meet none of its corners.
        sides = (corners + np.roll(corners, 1, axis=1)) / 2
        places = np.concatenate([boxes[:, None, :2], corners, sides], axis=1)
        seen += list(visible(agent.points, places.reshape(-1, 2)).reshape(-1, 9).any(axis=1))
        with_returns += list(points_in_boxes(agent.points[:, :3], boxes).any(axis=1))
    seen_array, with_returns_array = np.array(seen), np.array(with_returns)
    assert seen_array[with_returns_array].all()
    assert seen_array[~with_returns_array].mean() < 0.5
    assert (~with_returns_array).sum() >= 15


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300))
def test_more_returns_at_ground_level_never_hide_a_place(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-50, 50, (count, 2))
    points = np.column_stack([xy, np.full(count, -1.9)])
    places = rng.uniform(-50, 50, (200, 2))
    some, everything = visible(points[: count // 2], places), visible(points, places)
    assert not (some & ~everything).any()
