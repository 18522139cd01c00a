from __future__ import annotations

import pytest
import torch

from cosense.methods.cosdh.codec import LevelCodecs, random_mask
from cosense.methods.cosdh.settings import CosdhConfig
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
