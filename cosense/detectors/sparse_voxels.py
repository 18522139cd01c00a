"""Sparse voxel detector: points in voxels, sparse 3D convolutions, then the bird's-eye network of pillars.

After SECOND (Yan et al., Sensors 2018) with residual blocks as in CenterPoint (Yin et al., CVPR 2021): a
submanifold convolution, stages of residual blocks at half of the resolution of the one before, and a last
convolution along z alone; what is then above each other becomes channels of a bird's-eye canvas. Convolutions
are those of spconv (`detectors.spconv_library`), an extra that this module needs once a network is built.

Deviations: a voxel knows, besides the mean of its points, the middle of the voxel and the number of its
points; every point counts, there is no most number of points or voxels; heights are counted from the
estimated ground. Everything behind the canvas is `detectors.bev_network`, so that agents share the levels of
this detector as they share those of pillars.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cosense.detectors.bev_network import Backbone, BevNetwork, Neck
from cosense.detectors.grouping import Pillars, means_by_group
from cosense.detectors.head import CenterHead
from cosense.detectors.layers import FAR_M, NORM_EPSILON, NORM_MOMENTUM, LogOfCount
from cosense.detectors.lidar_detector import LidarDetector, LidarDetectorConfig
from cosense.detectors.spconv_library import load_spconv
from cosense.errors import counted

# Numbers of a voxel: mean of its points (3) and of their intensity, its middle (3), log of their number.
_INPUTS = 8
# Brings heights to about one before they are multiplied.
_TALL_M = 2.0


@dataclass(frozen=True)
class SparseStageConfig:
    """One stage of sparse convolutions."""

    blocks: int  # residual blocks of two convolutions
    channels: int

    def __post_init__(self) -> None:
        if self.blocks < 0 or self.channels < 1:
            raise ValueError(
                f"a sparse stage of {counted(self.blocks, 'block')} and "
                f"{counted(self.channels, 'channel')} is no network"
            )


@dataclass(frozen=True, kw_only=True)
class SparseVoxelsConfig(LidarDetectorConfig):
    """Keys of config.yaml for `detector: sparse_voxels`: those of its base, and two.

    Seen from above, S sparse stages begin with 2^(S-2) × 2^(S-2) voxels in a cell.
    """

    voxel_height_m: float  # extent of a voxel along z
    sparse_stages: tuple[SparseStageConfig, ...]  # each at half of the resolution of the one before

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.sparse_stages) < 2:
            raise ValueError("sparse_stages needs at least two entries, the second is at the size of a cell")
        if not 0 < self.voxel_height_m < math.inf:
            raise ValueError(f"voxel_height_m is {self.voxel_height_m}, expected metres above 0")
        if self.top < 3 or self.top % 2 == 0:
            raise ValueError(
                f"voxel_height_m: {self.voxel_height_m} leaves {counted(self.top, 'layer')} of voxels above "
                "each other in the last of sparse_stages, expected an odd number from 3 on"
            )

    @property
    def voxels_per_cell(self) -> int:
        """Voxels of the first stage in a cell, along one edge."""
        return int(2 ** (len(self.sparse_stages) - 2))

    @property
    def layers(self) -> int:
        """Voxels of the first stage above each other."""
        return math.ceil(round((self.height_m[1] - self.height_m[0]) / self.voxel_height_m, 6))

    @property
    def top(self) -> int:
        """Voxels of the last stage above each other."""
        layers = self.layers
        for _ in self.sparse_stages[1:]:
            layers = (layers - 1) // 2 + 1
        return layers


@dataclass(frozen=True)
class Voxels:
    """The K voxels of B clouds that hold at least one point.

    Attributes:
        inputs: (K,8) float32, what the network is told of each.
        indices: (K,4) int32: cloud, then voxel along z, y and x.
        shape: number of voxels along z, y and x.
    """

    inputs: Tensor
    indices: Tensor
    shape: tuple[int, int, int]


class Voxeliser(nn.Module):
    """Cells to voxels: every cell is cut into equal parts, its points are described by their means."""

    def __init__(self, config: SparseVoxelsConfig) -> None:
        super().__init__()
        self.cell_m, self.per_cell = config.cell_m, config.voxels_per_cell
        self.floor_m, self.height_m, self.layers = config.height_m[0], config.voxel_height_m, config.layers
        self.log_of_count = LogOfCount()

    def forward(self, pillars: Pillars) -> Voxels:
        """Return the voxels of grouped points."""
        _, height, width = pillars.shape
        rows, columns = height * self.per_cell, width * self.per_cell
        of_point = pillars.cells.index_select(0, pillars.pillar_of_point)
        edge_m = self.cell_m / self.per_cell
        corner_m = pillars.centers_m.index_select(0, pillars.pillar_of_point) - self.cell_m / 2
        # Rounding may put a point onto the far edge of its cell.
        within = _floor((pillars.points[:, :2] - corner_m) / edge_m, self.per_cell)
        z = _floor((pillars.points[:, 2] - self.floor_m) / self.height_m, self.layers)
        x = of_point % width * self.per_cell + within[:, 0]
        y = torch.div(of_point, width, rounding_mode="floor") % height * self.per_cell + within[:, 1]
        cloud = torch.div(of_point, height * width, rounding_mode="floor")
        key = ((cloud * self.layers + z) * rows + y) * columns + x
        _, voxel_of_point, counts = torch.unique(key, return_inverse=True, return_counts=True)
        # Any point of a voxel says where it is.
        some = voxel_of_point.new_zeros(len(counts)).index_copy_(
            0, voxel_of_point, torch.arange(len(key), device=key.device)
        )
        place = torch.stack([cloud, z, y, x], dim=1).index_select(0, some)
        size_m = corner_m.new_tensor([edge_m, edge_m, self.height_m])
        low = torch.cat([within.index_select(0, some), place[:, 1:2]], dim=1)
        floor_m = corner_m.new_full((len(some), 1), self.floor_m)
        middle = torch.cat([corner_m.index_select(0, some), floor_m], dim=1) + (low + 0.5) * size_m
        means = means_by_group(pillars.points, voxel_of_point, counts)
        scale = corner_m.new_tensor([FAR_M, FAR_M, _TALL_M])
        inputs = torch.cat(
            [(means[:, :3] - middle) / size_m, means[:, 3:], middle / scale, self.log_of_count(counts)], dim=1
        )
        return Voxels(inputs, place.to(torch.int32), (self.layers, rows, columns))


class SparseBlock(nn.Module):
    """Sparse convolution, batch norm and ReLU."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm1d(int(convolution.out_channels), NORM_EPSILON, NORM_MOMENTUM)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        """Return the sparse tensor that follows from a sparse tensor."""
        made = self.convolution(x)
        return made.replace_feature(self.norm(made.features).relu())


class ResidualBlock(nn.Module):
    """Two submanifold convolutions beside a direct way, as in ResNet (He et al., CVPR 2016)."""

    def __init__(self, channels: int, sites: str) -> None:
        super().__init__()
        spconv = load_spconv()
        self.first = SparseBlock(_submanifold(channels, channels, sites))
        self.second = spconv.SubMConv3d(channels, channels, 3, bias=False, indice_key=sites)
        self.norm = nn.BatchNorm1d(channels, NORM_EPSILON, NORM_MOMENTUM)

    def forward(self, x: Any) -> Any:
        """Return a sparse tensor at the sites of the one that is given."""
        made = self.second(self.first(x))
        return made.replace_feature((self.norm(made.features) + x.features).relu())


class SparseEncoder(nn.Module):
    """Cells to a map (B,C,H/2,W/2) in channels-last memory order, by way of voxels.

    Attributes:
        channels: C.
    """

    def __init__(self, config: SparseVoxelsConfig) -> None:
        super().__init__()
        spconv = load_spconv()
        self.voxeliser = Voxeliser(config)
        self.stages = nn.ModuleList()
        before = config.sparse_stages[0].channels
        begin = SparseBlock(_submanifold(_INPUTS, before, "stage 0"))
        for number, stage in enumerate(config.sparse_stages):
            if number > 0:
                halved = spconv.SparseConv3d(before, stage.channels, 3, stride=2, padding=1, bias=False)
                begin = SparseBlock(halved)
            blocks = [ResidualBlock(stage.channels, f"stage {number}") for _ in range(stage.blocks)]
            self.stages.append(nn.Sequential(begin, *blocks))
            before = stage.channels
        flattened = spconv.SparseConv3d(before, before, (3, 1, 1), stride=(2, 1, 1), bias=False)
        self.last = SparseBlock(flattened)
        self.channels = before * ((config.top - 3) // 2 + 1)

    def forward(self, pillars: Pillars, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the map in `dtype`; the arithmetic before it is float32, positions need the digits."""
        batch, height, width = pillars.shape
        shape = (batch, height // 2, width // 2, self.channels)
        canvas = torch.zeros(shape, dtype=dtype, device=pillars.points.device)
        if len(pillars):
            with torch.autocast(pillars.points.device.type, enabled=False):
                x = self._sparse(pillars)
            cloud, z, row, column = x.indices.long().T
            layers = x.spatial_shape[0]
            site = ((cloud * shape[1] + row) * shape[2] + column) * layers + z
            rows = canvas.view(-1, self.channels // layers)
            canvas = rows.index_copy(0, site, x.features.to(dtype)).view(shape)
        return canvas.permute(0, 3, 1, 2)

    def _sparse(self, pillars: Pillars) -> Any:
        """Return the sparse tensor of the last convolution."""
        voxels = self.voxeliser(pillars)
        batch = pillars.shape[0]
        x = load_spconv().SparseConvTensor(voxels.inputs, voxels.indices, list(voxels.shape), batch)
        for stage in self.stages:
            x = stage(x)
        return self.last(x)


class SparseVoxelNetwork(BevNetwork):
    """Cells to head maps, by way of voxels."""

    def __init__(self, config: SparseVoxelsConfig) -> None:
        level_channels = [stage.channels for stage in config.stages]
        encoder = SparseEncoder(config)
        super().__init__(
            encoder,
            Backbone(encoder.channels, config.stages, first_stride=1),
            Neck(level_channels, config.neck_channels, config.shrink_channels),
            CenterHead(config.shrink_channels[-1]),
        )


class SparseVoxelDetector(LidarDetector):
    """From a point cloud to boxes, by way of sparse voxels."""

    Config = SparseVoxelsConfig
    config: SparseVoxelsConfig

    @classmethod
    def build(cls, config: SparseVoxelsConfig, seed: int) -> SparseVoxelNetwork:
        """Return an untrained network with weights drawn from `seed`.

        Raises:
            CosenseError: spconv is not installed.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return SparseVoxelNetwork(config)


def _submanifold(channels_in: int, channels_out: int, sites: str) -> nn.Module:
    """Return a 3×3×3 convolution that keeps the sites; those of one name share the search for neighbours."""
    made: nn.Module = load_spconv().SubMConv3d(channels_in, channels_out, 3, bias=False, indice_key=sites)
    return made


def _floor(values: Tensor, count: int) -> Tensor:
    """Return int64 indices below `count`."""
    return torch.floor(values).long().clamp(0, count - 1)
