"""Images to features at three scales and, for each pixel of the finest, how far the thing is that it shows.

A pretrained network (`efficientnet`), a feature pyramid over it (Lin et al., CVPR 2017) and a distribution
over distances in logarithmic steps. LCV2I names ResNet-50; this one takes a fifth of its time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.camera.efficientnet import CHANNELS, EfficientNetLite0
from cosense.detectors.layers import conv3x3

# Strides of the maps.
STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class ImageConfig:
    """Keys below `image:` in config.yaml.

    Attributes:
        size: height and width that images are brought to, multiples of 32; the rest is black.
        channels: features at each scale.
        depth_bins: steps of distance that are told apart,
        depth_m: from the nearest to the farthest.
    """

    size: tuple[int, int] = (288, 512)
    channels: int = 32
    depth_bins: int = 40
    depth_m: tuple[float, float] = (2.0, 90.0)

    def __post_init__(self) -> None:
        if min(self.size) < 32 or any(side % STRIDES[-1] for side in self.size):
            raise ValueError(f"size is {self.size}, expected height and width in multiples of 32")
        if self.channels < 1 or self.depth_bins < 2:
            raise ValueError("channels is at least 1, depth_bins at least 2")
        if not 0 < self.depth_m[0] < self.depth_m[1]:
            raise ValueError(f"depth_m {self.depth_m} is empty or not above 0")

    def depth_steps(self, depth_m: Tensor) -> Tensor:
        """Return distances along the optical axis in steps; those of bin k are k to k + 1."""
        nearest_m, farthest_m = self.depth_m
        logarithm = torch.log(depth_m.clamp(min=nearest_m, max=farthest_m) / nearest_m)
        return logarithm * (self.depth_bins / math.log(farthest_m / nearest_m))


@dataclass(frozen=True)
class ImageFeatures:
    """What V images show.

    Attributes:
        levels: (V,C,H/8,W/8), (V,C,H/16,W/16) and (V,C,H/32,W/32), float32.
        depth_logits: (V,bins,H/8,W/8), float32.
    """

    levels: tuple[Tensor, ...]
    depth_logits: Tensor


class Pyramid(nn.Module):
    """Stages of the pretrained network to maps with equally many channels; coarse ones tell fine ones."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in CHANNELS)
        self.smooth = nn.ModuleList(conv3x3(channels, channels) for _ in CHANNELS)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        maps = [layer(stage) for layer, stage in zip(self.lateral, stages, strict=True)]
        for fine in (1, 0):
            maps[fine] = maps[fine] + functional.interpolate(maps[fine + 1], scale_factor=2.0, mode="nearest")
        return [layer(level) for layer, level in zip(self.smooth, maps, strict=True)]


class PyramidWithDepth(nn.Module):
    """The second half of an image encoder, which is learned: maps of the pretrained network to features."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.pyramid = Pyramid(config.channels)
        self.depth = nn.Conv2d(config.channels, config.depth_bins, 1)

    def forward(self, stages: Sequence[Tensor]) -> ImageFeatures:
        """Return what the images show, from what `ImageEncoder.stages` returns."""
        dtype = self.depth.weight.dtype
        levels = self.pyramid([stage.to(dtype) for stage in stages])
        return ImageFeatures(tuple(level.float() for level in levels), self.depth(levels[0]).float())


class ImageEncoder(PyramidWithDepth):
    """Images to `ImageFeatures` in two halves, because the first is not learned and is worth keeping."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__(config)
        self.backbone = EfficientNetLite0()

    def stages(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the pretrained network, in its dtype, of images (V,H,W,3) uint8."""
        maps: list[Tensor] = self.backbone(images)
        return maps
