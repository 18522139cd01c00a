"""The descriptor holds the surroundings of a node from any heading, and knows left from right."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.describe.triplets import SIZE, describe_graph
from tests.scene_graph.scenes import graph_of, shuffled, things


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(-np.pi, np.pi), st.floats(-100, 100))
def test_it_does_not_change_with_where_the_agent_stands(seed, yaw, x):
    kinds, positions, _ = things(np.random.default_rng(seed), 12)
    turned = transform_points(transform_from_planar(x, 3, yaw, 1), positions)
    np.testing.assert_allclose(
        describe_graph(graph_of(kinds, positions)), describe_graph(graph_of(kinds, turned)), atol=1e-5
    )


def test_it_does_not_change_with_the_order_of_the_nodes():
    kinds, positions, _ = things(np.random.default_rng(0), 30)
    graph = graph_of(kinds, positions)
    other, order = shuffled(np.random.default_rng(1), graph)
    assert np.array_equal(describe_graph(graph)[order], describe_graph(other))


def test_a_mirror_image_is_different():
    kinds, positions, _ = things(np.random.default_rng(0), 15)
    one, mirrored = (
        describe_graph(graph_of(kinds, positions)),
        describe_graph(graph_of(kinds, positions * [1, -1, 1])),
    )
    assert (one * mirrored).sum(axis=1).max() < 0.98


def test_a_node_is_more_like_itself_than_like_others():
    rng = np.random.default_rng(0)
    kinds, positions, _ = things(rng, 40)
    one = describe_graph(graph_of(kinds, positions))
    other = describe_graph(graph_of(kinds, positions + rng.normal(0, 0.2, positions.shape)))
    best = (one @ other.T).argmax(axis=1)
    assert (best == np.arange(40)).mean() > 0.8


def test_it_is_of_unit_length_and_small():
    kinds, positions, _ = things(np.random.default_rng(0), 20)
    described = describe_graph(graph_of(kinds, positions))
    assert described.shape == (20, SIZE)
    assert SIZE <= 64
    assert described.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-6)


def test_a_node_alone_has_a_zero_descriptor_and_one_of_two_has_not():
    far = [[0, 0, 0], [100, 0, 0], [100, 5, 0]]
    described = describe_graph(graph_of([NodeClass.POLE, NodeClass.POLE, NodeClass.PERSON], far))
    assert (described[0] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(described[1:], axis=1), 1, atol=1e-6)
    assert not np.allclose(described[1], described[2])
    assert describe_graph(graph_of([], [])).shape == (0, SIZE)
    assert (describe_graph(graph_of([NodeClass.POLE], [[0, 0, 0]])) == 0).all()


def test_nodes_at_one_place_are_described():
    described = describe_graph(graph_of([NodeClass.POLE] * 40, np.zeros((40, 3))))
    assert np.isfinite(described).all()
