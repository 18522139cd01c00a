"""Bird's-eye network behind any encoder of clouds: backbone, multi-scale neck and centre head.

After PointPillars (Lang et al., CVPR 2019) and SECOND (Yan et al., Sensors 2018). Every level of the backbone
is brought to the resolution of the finest and shrunk by 3×3 convolutions as in CoSDH (CVPR 2025). CoSDH's
have a bias and no batch norm; here they are the same block as everywhere, which folds into the same
convolution. The head seeks object middles instead of judging anchors, see `detectors.head`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn

from cosense.detectors.grouping import Pillars
from cosense.detectors.head import CenterHead, HeadMaps
from cosense.detectors.layers import ConvBlock, conv3x3, folded
from cosense.errors import counted

AnyBevNetwork = TypeVar("AnyBevNetwork", bound="BevNetwork")


@dataclass(frozen=True)
class StageConfig:
    """One stage of the backbone."""

    layers: int  # 3×3 convolutions of stride 1 behind the one that begins the stage
    channels: int

    def __post_init__(self) -> None:
        if self.layers < 0 or self.channels < 1:
            raise ValueError(
                f"a stage of {counted(self.layers, 'layer')} and "
                f"{counted(self.channels, 'channel')} is no network"
            )


class Backbone(nn.Module):
    """Stages of 3×3 convolutions, each at half of the resolution of the one before.

    Args:
        channels_in: C of the canvas.
        stages: fine to coarse.
        first_stride: 2 for a canvas of twice the resolution of the finest level, 1 for one of the same.
    """

    def __init__(self, channels_in: int, stages: Sequence[StageConfig], first_stride: int = 2) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        stride = first_stride
        for stage in stages:
            layers = [conv3x3(channels_in, stage.channels, stride)]
            layers += [conv3x3(stage.channels, stage.channels) for _ in range(stage.layers)]
            self.stages.append(nn.Sequential(*layers))
            channels_in, stride = stage.channels, 2

    def forward(self, canvas: Tensor) -> list[Tensor]:
        """Return one map a stage, fine to coarse, of the canvas (B,C,H,W)."""
        levels = []
        for stage in self.stages:
            canvas = stage(canvas)
            levels.append(canvas)
        return levels


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


class BevNetwork(nn.Module):
    """Grouped points to head maps in two halves: `encode` to the levels that agents may share, then `decide`.

    Attributes:
        encoder: makes a canvas (B,C,H,W), in the type that is asked for, of `Pillars`.
        backbone: makes the levels of the canvas.
        neck: joins them.
        head: finds objects in what the neck makes of them.
    """

    def __init__(self, encoder: nn.Module, backbone: Backbone, neck: Neck, head: CenterHead) -> None:
        super().__init__()
        self.encoder, self.backbone, self.neck, self.head = encoder, backbone, neck, head
        for part in (backbone, neck, head):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, pillars: Pillars, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Return the levels of the backbone, (B,C_l,H/2^(l+1),W/2^(l+1)).

        Args:
            pillars: B clouds.
            dtype: type of the map that enters the backbone; None for that of the weights.
        """
        canvas: Tensor = self.encoder(pillars, dtype or self.head.classes.weight.dtype)
        levels: list[Tensor] = self.backbone(canvas)
        return levels

    def decide(self, levels: list[Tensor]) -> HeadMaps:
        """Return the maps of the head, float32, at the size of the finest level."""
        maps: HeadMaps = self.head(self.neck(levels))
        return maps

    def forward(self, pillars: Pillars, dtype: torch.dtype | None = None) -> HeadMaps:
        """Return the maps of the head; see `encode` and `decide`."""
        return self.decide(self.encode(pillars, dtype))

    def prepare_for_inference(self: AnyBevNetwork, dtype: torch.dtype) -> AnyBevNetwork:
        """Fold the batch norms and bring the convolutions to `dtype`, in place; there is no way back."""
        folded(self)
        for part in (self.backbone, self.neck, self.head):
            part.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self
