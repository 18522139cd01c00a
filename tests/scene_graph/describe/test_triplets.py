"""Triangles around a node, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.scene_graph.describe.triplets import TRIPLETS, find_triplets


def test_the_neighbours_of_a_pair_are_in_anticlockwise_order():
    """Seen from the origin the third node is a quarter turn to the left of the second."""
    triplets = find_triplets(np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]))
    assert triplets.valid.all()
    assert (triplets.n1[0, 0], triplets.n2[0, 0]) == (1, 2)
    assert (triplets.d1[0, 0], triplets.d2[0, 0]) == (3, 4)
    assert triplets.angle[0, 0] == pytest.approx(np.pi / 2)
    mirrored = find_triplets(np.array([[0.0, 0, 0], [3, 0, 0], [0, -4, 0]]))
    assert (mirrored.n1[0, 0], mirrored.n2[0, 0]) == (2, 1)


def test_distances_are_in_three_dimensions_and_angles_from_above():
    triplets = find_triplets(np.array([[0.0, 0, 0], [3, 0, 4], [0, 5, 0]]))
    assert triplets.d1[0, 0] == 5
    assert triplets.angle[0, 0] == pytest.approx(np.pi / 2)


def test_a_single_neighbour_is_a_triangle_without_area_and_none_is_none():
    triplets = find_triplets(np.array([[0.0, 0, 0], [0, 6, 0], [100, 0, 0]]))
    assert triplets.valid.sum(axis=1).tolist() == [1, 1, 0]
    rows = triplets.valid.argmax(axis=1)
    assert triplets.n1[0, rows[0]] == triplets.n2[0, rows[0]] == 1
    assert triplets.d1[0, rows[0]] == triplets.d2[0, rows[0]] == 6
    assert triplets.angle[0, rows[0]] == 0


def test_the_tightest_are_kept():
    rng = np.random.default_rng(0)
    triplets = find_triplets(rng.uniform(-10, 10, (40, 3)))
    reach = triplets.d1 + triplets.d2
    assert triplets.valid.shape == (40, TRIPLETS)
    assert triplets.valid.all()
    assert (np.diff(reach, axis=1) >= 0).all()


@pytest.mark.parametrize("count", [0, 1])
def test_who_is_alone_has_none(count):
    assert not find_triplets(np.zeros((count, 3))).valid.any()
