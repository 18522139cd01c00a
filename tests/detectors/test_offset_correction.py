"""How much of a corrected pillar is measured, and how much is shown by images."""

from __future__ import annotations

import torch
from torch import nn

from cosense.detectors.camera.offset_correction import CorrectionConfig, OffsetCorrection
from cosense.detectors.camera.voxel_fusion import Fused

SHAPE = (1, 4, 4)


def fused() -> Fused:
    """Return three pillars in a row, of which the last has no points."""
    return Fused(
        cells=torch.tensor([4, 5, 6]),
        row=torch.tensor([0, 1, -1]),
        original=torch.tensor([[1.0, 2], [3, 4], [0, 0]]),
        fused=torch.tensor([[5.0, 6], [7, 8], [9, 10]]),
        counts=torch.tensor([1.0, 20, 0]),
        depth_m=torch.tensor([10.0, 20, 30]),
    )


def test_without_a_gate_what_images_show_is_taken():
    torch.testing.assert_close(
        OffsetCorrection(CorrectionConfig(gate=False), 2)(fused(), SHAPE), fused().fused
    )


def test_the_gate_begins_in_the_middle():
    corrected = OffsetCorrection(CorrectionConfig(), 2)(fused(), SHAPE)
    torch.testing.assert_close(corrected, torch.tensor([[3.0, 4], [5, 6], [4.5, 5]]))


def test_an_open_gate_takes_the_original_but_for_an_empty_pillar():
    block = OffsetCorrection(CorrectionConfig(), 2)
    with torch.no_grad():
        for gate in (block.gate, block.gate_of_empty):
            gate[2].bias.fill_(30.0)
    corrected = block(fused(), SHAPE)
    torch.testing.assert_close(corrected, torch.tensor([[1.0, 2], [3, 4], [9, 10]]))


def test_a_shift_takes_what_was_added_from_the_next_pillar():
    block = OffsetCorrection(CorrectionConfig(gate=False, shift=True), 2)
    torch.testing.assert_close(block(fused(), SHAPE), fused().fused)
    with torch.no_grad():
        block.shift[2].bias.copy_(torch.atanh(torch.tensor([1 / 3, 0.0])))
    # The second pillar adds (4, 4), the third (9, 10), and nothing is to the right of that.
    expected = fused().original + torch.tensor([[4.0, 4], [9, 10], [0, 0]])
    torch.testing.assert_close(block(fused(), SHAPE), expected, atol=1e-4, rtol=1e-4)


def test_a_shift_is_learned_from():
    block = OffsetCorrection(CorrectionConfig(shift=True), 2)
    nn.init.normal_(block.shift[2].weight, std=0.01)
    block(fused(), SHAPE).square().sum().backward()
    assert block.shift[0].weight.grad.abs().max() > 0
