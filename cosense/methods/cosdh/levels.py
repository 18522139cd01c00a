"""Whole levels of the backbone: as CoSDH sends them, and as it joins them in the ego's map (CVPR 2025).

Channel auto-encoder: each level is encoded by one block (3×3 C -> C/c) and decoded by two (3×3 C/c -> C, 3×3
C -> C), each a convolution with batch norm and ReLU. Which cells are sent is decided in
`methods.cosdh.method`; here a mask says which were: it is laid on the latent at the sender, before anything
is written, and again on the decoded level. Published, it is laid on the decoded and warped map alone, which
still holds what the latent said beside it.

Fusion: Fused_l = max_j M_j ⊙ warp(dec(z_j)), the ego's own level included. Levels are never negative, so a
cell that was not sent changes nothing. Published, the ego's own level passes the codec too; here it does not,
since the ego has it in full.

Attention, a baseline: `methods.map_fusion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.layers import conv3x3
from cosense.geometry.transforms import Matrix
from cosense.messages.chunks import LayerSpec
from cosense.sensing.grid import BevGrid


@dataclass(frozen=True)
class CosdhConfig:
    """Keys of `sharing:` for the method cosdh; the defaults are the published constants."""

    codec_ratio: int = 16  # channels of a level per channel of its latent: 16 for 64, 128 and 256 channels
    codec: bool = True  # levels pass the channel auto-encoder; without it they are sent as they are
    supply_threshold: float = 0.01  # epsilon_c: a cell is offered if its smoothed confidence is higher
    gaussian_kernel: int = 5  # edge of the smoothing window in cells
    gaussian_sigma: float = 1.0  # of the smoothing, in cells
    demand_points: int = 4  # epsilon_a: the ego asks for a pillar in which it has fewer points
    fusion: Literal["max", "attention"] = "max"  # over the agents, cell by cell
    late_score_threshold: float = 0.3  # boxes of others with a lower score are not merged
    late_score_factor: float = 0.8  # beta: the scores of others' boxes are multiplied by it

    def __post_init__(self) -> None:
        if self.codec_ratio < 1:
            raise ValueError(f"codec_ratio is {self.codec_ratio}, expected at least 1")
        if self.gaussian_kernel < 1 or self.gaussian_kernel % 2 == 0 or not self.gaussian_sigma > 0:
            raise ValueError("gaussian_kernel is an odd number of cells, gaussian_sigma above 0")
        for name in ("supply_threshold", "late_score_threshold", "late_score_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")


class ChannelCodec(nn.Module):
    """The auto-encoder of one level."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.encoder = conv3x3(channels, latent)
        self.decoder = nn.Sequential(conv3x3(latent, channels), conv3x3(channels, channels))


class LevelCodecs(nn.Module):
    """The auto-encoders of all levels; without them (`codec: false`) levels are their own latents.

    Attributes:
        specs: layers of a message, one for each level: float16 at strides 2, 4, 8, ...
    """

    def __init__(self, level_channels: Sequence[int], config: CosdhConfig) -> None:
        super().__init__()
        self.has_codec = config.codec
        latents = [max(1, count // config.codec_ratio) if config.codec else count for count in level_channels]
        self.specs = tuple(LayerSpec(2 ** (level + 1), count, 16) for level, count in enumerate(latents))
        self.codecs = nn.ModuleList(
            ChannelCodec(count, latent) if config.codec else nn.Identity()
            for count, latent in zip(level_channels, latents, strict=True)
        )

    def encode(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the latents (B,C_l/c,H_l,W_l) of levels (B,C_l,H_l,W_l)."""
        if not self.has_codec:
            return list(levels)
        return [codec.encoder(level) for codec, level in zip(self.codecs, levels, strict=True)]  # type: ignore[operator]

    def decode(self, latents: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels of latents of which only the cells (H_l,W_l) of the masks were sent."""
        sent = [latent * mask for latent, mask in zip(latents, masks, strict=True)]
        if self.has_codec:
            sent = [codec.decoder(latent) for codec, latent in zip(self.codecs, sent, strict=True)]  # type: ignore[operator]
        return [level * mask for level, mask in zip(sent, masks, strict=True)]


def random_mask(supply: Tensor, share: float) -> Tensor:
    """Return (H,W) bool: the most confident cells, a share in [0, 1] of all; how selection is trained."""
    count = int(supply.numel() * share)
    mask = torch.zeros(supply.numel(), dtype=torch.bool)
    mask[torch.sort(supply.flatten(), descending=True, stable=True).indices[:count]] = True
    return mask.view_as(supply)


def warp(maps: Tensor, grid: BevGrid, T_sender_ego: Matrix) -> Tensor:
    """Return maps (C,H,W) of the sender as seen on the same grid of the ego; bilinear, zeros outside."""
    places = torch.from_numpy(grid.centres()).float()
    rotation = torch.from_numpy(T_sender_ego[:2, :2].copy()).float()
    there = places @ rotation.T + torch.from_numpy(T_sender_ego[:2, 3].copy()).float()
    low = there.new_tensor(grid.range_m[:2])
    extent = there.new_tensor(grid.range_m[3:5]) - low
    where = ((there - low) / extent * 2 - 1).to(maps.device)
    sampled = functional.grid_sample(maps[None], where[None], align_corners=False)
    return sampled[0]


def warp_levels(levels: Sequence[Tensor], grid: BevGrid, T_sender_ego: Matrix) -> list[Tensor]:
    """Return levels (1,C_l,H_l,W_l) of the sender as (C_l,H_l,W_l) in the ego frame.

    Args:
        levels: at strides 2, 4, 8, ... of the pillars.
        grid: cells of the pillars, in the frame of either agent.
        T_sender_ego: (4,4) maps the ego frame into the sender's.
    """
    return [
        warp(level[0], grid.coarser(2 ** (index + 1)), T_sender_ego) for index, level in enumerate(levels)
    ]
