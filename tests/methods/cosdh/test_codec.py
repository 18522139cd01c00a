from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cosense.detectors.config import CosdhConfig, StageConfig
from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.cosdh.codec import LevelEncoder, random_mask
from tests.cooperation.networks import COSDH, cooperative
from tests.detectors.networks import cloud


@pytest.fixture(scope="module")
def detector():
    return cooperative(COSDH)


@pytest.fixture(scope="module")
def features(detector):
    return detector.encode(cloud())


def everything(stride: int) -> torch.Tensor:
    return torch.ones(32 // stride, 64 // stride, dtype=torch.bool)


def with_cosdh(**changes):
    return dataclasses.replace(COSDH, cosdh=dataclasses.replace(COSDH.cosdh, **changes))


@pytest.mark.parametrize(("ratio", "expected"), [(16, [8, 16, 32]), (8, [16, 32, 64])])
def test_a_cell_costs_what_was_published(ratio, expected):
    published = dataclasses.replace(
        COSDH, stages=(StageConfig(0, 64), StageConfig(0, 128), StageConfig(0, 256))
    )
    network = LevelEncoder(published, CosdhConfig(codec_ratio=ratio))
    assert [spec.values_bytes(1) for spec in network.specs] == expected
    assert [(spec.stride, spec.bits, spec.dense) for spec in network.specs] == [
        (2, 16, False),
        (4, 16, False),
        (8, 16, False),
    ]


def test_every_published_constant_is_a_default():
    config = CosdhConfig()
    assert (config.codec_ratio, config.supply_threshold, config.demand_points) == (16, 0.01, 4)
    assert (config.gaussian_kernel, config.gaussian_sigma) == (5, 1.0)
    assert (config.late_score_threshold, config.late_score_factor) == (0.3, 0.8)


def test_levels_go_through_the_auto_encoder_and_come_back_in_shape(detector, features):
    levels = [level[None] for level in features.levels]
    latents = detector.sharing.encode(levels)
    assert [tuple(latent.shape) for latent in latents] == [(1, 2, 16, 32), (1, 4, 8, 16), (1, 4, 4, 8)]
    decoded = detector.sharing.decode(latents)
    assert [level.shape for level in decoded] == [level.shape for level in levels]
    assert all(float(tensor.min()) >= 0 for tensor in (*latents, *decoded))


def test_without_the_codec_levels_are_their_own_latents(features):
    network = cooperative(with_cosdh(codec=False)).sharing
    levels = [level[None] for level in features.levels]
    assert all(torch.equal(a, b) for a, b in zip(network.decode(network.encode(levels)), levels, strict=True))
    assert [spec.channels for spec in network.specs] == [8, 16, 16]


def test_what_is_offered_is_what_the_specs_announce_coarse_levels_first(detector, features):
    network = detector.sharing
    sections = network.offer(features, everything, "confidence", seed=0)
    assert [section.layer for section in sections] == [2, 1, 0]
    payload = encode_features(features.ground_m, LateBoxes.empty(), sections, network.specs, 1 << 20)
    read = decode_features(payload).layers(network.specs, features.grid.shape)
    assert [len(layer.cells) for layer in read] == [512, 128, 32]
    latents = network.encode([level[None] for level in features.levels])
    for layer, latent in zip(read, latents, strict=True):
        np.testing.assert_array_equal(layer.values, latent[0].flatten(1).T[layer.cells].half().numpy())


def test_only_cells_that_are_supplied_and_wanted_leave_the_sender(features):
    network = cooperative(with_cosdh(supply_threshold=0.25)).sharing
    wanted = {stride: everything(stride) for stride in (2, 4, 8)}
    for stride in wanted:
        wanted[stride][:, : 16 // stride] = False
    sections = network.offer(features, wanted.__getitem__, None, seed=0)
    for section in sections:
        supply = network.supply(features.class_logits, section.layer)
        mask = (supply > 0.25) & wanted[2 ** (section.layer + 1)]
        assert 0 < len(section.cells) < mask.numel()
        assert set(section.cells) == set(np.flatnonzero(mask))
        assert np.all(np.diff(supply.flatten().numpy()[section.cells]) <= 0)


def test_nothing_is_offered_where_nothing_is_wanted(detector, features):
    sections = detector.sharing.offer(features, lambda stride: ~everything(stride), None, seed=0)
    assert [len(section.cells) for section in sections] == [0, 0, 0]
    specs = detector.sharing.specs
    assert encode_features(0.0, LateBoxes.empty(), sections, specs, 4) == bytes(4)


def test_the_same_features_give_the_same_offer_and_levels_different_draws(detector, features):
    once, again = (detector.sharing.offer(features, everything, "random", seed=3) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.cells, b.cells)
        np.testing.assert_array_equal(a.values, b.values)
    assert once[0].cells.tolist() != [cell for cell in once[1].cells if cell < 32]


def test_the_demand_is_one_pillar_of_four_at_the_finest_level(detector, features):
    stride, wanted = detector.sharing.demand(features)
    assert stride == 2
    assert torch.equal(wanted, features.point_counts[::2, ::2] < 4)


def test_training_sends_the_most_confident_share():
    supply = torch.tensor([[0.1, 0.9, 0.5], [0.5, 0.2, 0.8]])
    assert random_mask(supply, 0.5).tolist() == [[False, True, True], [False, False, True]]
    assert int(random_mask(supply, 0.99).sum()) == 5
    assert random_mask(supply, 1.0).all()
    assert not random_mask(supply, 0.0).any()
