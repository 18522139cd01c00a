"""What a sender offers and an ego asks for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cosense.messages.demand import MAX_DEMAND_BYTES
from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.fused_head import head_maps_as_input
from cosense.methods.patches.encoder import PatchesConfig, value_of
from cosense.methods.patches.method import Patches
from cosense.methods.supply_demand import wanted_cells
from tests.cooperation.networks import PATCHES, cooperative
from tests.detectors.networks import TINY, cloud, frame_of, tiny_detector

PATCH_CELLS, FLOOR_CELLS = 8 * 16, 4 * 8


def everything(stride: int) -> torch.Tensor:
    return torch.ones(32 // stride, 64 // stride, dtype=torch.bool)


def test_what_is_offered_is_what_the_specs_announce(method, features):
    assert [(spec.stride, spec.channels, spec.bits, spec.dense) for spec in method.specs] == [
        (4, 8, 4, False),
        (8, 4, 2, True),
    ]
    sections = method.offer(features, everything, None, seed=0, with_boxes=True)
    payload = encode_features(features.ground.plane_m, LateBoxes.empty(), sections, method.specs, 1 << 20)
    read = decode_features(payload).layers(method.specs, features.grid.shape)
    assert [len(layer.cells) for layer in read] == [PATCH_CELLS, FLOOR_CELLS]
    head = head_maps_as_input(features.class_logits, features.box_codes)[None]
    patches, floor, _ = method.encoder([level[None] for level in features.levels], head)
    for layer, maps in zip(read, (patches, floor), strict=True):
        np.testing.assert_array_equal(layer.values, maps[0].flatten(1).T[layer.cells])


def test_the_floor_comes_after_the_best_patches_and_no_cell_twice(method, features):
    sections = method.offer(features, everything, None, seed=0, with_boxes=True)
    assert [(section.layer, len(section.cells)) for section in sections] == [
        (0, 16),
        (1, FLOOR_CELLS),
        (0, PATCH_CELLS - 16),
    ]
    cells = np.concatenate([sections[0].cells, sections[2].cells])
    assert sorted(cells) == list(range(PATCH_CELLS))


@pytest.mark.parametrize("with_boxes", [True, False])
def test_patches_are_ranked_by_what_they_are_worth_to_an_ego_that_wants_them_or_not(
    method, features, with_boxes
):
    wanted = torch.zeros(8, 16, dtype=torch.bool)
    wanted[:, :8] = True
    sections = method.offer(features, lambda stride: wanted, None, seed=0, with_boxes=with_boxes)
    value = value_of(method.latents(features)[2][0], wanted, with_boxes=with_boxes)
    cells = np.concatenate([sections[0].cells, sections[2].cells])
    assert np.all(np.diff(value.flatten().numpy()[cells]) <= 0)


@pytest.mark.parametrize(
    ("selection", "offered"), [("confidence", 128), ("random", 128), ("supply_demand", 8)]
)
def test_baselines_go_by_the_same_network(method, features, selection, offered):
    wanted = torch.zeros(8, 16, dtype=torch.bool)
    wanted[3, :8] = True
    sections = method.offer(features, lambda stride: wanted, selection, seed=0, with_boxes=True)
    cells = np.concatenate([section.cells for section in sections if section.layer == 0])
    assert len(cells) == len(set(cells)) == offered
    assert selection != "supply_demand" or set(cells // 16) == {3}


def test_the_same_features_give_the_same_offer(method, features):
    once, again = (method.offer(features, everything, "random", seed=3, with_boxes=True) for _ in range(2))
    other = method.offer(features, everything, "random", seed=4, with_boxes=True)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.cells, b.cells)
        np.testing.assert_array_equal(a.values, b.values)
    assert once[0].cells.tolist() != other[0].cells.tolist()


def test_the_ego_wants_to_be_told_of_coarse_cells_with_few_points(method, features):
    request = method.request(features)
    assert request.grid == features.grid.coarser(8)
    assert request.max_bytes == MAX_DEMAND_BYTES
    np.testing.assert_array_equal(request.wanted, wanted_cells(features.point_counts, 8, 50))


def test_every_setting_reaches_the_network(features):
    config = dataclasses.replace(PATCHES.sharing, channels=5, bits=2, floor_channels=3, floor_bits=8)
    method = cooperative(dataclasses.replace(PATCHES, sharing=config)).method
    assert [(spec.channels, spec.bits) for spec in method.specs] == [(5, 2), (3, 8)]
    sections = method.offer(features, everything, None, seed=0, with_boxes=True)
    assert sections[0].values.shape == (16, 5)
    encode_features(0.0, LateBoxes.empty(), sections, method.specs, 1 << 20)


def test_the_network_runs_once_for_all_that_is_made_of_one_frame(method, features):
    assert method.latents(features) is method.latents(features)
    again = method.detector.encode(frame_of(cloud()))
    assert method.latents(again) is not method.latents(features)


def test_two_stages_are_not_enough():
    detector = tiny_detector(dataclasses.replace(TINY, stages=TINY.stages[:2]))
    with pytest.raises(ValueError, match="patches needs 3 stages, there are 2"):
        Patches.build(PatchesConfig(), detector, seed=0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channels": 0}, "are at least 1"),
        ({"fused_channels": -1}, "are at least 1"),
        ({"wanted_below_points": -1}, "are at least 0"),
        ({"floor_after_patches": -1}, "are at least 0"),
    ],
)
def test_settings_without_sense_are_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        PatchesConfig(**change)
