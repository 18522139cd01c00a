"""Overlap of rotated boxes: closed forms, an independent polygon clipper, and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from cosense.geometry import iou as iou_module
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.iou import bev_iou, iou_3d
from cosense.geometry.transforms import transform_from_planar


def flat(x: float, y: float, length: float, width: float, yaw: float = 0.0) -> list[float]:
    """A box of height 2 on z = 0 as its centre plane."""
    return [x, y, 0.0, length, width, 2.0, yaw]


def corners_of(box) -> list[tuple[float, float]]:
    x, y, _, length, width, _, yaw = (float(value) for value in box)
    cos, sin = math.cos(yaw), math.sin(yaw)
    signs = ((0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5))
    return [
        (x + u * length * cos - v * width * sin, y + u * length * sin + v * width * cos) for u, v in signs
    ]


def clipped(polygon, start, end):
    """Sutherland and Hodgman: what of the polygon lies to the left of the line from start to end."""
    length = math.hypot(end[0] - start[0], end[1] - start[1])

    def side(point):
        return (
            (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])
        ) / length

    kept = []
    for current, following in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        here, there = side(current), side(following)
        if here >= 0:
            kept.append(current)
        if here * there < 0:
            t = here / (here - there)
            kept.append(tuple(c + t * (f - c) for c, f in zip(current, following, strict=True)))
    return kept


def area_of(polygon) -> float:
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return sum(p[0] * q[1] - q[0] * p[1] for p, q in pairs) / 2


def reference_overlap(a, b) -> float:
    """Footprint overlap in square metres, around the centre of `a` so that no digits are lost far away."""
    a, b = np.array(a, dtype=float), np.array(b, dtype=float)
    b[:2] -= a[:2]
    a[:2] = 0
    if min(a[3], a[4], b[3], b[4]) == 0:
        return 0.0
    polygon, border = corners_of(a), corners_of(b)
    for start, end in zip(border, border[1:] + border[:1], strict=True):
        polygon = clipped(polygon, start, end)
    return area_of(polygon)


def reference_iou(a, b, in_space: bool) -> float:
    overlap, size_a, size_b = reference_overlap(a, b), a[3] * a[4], b[3] * b[4]
    if in_space:
        top = min(a[2] + a[5] / 2, b[2] + b[5] / 2)
        bottom = max(a[2] - a[5] / 2, b[2] - b[5] / 2)
        overlap, size_a, size_b = overlap * max(0.0, top - bottom), size_a * a[5], size_b * b[5]
    union = size_a + size_b - overlap
    return overlap / union if union > 0 else 0.0


# Round numbers make borders, corners and headings coincide, which free numbers never do.
coordinates = st.one_of(st.integers(-4, 4).map(float), st.floats(-5, 5))
sizes = st.one_of(st.sampled_from([0.0, 1.0, 2.0, 4.0]), st.floats(0.01, 8))
yaws = st.one_of(st.integers(-8, 8).map(lambda k: k * math.pi / 4), st.floats(-7, 7))
boxes = st.tuples(coordinates, coordinates, coordinates, sizes, sizes, sizes, yaws)
solid_sizes = st.floats(0.01, 8)
solid_boxes = st.tuples(coordinates, coordinates, coordinates, solid_sizes, solid_sizes, solid_sizes, yaws)

both = pytest.mark.parametrize("overlap", [bev_iou, iou_3d])


@both
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param(flat(3, -2, 4, 2, 0.3), flat(3, -2, 4, 2, 0.3), 1, id="identical"),
        pytest.param(flat(3, -2, 4, 2, 0.3), flat(3, -2, 4, 2, 0.3 + math.pi), 1, id="turned around"),
        pytest.param(flat(3, -2, 4, 2, 0.3), flat(3, -2, 4, 2, 0.3 - 4 * math.pi), 1, id="two turns"),
        pytest.param(flat(0, 0, 2, 2), flat(0, 0, 2, 2, math.pi / 2), 1, id="square on its side"),
        pytest.param(flat(0, 0, 1, 1), flat(0.5, 0, 1, 1), 1 / 3, id="half overlap"),
        pytest.param(flat(0, 0, 1, 1), flat(0.5, 0.5, 1, 1), 1 / 7, id="quarter overlap"),
        pytest.param(flat(0, 0, 4, 4), flat(0.5, -0.5, 2, 1, 0.7), 1 / 8, id="nested"),
        pytest.param(flat(0, 0, 4, 4), flat(1, 1, 2, 2), 1 / 4, id="nested in a corner"),
        pytest.param(flat(0, 0, 6, 2), flat(0, 0, 6, 2, math.pi / 2), 4 / 20, id="crossing"),
        pytest.param(flat(0, 0, 6, 2, 0.4), flat(0, 0, 6, 2, 0.4 + math.pi / 2), 4 / 20, id="turned cross"),
        # The common octagon of two unit squares has the area 2 (sqrt 2 - 1).
        pytest.param(flat(0, 0, 1, 1), flat(0, 0, 1, 1, math.pi / 4), 1 / math.sqrt(2), id="octagon"),
        # Two strips of width w that cross at an angle share a rhombus of the area w^2 / sin.
        pytest.param(
            flat(0, 0, 9, 1, 0.2), flat(0, 0, 9, 1, 0.2 + math.pi / 6), 2 / (9 + 9 - 2), id="strips at 30 deg"
        ),
        pytest.param(flat(0, 0, 2, 2), flat(2, 0, 2, 2), 0, id="touching edges"),
        pytest.param(flat(0, 0, 2, 2), flat(2, 2, 2, 2), 0, id="touching corners"),
        pytest.param(
            flat(0, 0, 2, 2), flat(1 + math.sqrt(2), 0, 2, 2, math.pi / 4), 0, id="corner on an edge"
        ),
        pytest.param(flat(0, 0, 2, 2), flat(50, 0, 2, 2), 0, id="far apart"),
        pytest.param(flat(0, 0, 5, 1), flat(0, 2, 5, 1), 0, id="side by side within reach"),
    ],
)
def test_closed_forms(overlap, a, b, expected):
    assert_allclose(overlap([a], [b]), [[expected]], rtol=0, atol=1e-12)
    assert_allclose(overlap([b], [a]), [[expected]], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("dz", "height", "expected"), [(0, 2, 1), (1, 2, 1 / 3), (2, 2, 0), (9, 2, 0), (0, 1, 1 / 2), (0, 0, 0)]
)
def test_height_counts_in_space_only(dz, height, expected):
    a, b = [[1, 2, 3, 4, 2, 2, 0.5]], [[1, 2, 3 + dz, 4, 2, height, 0.5]]
    assert_allclose(iou_3d(a, b), [[expected]], atol=1e-12)
    assert_allclose(bev_iou(a, b), [[1]], atol=1e-12)


@both
@pytest.mark.parametrize("size", [(0, 2), (4, 0), (0, 0), (1e-200, 1e-200)])
@pytest.mark.parametrize("yaw", [0, 0.3])
def test_a_box_without_area_overlaps_nothing(overlap, size, yaw):
    degenerate, solid = flat(0.1, 0.2, *size, yaw), flat(0, 0, 4, 2, 0.1)
    assert_array_equal(overlap([degenerate, solid], [degenerate]), [[0], [0]])
    assert_array_equal(overlap([degenerate], [solid]), [[0]])


@settings(max_examples=400)
@given(a=boxes, b=boxes)
def test_agrees_with_polygon_clipping(a, b):
    assert_allclose(bev_iou([a], [b])[0, 0], reference_iou(a, b, in_space=False), rtol=0, atol=1e-9)
    assert_allclose(iou_3d([a], [b])[0, 0], reference_iou(a, b, in_space=True), rtol=0, atol=1e-9)


@settings(max_examples=200)
@given(a=boxes, b=boxes, yaw=st.sampled_from([1e-16, 1e-12, 1e-8, 1e-5]))
def test_almost_parallel_edges_lose_no_digits(a, b, yaw):
    a, b = (*a[:6], 0.0), (*b[:6], yaw)
    assert_allclose(bev_iou([a], [b])[0, 0], reference_iou(a, b, in_space=False), rtol=0, atol=1e-9)


@both
@settings(max_examples=100)
@given(many=st.lists(boxes, max_size=6), others=st.lists(boxes, max_size=6))
def test_symmetric_bounded_and_pair_by_pair(overlap, many, others):
    matrix = overlap(many, others)
    assert matrix.shape == (len(many), len(others))
    assert matrix.dtype == np.float64
    assert np.all((matrix >= 0) & (matrix <= 1))
    assert_allclose(matrix, overlap(others, many).T, rtol=0, atol=1e-12)
    for row, a in enumerate(many):
        for column, b in enumerate(others):
            assert matrix[row, column] == overlap([a], [b])[0, 0]


@both
@settings(max_examples=100)
@given(
    a=solid_boxes,
    b=solid_boxes,
    x=st.floats(-5000, 5000),
    y=st.floats(-5000, 5000),
    yaw=st.floats(-4, 4),
)
def test_rigid_motion_changes_nothing(overlap, a, b, x, y, yaw):
    T = transform_from_planar(x, y, yaw, z=20)
    moved = overlap(transform_boxes(T, [a]), transform_boxes(T, [b]))
    # Two boxes of a centimetre, moved by kilometres, keep about ten digits of their distance.
    assert_allclose(moved, overlap([a], [b]), rtol=0, atol=1e-8)


@both
@given(box=solid_boxes)
def test_identical_boxes_overlap_fully(overlap, box):
    assert_allclose(overlap([box], [box]), [[1]], rtol=0, atol=1e-9)


def test_blocks_of_pairs_do_not_show(monkeypatch):
    rng = np.random.default_rng(3)
    low, high = [-8, -8, -1, 0.5, 0.5, 0.5, -4], [8, 8, 1, 6, 3, 2, 4]
    a, b = rng.uniform(low, high, (41, 7)), rng.uniform(low, high, (37, 7))
    expected = bev_iou(a, b), iou_3d(a, b)
    monkeypatch.setattr(iou_module, "_MATRIX_BLOCK", 100)
    monkeypatch.setattr(iou_module, "_PAIR_BLOCK", 7)
    assert_array_equal(bev_iou(a, b), expected[0])
    assert_array_equal(iou_3d(a, b), expected[1])
    assert np.count_nonzero(expected[0]) > 100


@both
def test_no_boxes(overlap):
    assert overlap([], [flat(0, 0, 1, 1)]).shape == (0, 1)
    assert overlap([flat(0, 0, 1, 1)], np.zeros((0, 7))).shape == (1, 0)
    assert overlap([], []).shape == (0, 0)


@both
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(7))
def test_a_box_that_is_not_finite_is_named(overlap, value, column):
    good, bad = flat(0, 0, 1, 1), flat(0, 0, 1, 1)
    bad[column] = value
    with pytest.raises(ValueError, match="row 2 of b"):
        overlap([good], [good, good, bad, bad])
    with pytest.raises(ValueError, match="row 0 of a"):
        overlap([bad], [good])


@both
def test_a_negative_size_is_named(overlap):
    with pytest.raises(ValueError, match=r"row 1 of a is no box.*'w': -1"):
        overlap([flat(0, 0, 1, 1), flat(0, 0, 1, -1)], [flat(0, 0, 1, 1)])


@both
def test_a_wrong_shape_is_refused(overlap):
    with pytest.raises(ValueError, match=r"shape \(1, 5\)"):
        overlap(np.ones((1, 5)), np.ones((1, 7)))
