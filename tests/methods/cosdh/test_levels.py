from __future__ import annotations

import numpy as np
import pytest
import torch

from cosense.geometry.transforms import invert, transform_from_planar
from cosense.methods.cosdh.levels import CosdhConfig, LevelCodecs, random_mask, warp
from cosense.sensing.grid import BevGrid
from tests.cooperation.networks import COSDH, cooperative
from tests.detectors.networks import cloud, frame_of, tiny_detector


@pytest.fixture(scope="module")
def features():
    return tiny_detector().encode(frame_of(cloud()))


def everywhere(maps: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return masks of cells that were all sent."""
    return [torch.ones(level.shape[-2:]) for level in maps]


@pytest.mark.parametrize(("ratio", "expected"), [(16, [8, 16, 32]), (8, [16, 32, 64])])
def test_a_cell_costs_what_was_published(ratio, expected):
    network = LevelCodecs((64, 128, 256), CosdhConfig(codec_ratio=ratio))
    assert [spec.values_bytes(1) for spec in network.specs] == expected
    assert [(spec.stride, spec.bits, spec.dense) for spec in network.specs] == [
        (2, 16, False),
        (4, 16, False),
        (8, 16, False),
    ]


def test_levels_go_through_the_auto_encoder_and_come_back_in_shape(features):
    levels = [level[None] for level in features.levels]
    codecs = cooperative(COSDH).method.codecs
    latents = codecs.encode(levels)
    assert [tuple(latent.shape) for latent in latents] == [(1, 2, 16, 32), (1, 4, 8, 16), (1, 4, 4, 8)]
    decoded = codecs.decode(latents, everywhere(latents))
    assert [level.shape for level in decoded] == [level.shape for level in levels]
    assert all(float(tensor.min()) >= 0 for tensor in (*latents, *decoded))


def test_without_the_codec_levels_are_their_own_latents(features):
    network = LevelCodecs((8, 16, 16), CosdhConfig(codec=False))
    levels = [level[None] for level in features.levels]
    decoded = network.decode(network.encode(levels), everywhere(levels))
    assert all(torch.equal(a, b) for a, b in zip(decoded, levels, strict=True))
    assert [spec.channels for spec in network.specs] == [8, 16, 16]


def test_a_cell_that_was_not_sent_is_zero_after_decoding(features):
    codecs = cooperative(COSDH).method.codecs
    levels = [level[None] for level in features.levels]
    masks = [random_mask(torch.rand(level.shape[-2:]), 0.3) for level in levels]
    for level, mask in zip(codecs.decode(codecs.encode(levels), masks), masks, strict=True):
        assert not level[..., ~mask].any()
        assert level[..., mask].any()


def test_training_sends_the_most_confident_share():
    supply = torch.tensor([[0.1, 0.9, 0.5], [0.5, 0.2, 0.8]])
    assert random_mask(supply, 0.5).tolist() == [[False, True, True], [False, False, True]]
    assert int(random_mask(supply, 0.99).sum()) == 5
    assert random_mask(supply, 1.0).all()
    assert not random_mask(supply, 0.0).any()


GRID = BevGrid((-8.0, -4.8, 0.0, 8.0, 4.8, 1.0), 0.8)


@pytest.fixture
def maps() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(3, 12, 20)


def test_to_stand_where_the_sender_stands_changes_nothing(maps):
    torch.testing.assert_close(warp(maps, GRID, np.eye(4)), maps, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("columns", "rows"), [(3, 0), (-2, 0), (0, 4), (5, -3)])
def test_whole_cells_are_shifted_and_what_was_not_seen_is_zero(maps, columns, rows):
    # The sender stands this many cells ahead and to the left: what it sees lies so much further.
    T_ego_sender = transform_from_planar(columns * 0.8, rows * 0.8, 0.0)
    moved = warp(maps, GRID, invert(T_ego_sender))
    expected = torch.zeros_like(maps)
    height, width = GRID.shape
    to_rows = slice(max(rows, 0), height + min(rows, 0))
    from_rows = slice(max(-rows, 0), height + min(-rows, 0))
    to_columns = slice(max(columns, 0), width + min(columns, 0))
    from_columns = slice(max(-columns, 0), width + min(-columns, 0))
    expected[:, to_rows, to_columns] = maps[:, from_rows, from_columns]
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-5)


def test_half_a_cell_is_the_mean_of_two(maps):
    moved = warp(maps, GRID, invert(transform_from_planar(0.4, 0.0, 0.0)))
    torch.testing.assert_close(moved[:, :, 1:], (maps[:, :, 1:] + maps[:, :, :-1]) / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(moved[:, :, 0], maps[:, :, 0] / 2, atol=1e-5, rtol=1e-5)


def test_face_to_face_the_map_is_turned_around(maps):
    turned = warp(maps, GRID, transform_from_planar(0.0, 0.0, np.pi))
    torch.testing.assert_close(turned, maps.flip(1, 2), atol=1e-5, rtol=1e-5)


def test_a_quarter_turn_moves_left_to_front():
    square = BevGrid((-4.0, -4.0, 0.0, 4.0, 4.0, 1.0), 0.8)
    maps = torch.zeros(1, 10, 10)
    maps[0, 5, 9] = 1.0
    # The sender looks to the ego's left: what is in front of it is to the left of the ego.
    T_ego_sender = transform_from_planar(0.0, 0.0, np.pi / 2)
    moved = warp(maps, square, invert(T_ego_sender))
    assert moved.round(decimals=4).nonzero().tolist() == [[0, 9, 4]]


def test_a_sender_out_of_reach_says_nothing(maps):
    for distance in (100.0, 1e8):
        assert not warp(maps, GRID, transform_from_planar(distance, 0.0, 0.3)).any()
