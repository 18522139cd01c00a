from __future__ import annotations

import torch

from cosense.methods.patches.encoder import PatchEncoder, head_maps_as_input, rounded, value_of
from tests.cooperation.networks import PATCHES

PATCH_CELLS, FLOOR_CELLS = 8 * 16, 4 * 8


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
