"""Layers that several networks here are made of."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Running statistics follow within a hundred steps, so that short trainings can be validated.
NORM_MOMENTUM = 0.05
NORM_EPSILON = 1e-3
# Brings distances from the sensor to about one before they are multiplied.
FAR_M = 50.0
# The table of log(count) ends here: a cell of so many points is right in front of the sensor.
_MOST_POINTS = 4096

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class ConvBlock(nn.Module):
    """Convolution, batch norm, ReLU; `fold` merges the first two for inference."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
        super().__init__()
        self.convolution: nn.Module = convolution
        self.norm: nn.Module = nn.BatchNorm2d(convolution.out_channels, NORM_EPSILON, NORM_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x)).relu_()

    def fold(self) -> None:
        """Multiply the running statistics into the convolution; the block must be in eval mode."""
        if isinstance(self.norm, nn.BatchNorm2d):
            convolution = self.convolution
            assert isinstance(convolution, (nn.Conv2d, nn.ConvTranspose2d))
            transposed = isinstance(convolution, nn.ConvTranspose2d)
            self.convolution = fuse_conv_bn_eval(convolution, self.norm, transpose=transposed)
            self.norm = nn.Identity()


def conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> ConvBlock:
    """Return a 3×3 block that keeps the map's size, or halves it with stride 2."""
    return ConvBlock(nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False))


def folded(network: AnyNetwork) -> AnyNetwork:
    """Make a network ready for inference, in place, its blocks folded; there is no way back."""
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, ConvBlock):
            module.fold()
    return network


class LogOfCount(nn.Module):
    """Logarithm of how many points there are.

    A table: torch.log is wrong by 1e-5 now and then if two threads meet in its first call in a process (MKL's
    vector maths setting itself up), and then live and offline boxes differ.
    """

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        logarithms = torch.tensor([0.0, *map(math.log, range(1, _MOST_POINTS))])
        self.register_buffer("table", logarithms, persistent=False)

    def forward(self, counts: Tensor) -> Tensor:
        """Return (K,1) float32 of counts (K,) int64."""
        return self.table[counts.clamp(max=_MOST_POINTS - 1)][:, None]
