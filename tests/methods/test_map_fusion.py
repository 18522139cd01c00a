from __future__ import annotations

import math

import pytest
import torch

from cosense.methods.map_fusion import fuse_maps


@pytest.fixture
def maps() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(3, 12, 20)


def test_the_maximum_is_taken_element_by_element():
    ego, other = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]]), torch.tensor([[[0.5, 2.0]], [[1.0, 0.0]]])
    assert fuse_maps(ego, [other], "max").tolist() == [[[1.0, 2.0]], [[1.0, 3.0]]]
    assert fuse_maps(ego, [other, ego, other], "max").tolist() == [[[1.0, 2.0]], [[1.0, 3.0]]]


def test_attention_is_a_softmax_over_the_agents():
    ego = torch.tensor([1.0, 2.0, 0.0, 2.0]).view(4, 1, 1)
    other = torch.tensor([4.0, 0.0, 1.0, 0.0]).view(4, 1, 1)
    # q·k / sqrt(C): 9 / 2 with itself, 4 / 2 with the other one.
    share = 1 / (1 + math.exp(4.5 - 2.0))
    torch.testing.assert_close(fuse_maps(ego, [other], "attention"), (1 - share) * ego + share * other)
    both = 2 * math.exp(2.0) / (2 * math.exp(2.0) + math.exp(4.5))
    torch.testing.assert_close(fuse_maps(ego, [other, other], "attention"), (1 - both) * ego + both * other)


@pytest.mark.parametrize("rule", ["max", "attention"])
def test_a_silent_agent_changes_nothing(maps, rule):
    silent = torch.zeros_like(maps)
    torch.testing.assert_close(fuse_maps(maps, [], rule), maps)
    torch.testing.assert_close(fuse_maps(maps, [silent, silent], rule), maps)
    other = torch.rand(3, 12, 20)
    expected = fuse_maps(maps, [other], rule)
    torch.testing.assert_close(fuse_maps(maps, [silent, other], rule), expected)


@pytest.mark.parametrize("rule", ["max", "attention"])
def test_an_agent_that_is_silent_at_a_cell_changes_nothing_there(maps, rule):
    other = torch.rand(3, 12, 20)
    other[:, 4:] = 0.0
    fused = fuse_maps(maps, [other], rule)
    torch.testing.assert_close(fused[:, 4:], maps[:, 4:])
    assert not torch.allclose(fused[:, :4], maps[:, :4])


def test_an_ego_that_sees_nothing_listens():
    other = torch.tensor([1.0, 2.0]).view(2, 1, 1)
    ego = torch.zeros(2, 1, 1)
    torch.testing.assert_close(fuse_maps(ego, [other], "max"), other)
    # No likeness to anybody: all count the same, the ego too.
    torch.testing.assert_close(fuse_maps(ego, [other], "attention"), other / 2)


@pytest.mark.parametrize("rule", ["max", "attention"])
def test_the_order_of_the_others_does_not_matter(maps, rule):
    a, b = torch.rand(3, 12, 20), torch.rand(3, 12, 20)
    torch.testing.assert_close(fuse_maps(maps, [a, b], rule), fuse_maps(maps, [b, a], rule))
