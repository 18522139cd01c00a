"""Feature offset correction: how much of a pillar is what the LiDAR has measured, how much what images show.

LCV2I (arXiv 2502.17039) generates a matrix of weights for the original and the fused voxel features, against
the offset that fusion brings in and for places that one sensor has not perceived. The form is ours:

    W = sigmoid(MLP [f; f'; log(1 + n); z])          n points, z metres from the camera
    f* = W f + (1 - W) f'                            where there are points
    f* = g f',  g = sigmoid(MLP ...)                 where there is none: unseen, not suppressed
    f* = f                                           where no image looks (such a pillar never comes here)

`shift` is a variant for the ablation, with true offsets, which no text on LCV2I mentions: what images have
added to a pillar is taken from a place up to three cells away that the pillar chooses, as a deformable
convolution with one point would.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.camera.voxel_fusion import Fused

_FAR_M = 100.0
_FARTHEST_CELLS = 3.0


@dataclass(frozen=True)
class CorrectionConfig:
    """Keys below `correction:` in config.yaml.

    Attributes:
        gate: weigh original and fused features; without, the fused ones are taken.
        shift: take what images have added from a place near by.
        hidden: width of the layers in between.
    """

    gate: bool = True
    shift: bool = False
    hidden: int = 32

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden is {self.hidden}, expected at least 1")


class OffsetCorrection(nn.Module):
    """`Fused` pillars to corrected features."""

    def __init__(self, config: CorrectionConfig, channels: int) -> None:
        super().__init__()
        inputs = 2 * channels + 2
        self.gate = _perceptron(inputs, config.hidden, channels) if config.gate else None
        self.gate_of_empty = _perceptron(inputs, config.hidden, 1) if config.gate else None
        self.shift = _perceptron(inputs, config.hidden, 2) if config.shift else None

    def forward(self, pillars: Fused, shape: tuple[int, int, int]) -> Tensor:
        """Return features (K,C) of pillars in a map (B,H,W)."""
        fused = pillars.fused
        known = torch.stack([torch.log1p(pillars.counts), pillars.depth_m / _FAR_M], dim=1)
        inputs = torch.cat([pillars.original, fused, known], dim=1)
        if self.shift is not None:
            fused = pillars.original + self._shifted(pillars, self.shift(inputs), shape)
        if self.gate is None or self.gate_of_empty is None:
            return fused
        weight = torch.sigmoid(self.gate(inputs))
        mixed = weight * pillars.original + (1 - weight) * fused
        return torch.where(pillars.row[:, None] < 0, torch.sigmoid(self.gate_of_empty(inputs)) * fused, mixed)

    def _shifted(self, pillars: Fused, offsets: Tensor, shape: tuple[int, int, int]) -> Tensor:
        """Return (K,C) what images have added near by, at offsets (K,2) before they are limited."""
        clouds, height, width = shape
        added = pillars.fused - pillars.original
        canvas = added.new_zeros(clouds * height * width, added.shape[1]).index_copy(0, pillars.cells, added)
        canvas = canvas.view(clouds, height, width, -1).permute(0, 3, 1, 2)
        cloud = torch.div(pillars.cells, height * width, rounding_mode="floor")
        row = torch.div(pillars.cells, width, rounding_mode="floor") % height
        at = torch.stack([pillars.cells % width, row], dim=1) + _FARTHEST_CELLS * torch.tanh(offsets)
        # From numbers of cells to -1 at the first border and 1 at the last.
        at = (2 * at + 1) / at.new_tensor([width, height]) - 1
        shifted = torch.empty_like(added)
        for number in range(clouds):
            mine = (cloud == number).nonzero()[:, 0]
            found = functional.grid_sample(
                canvas[number : number + 1], at[mine][None, None], align_corners=False
            )
            shifted = shifted.index_copy(0, mine, found[0, :, 0].T)
        return shifted


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return two layers, of which the last begins as zeros."""
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), last)
