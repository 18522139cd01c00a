"""Grouping agrees with a dictionary filled point by point."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.detectors.grouping import group_points, join_pillars
from cosense.sensing.grid import BevGrid

GRID = BevGrid((-4.0, -2.0, -1.0, 4.0, 2.0, 2.0), 0.5)

# Eighths are exact in float32, borders of cells and of the range included.
eighths = st.integers(-40, 40).map(lambda n: n / 8)
clouds = st.lists(st.tuples(eighths, eighths, eighths, st.floats(0, 1, width=32)), max_size=60)


def as_points(rows: list) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def slow_groups(points: torch.Tensor) -> dict[int, list[list[float]]]:
    groups: dict[int, list[list[float]]] = {}
    for point in points[torch.from_numpy(GRID.contains(points.numpy()))].tolist():
        column, row = int((point[0] + 4.0) // 0.5), int((point[1] + 2.0) // 0.5)
        groups.setdefault(row * 16 + column, []).append(point)
    return groups


@settings(deadline=None)
@given(clouds)
def test_every_point_within_range_is_in_its_own_cell(rows: list) -> None:
    points = as_points(rows)
    expected = slow_groups(points)
    pillars = group_points(points, GRID)
    assert pillars.cells.tolist() == sorted(expected)
    assert pillars.counts.tolist() == [len(expected[cell]) for cell in sorted(expected)]
    for number, cell in enumerate(pillars.cells.tolist()):
        assert pillars.points[pillars.pillar_of_point == number].tolist() == expected[cell]


@settings(deadline=None)
@given(clouds)
def test_maps_and_means_follow_from_the_groups(rows: list) -> None:
    pillars = group_points(as_points(rows), GRID)
    expected = slow_groups(as_points(rows))
    counts = pillars.count_map()
    assert counts.shape == (1, *GRID.shape)
    assert int(counts.sum()) == len(pillars.points)
    for number, cell in enumerate(sorted(expected)):
        row, column = divmod(cell, 16)
        assert counts[0, row, column] == len(expected[cell])
        middle = [(column + 0.5) * 0.5 - 4.0, (row + 0.5) * 0.5 - 2.0]
        np.testing.assert_allclose(pillars.centers_m[number], middle)
        mean = np.mean(expected[cell], axis=0)[:3] - np.array([*middle, 0])
        np.testing.assert_allclose(pillars.means()[number], mean, atol=1e-5)


def test_points_that_are_no_numbers_are_out_of_range() -> None:
    points = as_points([(np.nan, 0, 0, 0), (0, np.nan, 0, 0), (0, 0, np.nan, 0), (np.inf, 0, 0, 0)])
    assert len(group_points(points, GRID)) == 0


@settings(deadline=None)
@given(clouds, clouds)
def test_a_batch_keeps_its_clouds_apart(first: list, second: list) -> None:
    parts = [group_points(as_points(rows), GRID) for rows in (first, second)]
    joined = join_pillars(parts)
    assert joined.shape == (2, *GRID.shape)
    torch.testing.assert_close(joined.count_map(), torch.cat([part.count_map() for part in parts]))
    torch.testing.assert_close(joined.means(), torch.cat([part.means() for part in parts]))
