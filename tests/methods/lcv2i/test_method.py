"""What a sender offers and a vehicle asks for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cosense.errors import CosenseError
from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.lcv2i.method import Lcv2i
from cosense.methods.lcv2i.regional_maps import difference_of, regional, score_of, wanted_regions
from cosense.methods.model import model_config
from tests.cooperation.networks import LCV2I, cooperative
from tests.detectors.networks import cloud, frame_of


@pytest.fixture(scope="module")
def method() -> Lcv2i:
    return cooperative(LCV2I).method


@pytest.fixture(scope="module")
def features(method):
    return method.detector.encode(frame_of(cloud()))


def everything(stride: int) -> torch.Tensor:
    return torch.ones(32 // stride, 64 // stride, dtype=torch.bool)


def test_regions_are_offered_by_need_score_and_difference(method, features):
    wanted = everything(4)
    wanted[:, :8] = False
    [section] = method.offer(features, {4: wanted}.__getitem__, None, seed=0, with_boxes=True)
    assert section.layer == 0
    assert sorted(section.cells) == list(range(8 * 16))
    score, difference = (regional(of(features), 4) for of in (score_of, difference_of))
    value = torch.where(wanted, 1.0, 0.1) * score * difference.sqrt()
    assert float(value.max()) > 0
    assert torch.all(value.flatten()[section.cells].diff() <= 0)


def test_what_is_offered_is_what_the_specs_announce(method, features):
    sections = method.offer(features, everything, "confidence", seed=0, with_boxes=False)
    payload = encode_features(features.ground.plane_m, LateBoxes.empty(), sections, method.specs, 1 << 20)
    [layer] = decode_features(payload).layers(method.specs, features.grid.shape)
    np.testing.assert_array_equal(layer.values, method.latents(features)[0].flatten(1).T[layer.cells].numpy())
    assert len(layer.cells) == 8 * 16


def test_the_rule_of_the_configuration_is_used_unless_another_one_is_asked_for(features):
    by_score = cooperative(LCV2I.with_sharing(selection="score")).method
    cells = {
        name: by_score.offer(features, everything, name, seed=0, with_boxes=True)[0].cells.tolist()
        for name in (None, "score", "lcv2i")
    }
    assert cells[None] == cells["score"] != cells["lcv2i"]


def test_the_request_is_for_coarse_regions_and_fits_a_packet(method, features):
    request = method.request(features)
    assert request.grid == features.grid.coarser(8)
    assert request.max_bytes == 250
    np.testing.assert_array_equal(request.wanted, wanted_regions(features, 8, 0.5, 100, 0.6))
    assert 0 < request.wanted.sum() < request.wanted.size


def test_without_enhancement_the_features_are_those_of_the_detector(method, features):
    plain = cooperative(LCV2I.with_sharing(enhancement=False)).method
    torch.testing.assert_close(plain.enhanced(features)[0], features.context.float())
    assert not torch.allclose(method.enhanced(features)[0], features.context.float())


def test_the_network_runs_once_for_all_that_is_made_of_one_frame(method, features):
    assert method.latents(features) is method.latents(features)
    assert method.enhanced(features) is method.enhanced(features)


def test_a_rule_that_there_is_not_is_named_with_its_file():
    config = dataclasses.replace(LCV2I.sharing, selection="scor")
    with pytest.raises(ValueError, match="selection 'scor' is unknown, did you mean 'score'"):
        Lcv2i.build(config, cooperative(LCV2I).detector, 0)


def test_a_key_that_there_is_not_is_named_with_its_file():
    keys = {"range_m": [-8, -8, -3, 8, 8, 3], "height_m": [-1, 4], "cell_m": 0.4, "pillar_channels": 8}
    keys |= {"stages": [{"layers": 0, "channels": 8}], "neck_channels": 8, "shrink_channels": [8]}
    with pytest.raises(CosenseError, match="mine: sharing: unknown key 'rank'"):
        model_config({"detector": "pillars", **keys, "sharing": {"method": "lcv2i", "rank": "score"}}, "mine")
