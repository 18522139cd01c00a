from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.grid import BevGrid
from cosense.sensing.levelling import levelled
from cosense.sensing.objects import Objects
from cosense.viewer.annotations import field_of_view, fitting_extent, seen_by
from tests.viewer.scenes import street

FRAME = street()


def ring(first_deg: float, last_deg: float) -> np.ndarray:
    azimuth = np.deg2rad(np.arange(first_deg, last_deg, 0.5))
    return np.column_stack([20 * np.cos(azimuth), 20 * np.sin(azimuth), np.zeros_like(azimuth)])


def test_side_street_is_seen_by_the_mast_alone() -> None:
    grid = BevGrid((-80.0, -40.0, 0.0, 80.0, 40.0, 0.0), 1.0)
    by_ego, by_mast = seen_by(FRAME, [levelled(agent) for agent in FRAME.agents.values()], grid)

    def at(x: float, y: float) -> tuple[bool, bool]:
        cell = int(y - grid.range_m[1]), int(x - grid.range_m[0])
        return bool(by_ego[cell]), bool(by_mast[cell])

    assert at(75.5, -15.5) == (True, False), "the road behind the mast's back"
    assert at(40.5, -21.5) == (False, True), "side street"
    assert at(8.5, 24.5) == (False, False), "inside the building"


def test_a_rotating_lidar_sees_all_around() -> None:
    assert field_of_view(ring(-180, 180)) == (0.0, pytest.approx(2 * np.pi))


@pytest.mark.parametrize("middle_deg", [0.0, 90.0, 179.0, -100.0])
def test_a_narrow_field_is_found_wherever_it_points(middle_deg: float) -> None:
    first, width = np.rad2deg(field_of_view(ring(middle_deg - 50, middle_deg + 50)))
    middle = first + width / 2
    assert width == pytest.approx(100, abs=6)
    assert abs((middle - middle_deg + 180) % 360 - 180) < 5


def test_a_hole_behind_a_truck_does_not_narrow_the_field() -> None:
    assert field_of_view(np.vstack([ring(-180, 60), ring(80, 180)]))[1] == pytest.approx(2 * np.pi)


def test_an_empty_cloud_has_no_field() -> None:
    assert field_of_view(np.zeros((0, 4))) == (0.0, 0.0)


def test_extent_has_agents_and_objects_in_it() -> None:
    x_min, y_min, x_max, y_max = extent = fitting_extent(FRAME)
    assert 2.0 <= (x_max - x_min) / (y_max - y_min) <= 2.5
    assert all(value == round(value) for value in extent)
    places = FRAME.ground_truth.boxes[:, :2]
    assert ((places >= extent[:2]) & (places <= extent[2:])).all()
    assert x_min <= -9
    assert y_max >= FRAME.T_ego_agent("mast")[1, 3] + 10


def test_extent_of_a_long_road_ends_where_the_protocols_end_but_agents_stay_in_it() -> None:
    boxes = np.array([[-300.0, 60, 0, 4, 2, 1.5, 0], [300.0, -60, 0, 4, 2, 1.5, 0]])
    objects = Objects(boxes, np.zeros(2, np.int64), np.array(["a", "b"]))
    frame = dataclasses.replace(FRAME, ground_truth=objects)
    assert fitting_extent(frame) == (-100.0, -40.0, 100.0, 40.0)
    far = dataclasses.replace(FRAME.agents["mast"], T_world_agent=transform_from_planar(180.0, 0.0, 0.0))
    assert fitting_extent(dataclasses.replace(frame, agents={**FRAME.agents, "mast": far}))[2] >= 190


def test_extent_of_an_ego_that_is_alone_is_a_street_corner() -> None:
    frame = dataclasses.replace(street(objects=False, unit=False))
    assert fitting_extent(frame) == (-44.0, -22.0, 44.0, 22.0)
