"""The learned descriptor: what it must not depend on, what it must see, and what ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.model_folders import WEIGHTS, find_model
from cosense.scene_graph.describe.node_encoder import (
    CONFIG,
    SIZE,
    EncoderConfig,
    EncoderNetwork,
    NodeEncoder,
    NodeTensors,
    load_encoder,
    tensors_of,
)
from cosense.scene_graph.describe.triplets import NEIGHBOURS, TRIPLETS
from cosense.scene_graph.register.candidates import MAX_CANDIDATES
from cosense.scene_graph.register.descriptors import (
    DESCRIPTORS,
    describer,
    graph_registration,
    max_candidates_of,
)
from cosense.scene_graph.register.pipeline import register_graphs
from tests.scene_graph.scenes import errors, graph_of, pair, shuffled, things


@pytest.fixture(scope="module")
def encoder() -> NodeEncoder:
    """Return what ships."""
    return load_encoder()


def graph(seed, count=15):
    kinds, positions, yaws = things(np.random.default_rng(seed), count)
    return graph_of(kinds, positions, yaws)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-np.pi, np.pi), st.floats(-100, 100))
def test_it_does_not_change_with_where_the_agent_stands(encoder, seed, yaw, x):
    here = graph(seed)
    moved = transform_points(transform_from_planar(x, 3, yaw, 1), here.positions)
    there = replace(here, positions=moved, yaws=here.yaws + yaw)
    np.testing.assert_allclose(encoder.describe(here), encoder.describe(there), atol=1e-3)


def test_it_does_not_change_with_the_order_of_the_nodes(encoder):
    here = graph(0, 30)
    other, order = shuffled(np.random.default_rng(1), here)
    assert np.array_equal(encoder.describe(here)[order], encoder.describe(other))


def test_it_is_the_same_every_time(encoder):
    assert np.array_equal(encoder.describe(graph(3)), load_encoder().describe(graph(3)))


def test_a_heading_counts_up_to_half_a_turn(encoder):
    here = graph(0)
    about, aside = (encoder.describe(replace(here, yaws=here.yaws + turn)) for turn in (np.pi, np.pi / 2))
    np.testing.assert_allclose(encoder.describe(here), about, atol=1e-4)
    assert np.abs(encoder.describe(here) - aside).max() > 0.01


def test_a_mirror_image_is_different(encoder):
    here = graph(0)
    mirrored = replace(here, positions=here.positions * [1, -1, 1], yaws=-here.yaws)
    assert (encoder.describe(here) * encoder.describe(mirrored)).sum(axis=1).min() < 0.9


def test_a_node_is_more_like_itself_than_like_others(encoder):
    rng = np.random.default_rng(0)
    here = graph(0, 40)
    other = replace(here, positions=here.positions + rng.normal(0, 0.2, here.positions.shape))
    best = (encoder.describe(here) @ encoder.describe(other).T).argmax(axis=1)
    assert (best == np.arange(40)).mean() > 0.8


def test_it_is_of_unit_length_and_small(encoder):
    described = encoder.described(graph(0))
    assert described.descriptors.shape == (15, SIZE)
    assert described.descriptors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(described.descriptors, axis=1), 1, atol=1e-5)


def test_padding_changes_nothing(encoder):
    """A graph of two among larger ones is padded from one triplet to twenty."""
    network = encoder._network
    parts = []
    for count in (2, 1, 30):
        one = graph(count, count)
        parts.append(tensors_of(one.positions, one.classes, one.sizes, one.yaws))
    assert [part.valid.shape[1] for part in parts] == [1, 1, TRIPLETS]
    together = network(NodeTensors.join(parts))
    alone = torch.cat([network(part) for part in parts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_lonely_nodes_and_small_graphs_are_described(encoder):
    far = [[0, 0, 0], [100, 0, 0], [100, 5, 0]]
    described = encoder.describe(graph_of([NodeClass.POLE, NodeClass.POLE, NodeClass.POLE], far))
    np.testing.assert_allclose(np.linalg.norm(described, axis=1), 1, atol=1e-5)
    # With one neighbour is not the same as with none.
    assert np.abs(described[0] - described[1]).max() > 0.01
    assert encoder.describe(graph_of([], [])).shape == (0, 64)
    (alone,) = encoder.describe(graph_of([NodeClass.POLE], [[0, 0, 0]]))
    np.testing.assert_allclose(alone, described[0], atol=1e-6)


def test_what_cannot_be_used_is_nobodys_neighbour(encoder):
    good = graph(0, NEIGHBOURS + 2)
    bad = graph_of([1, 1, 4, 4], [[np.nan, 0, 0], [0, np.inf, 0], [1, 1, 0], [1e300, 0, 0]], np.zeros(4))
    bad = replace(bad, classes=np.array([1, 1, 99, 4]))
    both = replace(
        good,
        **{
            name: np.concatenate([getattr(bad, name), getattr(good, name)])
            for name in ("ids", "classes", "positions", "sizes", "yaws", "velocities", "sigmas_m", "scores")
        },
    )
    described = encoder.describe(both)
    assert (described[:4] == 0).all()
    np.testing.assert_array_equal(described[4:], encoder.describe(good))
    assert graph_registration("learned")(both, both, None).registered
    strange = replace(good, sizes=np.full_like(good.sizes, np.nan), yaws=np.full(len(good), np.inf))
    assert np.isfinite(encoder.describe(strange)).all()


def test_riders_and_trunks_are_what_detectors_take_them_for(encoder):
    here = graph_of([NodeClass.PERSON, NodeClass.POLE, NodeClass.VEHICLE], [[0, 0, 0], [5, 1, 0], [2, 8, 0]])
    other = replace(here, classes=np.array([NodeClass.RIDER, NodeClass.TRUNK, NodeClass.VEHICLE]))
    np.testing.assert_array_equal(encoder.describe(here), encoder.describe(other))


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_a_registration_uses_either_kind(kind):
    a, b, T_true = pair(np.random.default_rng(4), 12, 6, sigma_m=0.1)
    result = graph_registration(kind)(a, b, None)
    assert result.registered, result.reason
    metres, degrees = errors(result.T_a_b, T_true)
    assert metres < 0.3
    assert degrees < 0.5


def test_descriptors_without_learning_leave_the_registration_as_it_is():
    a, b, _ = pair(np.random.default_rng(4), 12, 6, sigma_m=0.1)
    learned = describer("learned")
    expected = register_graphs(a, b)
    found = graph_registration("triplets")(learned(a), learned(b), None)
    assert np.array_equal(found.T_a_b, expected.T_a_b)
    assert found.reason == expected.reason
    assert max_candidates_of("triplets") == MAX_CANDIDATES


def test_an_unknown_kind_is_named():
    with pytest.raises(CosenseError, match="'learnt': did you mean 'learned'"):
        describer("learnt")


def test_what_ships_describes_as_it_did_when_its_figures_were_made(encoder):
    """The figures in the card are those of these numbers."""
    kinds = [NodeClass.VEHICLE, NodeClass.POLE, NodeClass.WALL, NodeClass.PERSON, NodeClass.POLE]
    places = [[10, 2, -1], [5, -6, -1.9], [20, 15, -1.9], [-4, 8, -1], [0, 30, -1.9]]
    described = encoder.describe(graph_of(kinds, places, [0.1, np.nan, 1.5, np.nan, np.nan]))
    expected = [
        [-0.0463, 0.1160, -0.0987, -0.0347],
        [0.0985, 0.1164, -0.0917, -0.1846],
        [-0.1016, 0.1685, -0.2680, 0.0360],
        [-0.0703, 0.1756, -0.1658, 0.0971],
        [-0.0030, 0.1532, 0.0089, -0.1678],
    ]
    np.testing.assert_allclose(described[:, :4], expected, atol=2e-3)


def test_what_ships_is_small_and_says_how_it_was_made():
    folder = find_model("node-encoder", CONFIG)
    assert (folder / WEIGHTS).stat().st_size < 1e6
    card = (folder / "card.md").read_text()
    for word in ("cosense train models/node-encoder/training.yaml", "seed", "t_junction", "recall"):
        assert word in card
    assert sum(p.numel() for p in EncoderNetwork(EncoderConfig()).parameters()) <= 200_000


def test_an_encoder_is_no_detector():
    with pytest.raises(CosenseError, match="no model 'node-encoder'"):
        find_model("node-encoder")


def test_weights_that_do_not_fit_are_named(tmp_path):
    (tmp_path / CONFIG).write_text("channels: 8\n")
    with pytest.raises(CosenseError, match="no weights yet"):
        load_encoder(tmp_path)
    save_file(EncoderNetwork(EncoderConfig()).state_dict(), tmp_path / WEIGHTS)
    with pytest.raises(CosenseError, match=r"encoder\.yaml asks for"):
        load_encoder(tmp_path)
    (tmp_path / CONFIG).write_text("chanels: 8\n")
    with pytest.raises(CosenseError, match="did you mean 'channels'"):
        load_encoder(tmp_path)
