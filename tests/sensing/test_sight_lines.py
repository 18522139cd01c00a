"""Rays tell what is there, what is not, and nothing where they do not reach."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.geometry.boxes import Boxes, as_boxes
from cosense.sensing.sight_lines import SightLines
from tests.sensing.scans import CAR, HEIGHT_M, WALL, scan


def asked(points: np.ndarray, *boxes: list[float]) -> tuple[list[int], list[int]]:
    rays = SightLines(points).through(as_boxes(list(boxes)))
    return rays.passed.tolist(), rays.ended.tolist()


def test_what_is_there_stops_all_rays_and_what_is_not_lets_them_pass() -> None:
    (passed, free), (ended, nothing) = asked(scan(CAR, WALL), CAR, [15.0, -6.0, *CAR[2:]])
    assert ended > 20
    assert passed == 0
    assert free > 10
    assert nothing == 0


def test_a_box_on_bare_ground_is_seen_to_be_empty_from_above() -> None:
    passed, ended = asked(scan(), [10.0, 0.0, 0.8 - HEIGHT_M, 4.5, 1.8, 1.6, 0.0])
    assert passed[0] > 20
    assert ended == [0]


def test_what_is_hidden_stays_unknown() -> None:
    behind_wall = [50.0, 0.0, *CAR[2:]]
    inside_wall_shadow_of_car = [24.0, 3.2, 0.4 - HEIGHT_M, 1.0, 0.6, 0.8, 0.0]
    assert asked(scan(CAR, WALL), behind_wall, inside_wall_shadow_of_car) == ([0, 0], [0, 0])


def test_a_car_behind_a_hedge_stops_the_rays_that_the_hedge_lets_through() -> None:
    hedge = [11.0, 2.0, 1.2 - HEIGHT_M, 1.0, 12.0, 2.4, 0.0]
    passed, ended = asked(scan(hedge, CAR, WALL, shares=(0.5,)), CAR)
    assert ended[0] >= 4
    assert passed == [0]
    passed, ended = asked(scan(hedge, WALL, shares=(0.5,)), CAR)
    assert passed[0] >= 4
    assert ended == [0]


@pytest.mark.parametrize("shift", [(0.5, 0.0), (0.0, 0.5), (-0.6, 0.3)])
def test_a_box_that_is_half_a_metre_off_is_not_empty(shift: tuple[float, float]) -> None:
    moved = [CAR[0] + shift[0], CAR[1] + shift[1], *CAR[2:]]
    passed, ended = asked(scan(CAR, WALL), moved)
    assert ended[0] > 3 * passed[0]


def test_boxes_around_the_sensor_and_none_at_all_are_asked_of_no_ray() -> None:
    around: Boxes = as_boxes([[0.3, 0.0, -1.0, 4.0, 2.0, 1.5, 0.0]])
    lines = SightLines(scan(WALL))
    assert lines.through(around).passed.tolist() == [0]
    assert len(lines.through(as_boxes([])).passed) == 0
    assert SightLines(np.zeros((0, 4), np.float32)).through(as_boxes([CAR])).ended.tolist() == [0]


def test_the_seam_of_the_azimuth_is_no_seam() -> None:
    behind = [-15.0, 0.0, *CAR[2:]]
    (passed, free), (ended, nothing) = asked(scan(behind), behind, [-15.0, 8.0, *CAR[2:]])
    assert (passed, nothing) == (0, 0)
    assert ended > 20
    assert free > 10


def test_many_boxes_cost_no_more_rays_each() -> None:
    lines = SightLines(scan(CAR, WALL))
    rng = np.random.default_rng(1)
    boxes = np.column_stack([rng.uniform(-50, 50, (512, 2)), np.tile(CAR[2:], (512, 1))])
    rays = lines.through(boxes)
    assert (rays.passed + rays.ended).max() <= 144
