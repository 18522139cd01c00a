from __future__ import annotations

import torch

from cosense.methods.fused_head import head_maps_as_input
from cosense.methods.patches.encoder import PatchEncoder, value_of
from tests.cooperation.networks import PATCHES

PATCH_CELLS, FLOOR_CELLS = 8 * 16, 4 * 8


def everything(stride: int) -> torch.Tensor:
    return torch.ones(32 // stride, 64 // stride, dtype=torch.bool)


def test_shapes_and_whole_numbers(method, features):
    head = head_maps_as_input(features.class_logits, features.box_codes)[None]
    patches, floor, value = method.encoder([level[None] for level in features.levels], head)
    assert patches.shape == (1, 8, 8, 16)
    assert floor.shape == (1, 4, 4, 8)
    assert value.shape == (1, 4, 8, 16)
    for integers, bits in ((patches, 4), (floor, 2)):
        assert torch.equal(integers, integers.round())
        assert -(2 ** (bits - 1)) <= float(integers.min()) < float(integers.max()) < 2 ** (bits - 1)


def test_the_learned_value_does_not_pull_at_what_is_sent():
    network = PatchEncoder((8, 16, 16), PATCHES.sharing)
    levels = [torch.rand(1, 8, 16, 32), torch.rand(1, 16, 8, 16), torch.rand(1, 16, 4, 8)]
    network(levels, torch.rand(1, 13, 16, 32))[2].sum().backward()
    touched = {name.split(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert touched == {"value"}


def test_a_patch_has_a_value_for_each_case():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    wanted = torch.tensor([False, True])
    assert value_of(values, wanted, with_boxes=False).tolist() == [1, 4]
    assert value_of(values, wanted, with_boxes=True).tolist() == [5, 8]
