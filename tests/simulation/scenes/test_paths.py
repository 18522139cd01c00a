"""Polylines: lengths, offsets, joints, and places along routes."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.scenes.paths import Route, Routes, connect, length_of, offset, part, resample, through

LEG = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 5.0]])


def test_resampling_keeps_the_ends_and_the_distances() -> None:
    line = resample(LEG)
    np.testing.assert_allclose(line[[0, -1]], LEG[[0, -1]])
    assert len(line) == 31
    np.testing.assert_allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 0.5)


def test_points_that_repeat_are_dropped() -> None:
    assert len(resample(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))) == 3


def test_offset_is_to_the_left() -> None:
    moved = offset(np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]]), 2.0)
    np.testing.assert_allclose(moved, [[0, 2], [5, 2], [10, 2]])


def test_part_of_a_line() -> None:
    cut = part(LEG, 8.0, 12.0)
    np.testing.assert_allclose(cut[[0, -1]], [[8, 0], [10, 2]])
    assert length_of(cut) == pytest.approx(4.0)


def test_a_connection_leaves_and_arrives_along_the_tangents() -> None:
    way = connect(np.array([[-5.0, 0.0], [0.0, 0.0]]), np.array([[6.0, 6.0], [6.0, 20.0]]))
    heading = np.arctan2(*np.diff(way, axis=0).T[::-1])
    assert heading[0] == pytest.approx(0.0)
    assert heading[-1] == pytest.approx(np.pi / 2)
    assert np.all(np.diff(heading) > -1e-9)
    # About a quarter of a circle of 6 m.
    assert length_of(way) - 5 - 14 == pytest.approx(6 * np.pi / 2, rel=0.02)


def test_corners_are_rounded_within_their_legs() -> None:
    way = through(LEG, 2.0)
    np.testing.assert_allclose(way[[0, -1]], LEG[[0, -1]])
    turned = np.abs(np.diff(np.unwrap(np.arctan2(*np.diff(way, axis=0).T[::-1]))))
    assert turned.max() < np.radians(20)
    assert turned.sum() == pytest.approx(np.pi / 2)


def test_bends_and_braking_limit_the_speed() -> None:
    route = Route.along(through(np.array([[0.0, 0.0], [80.0, 0.0], [80.0, 60.0]]), 10.0), "vehicle", 13.0)
    slowest = route.limits_mps.min()
    assert 3.0 < slowest < 6.0
    bend = int(route.limits_mps.argmin())
    assert abs(bend * route.step_m - 77.0) < 8.0
    before = route.limits_mps[: bend + 1]
    assert np.all(np.diff(before**2) >= -2 * 1.5 * route.step_m - 1e-6)
    assert route.limits_mps[-1] == pytest.approx(13.0)
    assert not route.large
    assert Route.along(np.array([[0.0, 0.0], [80.0, 1.0]]), "vehicle", 13.0).large


def test_places_along_routes() -> None:
    east = Route.along(np.array([[0.0, 0.0], [10.0, 0.0]]), "vehicle", 10.0)
    north = Route.along(np.array([[3.0, 0.0], [3.0, 20.0]]), "vehicle", 10.0)
    places = Routes.of([east, north]).at(np.array([0, 1, 0, 1]), np.array([2.25, 2.25, 12.0, -1.0]))
    np.testing.assert_allclose(places, [[2.25, 0], [3, 2.25], [12, 0], [3, -1]])
