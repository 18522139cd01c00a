"""Pillar feature network: points of a pillar to one feature vector, laid out as a map.

PointPillars multiplies ten numbers a point, (x, y, z, i), its offset from the pillar's mean (3) and from the
pillar's middle (3), with one matrix, then takes the maximum over the pillar. All but (x, y, z, i) is the same
for the whole pillar once x and y are counted from its middle, and adding a constant commutes with a maximum.
So the matrix is cut in two: W_point (4 -> C) is applied to points, W_pillar to the mean, the middle and the
number of points of the pillar, after the maximum:

    feature = ReLU(BN(max_i(W_point p_i) + W_pillar q))

The same functions, a third of the work, and nothing padded. Batch norm sees pillars instead of points, so a
pillar counts once, however close to the sensor it is. log(count) is new: it costs nothing and tells how much
to trust the other numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from cosense.detectors.layers import NORM_EPSILON, NORM_MOMENTUM
from cosense.detectors.pillars import Pillars

# Where log(count) ends: a pillar of so many points is against the sensor.
_MOST_POINTS = 4096
# Brings metres to about one before they are multiplied: pillar middles and heights.
_FAR_M = 50.0
_TALL_M = 2.0


class SegmentMax(torch.autograd.Function):
    """Largest value of each column by pillar; the gradient goes to the points that have it.

    torch's own backward of `scatter_reduce` spreads the gradient evenly over equal values and costs five
    times the time of this one.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, pillar_of_point: Tensor, count: int) -> Tensor:
        """Return (K,C) of values (N,C); every pillar has at least one point."""
        lowest = torch.finfo(values.dtype).min
        largest = torch.full((count, values.shape[1]), lowest, dtype=values.dtype, device=values.device)
        index = pillar_of_point[:, None].expand_as(values)
        largest.scatter_reduce_(0, index, values, "amax")
        ctx.save_for_backward(values, pillar_of_point, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        values, pillar_of_point, largest = ctx.saved_tensors
        is_largest = values == largest.index_select(0, pillar_of_point)
        return gradients[0].index_select(0, pillar_of_point) * is_largest, None, None


class PillarEncoder(nn.Module):
    """Pillars to a map (B,C,H,W) in channels-last memory order."""

    log_of_count: Tensor

    def __init__(self, channels: int, cell_m: float) -> None:
        super().__init__()
        self.cell_m = cell_m
        self.point = nn.Linear(4, channels, bias=False)
        self.pillar = nn.Linear(6, channels, bias=False)
        # A table: torch.log is wrong by 1e-5 now and then if two threads meet in its first call in a process
        # (MKL's vector maths setting itself up), and then live and offline boxes differ.
        logarithms = torch.tensor([0.0, *map(math.log, range(1, _MOST_POINTS))])
        self.register_buffer("log_of_count", logarithms, persistent=False)
        # Never folded: a negative gain would turn the maximum before it into a minimum.
        self.norm = nn.BatchNorm1d(channels, NORM_EPSILON, NORM_MOMENTUM)

    def forward(self, pillars: Pillars, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the map in `dtype`; the arithmetic before it is float32, positions need the digits."""
        with torch.autocast(pillars.points.device.type, enabled=False):
            features = self._features(pillars)
        batch, height, width = pillars.shape
        canvas = torch.zeros((batch * height * width, features.shape[1]), dtype=dtype, device=features.device)
        canvas.index_copy_(0, pillars.cells, features.to(dtype))
        return canvas.view(batch, height, width, -1).permute(0, 3, 1, 2)

    def _features(self, pillars: Pillars) -> Tensor:
        """Return (K,C), one row a pillar."""
        points, of = pillars.points, pillars.pillar_of_point
        local = points.clone()
        local[:, :2] -= pillars.centers_m.index_select(0, of)
        scale = local.new_tensor([self.cell_m, self.cell_m, _TALL_M, 1.0])
        reduced: Tensor = SegmentMax.apply(self.point(local / scale), of, len(pillars))
        features: Tensor = self.norm(reduced + self.pillar(self._pillar_inputs(pillars, scale)))
        return features.relu()

    def _pillar_inputs(self, pillars: Pillars, scale: Tensor) -> Tensor:
        """Return (K,6): mean point (3), middle (2), log of the number of points."""
        mean = pillars.means() / scale[:3]
        count = self.log_of_count[pillars.counts.clamp(max=_MOST_POINTS - 1)][:, None]
        return torch.cat([mean, pillars.centers_m / _FAR_M, count], dim=1)
