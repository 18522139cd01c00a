"""What a sender offers and an ego asks for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.cosdh.levels import CosdhConfig
from cosense.methods.cosdh.method import supply_of
from tests.cooperation.networks import COSDH, cooperative
from tests.detectors.networks import cloud, frame_of


@pytest.fixture(scope="module")
def method():
    return cooperative(COSDH).method


@pytest.fixture(scope="module")
def features(method):
    return method.detector.encode(frame_of(cloud()))


def everything(stride: int) -> torch.Tensor:
    return torch.ones(32 // stride, 64 // stride, dtype=torch.bool)


def with_cosdh(**changes):
    return dataclasses.replace(COSDH, sharing=dataclasses.replace(COSDH.sharing, **changes))


def test_every_published_constant_is_a_default():
    config = CosdhConfig()
    assert (config.codec_ratio, config.supply_threshold, config.demand_points) == (16, 0.01, 4)
    assert (config.gaussian_kernel, config.gaussian_sigma) == (5, 1.0)
    assert (config.late_score_threshold, config.late_score_factor) == (0.3, 0.8)


def test_what_is_offered_is_what_the_specs_announce_coarse_levels_first(method, features):
    sections = method.offer(features, everything, "confidence", seed=0, with_boxes=True)
    assert [section.layer for section in sections] == [2, 1, 0]
    payload = encode_features(features.ground.plane_m, LateBoxes.empty(), sections, method.specs, 1 << 20)
    read = decode_features(payload).layers(method.specs, features.grid.shape)
    assert [len(layer.cells) for layer in read] == [512, 128, 32]
    latents = method.codecs.encode([level[None] for level in features.levels])
    for layer, latent in zip(read, latents, strict=True):
        np.testing.assert_array_equal(layer.values, latent[0].flatten(1).T[layer.cells].half().numpy())


def test_only_cells_that_are_supplied_and_wanted_leave_the_sender(features):
    method = cooperative(with_cosdh(supply_threshold=0.25)).method
    wanted = {stride: everything(stride) for stride in (2, 4, 8)}
    for stride in wanted:
        wanted[stride][:, : 16 // stride] = False
    sections = method.offer(features, wanted.__getitem__, None, seed=0, with_boxes=True)
    for section in sections:
        supply = supply_of(features.class_logits, section.layer, method.config)
        mask = (supply > 0.25) & wanted[2 ** (section.layer + 1)]
        assert 0 < len(section.cells) < mask.numel()
        assert set(section.cells) == set(np.flatnonzero(mask))
        assert np.all(np.diff(supply.flatten().numpy()[section.cells]) <= 0)


def test_nothing_is_offered_where_nothing_is_wanted(method, features):
    sections = method.offer(features, lambda stride: ~everything(stride), None, seed=0, with_boxes=True)
    assert [len(section.cells) for section in sections] == [0, 0, 0]
    specs = method.specs
    assert encode_features(0.0, LateBoxes.empty(), sections, specs, 4) == bytes(4)


def test_the_same_features_give_the_same_offer_and_levels_different_draws(method, features):
    once, again = (method.offer(features, everything, "random", seed=3, with_boxes=True) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.cells, b.cells)
        np.testing.assert_array_equal(a.values, b.values)
    assert once[0].cells.tolist() != [cell for cell in once[1].cells if cell < 32]


def test_the_demand_is_one_pillar_of_four_at_the_finest_level(method, features):
    request = method.request(features)
    assert request.grid == features.grid.coarser(2)
    assert request.max_bytes is None, "the published request is as large as it is"
    np.testing.assert_array_equal(request.wanted, features.point_counts[::2, ::2] < 4)


def test_the_network_runs_once_for_all_that_is_made_of_one_frame(method, features):
    assert method.latents(features) is method.latents(features)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"codec_ratio": 0}, "codec_ratio is 0"),
        ({"gaussian_kernel": 4}, "odd number of cells"),
        ({"gaussian_sigma": 0.0}, "sigma above 0"),
        ({"gaussian_sigma": float("nan")}, "sigma above 0"),
        ({"supply_threshold": -0.1}, "supply_threshold is -0.1"),
        ({"late_score_threshold": 2.0}, "late_score_threshold is 2.0"),
        ({"late_score_factor": float("nan")}, "late_score_factor is nan"),
    ],
)
def test_settings_without_sense_are_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        CosdhConfig(**change)
