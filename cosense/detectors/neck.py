"""Multi-scale neck: every level at stride 2, joined and shrunk (PointPillars' deconvolutions, CoSDH's
shrink).

CoSDH's shrink convolutions have a bias and no batch norm; here they are the same block as everywhere, which
folds into the same convolution for inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from cosense.detectors.layers import ConvBlock, conv3x3


class Neck(nn.Module):
    """Levels of the backbone to one map at the resolution of the finest."""

    def __init__(self, level_channels: Sequence[int], channels: int, shrink_channels: Sequence[int]) -> None:
        super().__init__()
        self.upsample = nn.ModuleList(
            ConvBlock(nn.ConvTranspose2d(count, channels, 2**level, stride=2**level, bias=False))
            for level, count in enumerate(level_channels)
        )
        widths = [channels * len(level_channels), *shrink_channels]
        self.shrink = nn.Sequential(*[conv3x3(a, b) for a, b in pairwise(widths)])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return (B,C,H,W) of levels (B,C_l,H/2^l,W/2^l)."""
        joined = torch.cat([up(level) for up, level in zip(self.upsample, levels, strict=True)], dim=1)
        shrunk: Tensor = self.shrink(joined)
        return shrunk
