"""Pillar detector: points grouped into pillars, and the bird's-eye network of `detectors.bev_network`.

After PointPillars (Lang et al., CVPR 2019), with a deviation in the encoder. PointPillars multiplies ten
numbers a point, (x, y, z, i), its offset from the pillar's mean (3) and from the pillar's middle (3), with
one matrix, then takes the maximum over the pillar. All but (x, y, z, i) is the same for the whole pillar once
x and y are counted from its middle, and adding a constant commutes with a maximum. So the matrix is cut in
two: W_point (4 -> C) is applied to points, W_pillar to the mean, the middle and the number of points of the
pillar, after the maximum:

    feature = ReLU(BN(max_i(W_point p_i) + W_pillar q))

The same functions, a third of the work, and nothing padded. Batch norm sees pillars instead of points, so a
pillar counts once, however close to the sensor it is. log(count) is new: it says how far the other numbers
can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cosense.detectors.bev_network import Backbone, BevNetwork, Neck
from cosense.detectors.grouping import Pillars
from cosense.detectors.head import CenterHead
from cosense.detectors.layers import FAR_M, NORM_EPSILON, NORM_MOMENTUM, LogOfCount
from cosense.detectors.lidar_detector import LidarDetector, LidarDetectorConfig, check_channels

# Brings heights to about one before they are multiplied.
_TALL_M = 2.0


@dataclass(frozen=True, kw_only=True)
class PillarsConfig(LidarDetectorConfig):
    """Keys of config.yaml for `detector: pillars`: those of its base, and one."""

    pillar_channels: int  # features of one pillar, which is a cell

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pillar_channels < 1:
            raise ValueError(f"pillar_channels is {self.pillar_channels}, expected at least 1")
        check_channels(self.pillar_channels)


class SegmentMax(torch.autograd.Function):
    """Largest value of each column by pillar; the gradient goes to the points that have it.

    torch's own backward of `scatter_reduce` spreads the gradient evenly over equal values and takes five
    times as long.
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

    def __init__(self, channels: int, cell_m: float) -> None:
        super().__init__()
        self.cell_m = cell_m
        self.point = nn.Linear(4, channels, bias=False)
        self.pillar = nn.Linear(6, channels, bias=False)
        self.log_of_count = LogOfCount()
        # Never folded: a negative gain would turn the maximum before it into a minimum.
        self.norm = nn.BatchNorm1d(channels, NORM_EPSILON, NORM_MOMENTUM)

    def forward(self, pillars: Pillars, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the map in `dtype`."""
        return scattered(self.features(pillars), pillars.cells, pillars.shape, dtype)

    def features(self, pillars: Pillars) -> Tensor:
        """Return (K,C), one row a pillar; the arithmetic is float32, positions need the digits."""
        points, of = pillars.points, pillars.pillar_of_point
        local = points.clone()
        local[:, :2] -= pillars.centers_m.index_select(0, of)
        scale = local.new_tensor([self.cell_m, self.cell_m, _TALL_M, 1.0])
        with torch.autocast(points.device.type, enabled=False):
            reduced: Tensor = SegmentMax.apply(self.point(local / scale), of, len(pillars))
            features: Tensor = self.norm(reduced + self.pillar(self._pillar_inputs(pillars, scale)))
        return features.relu()

    def _pillar_inputs(self, pillars: Pillars, scale: Tensor) -> Tensor:
        """Return (K,6): mean point (3), middle (2), log of the number of points."""
        mean = pillars.means() / scale[:3]
        count = self.log_of_count(pillars.counts)
        return torch.cat([mean, pillars.centers_m / FAR_M, count], dim=1)


def scattered(features: Tensor, cells: Tensor, shape: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    """Return features (K,C) of cells (K,) as a map (B,C,H,W), zeros elsewhere, in channels-last order."""
    batch, height, width = shape
    canvas = torch.zeros((batch * height * width, features.shape[1]), dtype=dtype, device=features.device)
    canvas.index_copy_(0, cells, features.to(dtype))
    return canvas.view(batch, height, width, -1).permute(0, 3, 1, 2)


class PillarNetwork(BevNetwork):
    """Pillars to head maps."""

    encoder: PillarEncoder

    def __init__(self, config: PillarsConfig) -> None:
        level_channels = [stage.channels for stage in config.stages]
        super().__init__(
            PillarEncoder(config.pillar_channels, config.cell_m),
            Backbone(config.pillar_channels, config.stages),
            Neck(level_channels, config.neck_channels, config.shrink_channels),
            CenterHead(config.shrink_channels[-1]),
        )


class PillarDetector(LidarDetector):
    """From a point cloud to boxes, by way of pillars."""

    Config = PillarsConfig
    config: PillarsConfig

    @classmethod
    def build(cls, config: PillarsConfig, seed: int) -> PillarNetwork:
        """Return an untrained network with weights drawn from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PillarNetwork(config)
