from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.patches.encoder import PatchEncoder, head_maps_as_input, rounded
from cosense.methods.supply_demand import supply_map, wanted_cells
from tests.cooperation.networks import PATCHES, cooperative
from tests.detectors.networks import cloud

PATCH_CELLS, FLOOR_CELLS = 8 * 16, 4 * 8


@pytest.fixture(scope="module")
def detector():
    return cooperative(PATCHES)


@pytest.fixture(scope="module")
def features(detector):
    return detector.encode(cloud())


def everything(stride: int) -> torch.Tensor:
    return torch.ones(32 // stride, 64 // stride, dtype=torch.bool)


def test_numbers_are_rounded_into_their_bits():
    latent = torch.tensor([-9.0, -8.4, -0.6, 0.4, 6.6, 7.4, 50.0])
    assert rounded(latent, 4).tolist() == [-8, -8, -1, 0, 7, 7, 7]
    assert rounded(latent, 2).tolist() == [-2, -2, -1, 0, 1, 1, 1]
    assert rounded(torch.tensor([-200.0, 200.0]), 8).tolist() == [-128, 127]


def test_gradients_pass_the_rounding_where_it_does_not_clip():
    latent = torch.tensor([-20.0, -0.6, 3.2, 7.4], requires_grad=True)
    (rounded(latent, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert latent.grad.tolist() == [0, 2, 3, 0]


def test_the_head_is_read_as_confidences_and_bounded_codes():
    joined = head_maps_as_input(torch.zeros(3, 2, 2), torch.full((10, 2, 2), -9.0))
    assert joined.shape == (13, 2, 2)
    assert joined[:3].unique().tolist() == [0.5]
    assert joined[3:].unique().tolist() == [-4.0]


def test_shapes_and_whole_numbers(detector, features):
    head = head_maps_as_input(features.class_logits, features.box_codes)[None]
    patches, floor, value = detector.sharing([level[None] for level in features.levels], head)
    assert patches.shape == (1, 8, 8, 16)
    assert floor.shape == (1, 4, 4, 8)
    assert value.shape == (1, 1, 8, 16)
    for integers, bits in ((patches, 4), (floor, 2)):
        assert torch.equal(integers, integers.round())
        assert -(2 ** (bits - 1)) <= float(integers.min()) < float(integers.max()) < 2 ** (bits - 1)


def test_the_learned_value_does_not_pull_at_what_is_sent():
    network = PatchEncoder(PATCHES, PATCHES.patches)
    levels = [torch.rand(1, 8, 16, 32), torch.rand(1, 16, 8, 16), torch.rand(1, 16, 4, 8)]
    network(levels, torch.rand(1, 13, 16, 32))[2].sum().backward()
    touched = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert touched == {"value"}


def test_what_is_offered_is_what_the_specs_announce(detector, features):
    network = detector.sharing
    assert [(spec.stride, spec.channels, spec.bits, spec.dense) for spec in network.specs] == [
        (4, 8, 4, False),
        (8, 4, 2, True),
    ]
    sections = network.offer(features, everything, None, seed=0)
    payload = encode_features(features.ground_m, LateBoxes.empty(), sections, network.specs, 1 << 20)
    read = decode_features(payload).layers(network.specs, features.grid.shape)
    assert [len(layer.cells) for layer in read] == [PATCH_CELLS, FLOOR_CELLS]
    head = head_maps_as_input(features.class_logits, features.box_codes)[None]
    patches, floor, _ = network([level[None] for level in features.levels], head)
    for layer, maps in zip(read, (patches, floor), strict=True):
        np.testing.assert_array_equal(layer.values, maps[0].flatten(1).T[layer.cells])


def test_the_floor_comes_after_the_best_patches_and_no_cell_twice(detector, features):
    sections = detector.sharing.offer(features, everything, None, seed=0)
    assert [(section.layer, len(section.cells)) for section in sections] == [
        (0, 16),
        (1, FLOOR_CELLS),
        (0, PATCH_CELLS - 16),
    ]
    cells = np.concatenate([sections[0].cells, sections[2].cells])
    assert sorted(cells) == list(range(PATCH_CELLS))


def test_patches_are_ranked_by_supply_demand_and_value(detector, features):
    network = detector.sharing
    wanted = torch.zeros(8, 16, dtype=torch.bool)
    wanted[:, :8] = True
    sections = network.offer(features, lambda stride: wanted, None, seed=0)
    head = head_maps_as_input(features.class_logits, features.box_codes)[None]
    value = torch.sigmoid(network([level[None] for level in features.levels], head)[2][0, 0])
    rank = supply_map(features.class_logits, 2) * torch.where(wanted, 1.0, 0.2) * value
    cells = np.concatenate([sections[0].cells, sections[2].cells])
    assert np.all(np.diff(rank.flatten().numpy()[cells]) <= 0)


@pytest.mark.parametrize(
    ("selection", "offered"), [("confidence", 128), ("random", 128), ("supply_demand", 8)]
)
def test_baselines_go_by_the_same_network(detector, features, selection, offered):
    wanted = torch.zeros(8, 16, dtype=torch.bool)
    wanted[3, :8] = True
    sections = detector.sharing.offer(features, lambda stride: wanted, selection, seed=0)
    cells = np.concatenate([section.cells for section in sections if section.layer == 0])
    assert len(cells) == len(set(cells)) == offered
    assert selection != "supply_demand" or set(cells // 16) == {3}


def test_the_same_features_give_the_same_offer(detector, features):
    once, again = (detector.sharing.offer(features, everything, "random", seed=3) for _ in range(2))
    other = detector.sharing.offer(features, everything, "random", seed=4)
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a.cells, b.cells)
        np.testing.assert_array_equal(a.values, b.values)
    assert once[0].cells.tolist() != other[0].cells.tolist()


def test_the_ego_wants_to_be_told_of_coarse_cells_with_few_points(detector, features):
    stride, wanted = detector.sharing.demand(features)
    assert stride == 8
    torch.testing.assert_close(wanted, wanted_cells(features.point_counts, 8, 50))


def test_every_setting_reaches_the_network(features):
    config = dataclasses.replace(PATCHES.patches, channels=5, bits=2, floor_channels=3, floor_bits=8)
    network = cooperative(dataclasses.replace(PATCHES, patches=config)).sharing
    assert [(spec.channels, spec.bits) for spec in network.specs] == [(5, 2), (3, 8)]
    sections = network.offer(features, everything, None, seed=0)
    assert sections[0].values.shape == (16, 5)
    encode_features(0.0, LateBoxes.empty(), sections, network.specs, 1 << 20)
