"""2D backbone of PointPillars (Lang et al., CVPR 2019): stages of 3×3 convolutions, each at half the size."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from cosense.detectors.config import StageConfig
from cosense.detectors.layers import conv3x3


class Backbone(nn.Module):
    """Stages at strides 2, 4, 8, ... of the pillar grid."""

    def __init__(self, channels_in: int, stages: Sequence[StageConfig]) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for stage in stages:
            layers = [conv3x3(channels_in, stage.channels, stride=2)]
            layers += [conv3x3(stage.channels, stage.channels) for _ in range(stage.layers)]
            self.stages.append(nn.Sequential(*layers))
            channels_in = stage.channels

    def forward(self, canvas: Tensor) -> list[Tensor]:
        """Return one map a stage, fine to coarse, of the canvas (B,C,H,W)."""
        levels = []
        for stage in self.stages:
            canvas = stage(canvas)
            levels.append(canvas)
        return levels
