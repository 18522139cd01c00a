"""CoSDH's sender, as published (CVPR 2025; spec cosdh.md §1.3 to §1.5 and §1.8).

Each level of the backbone goes through a channel auto-encoder (3×3 C -> C/c; back 3×3 C/c -> C, 3×3 C -> C,
each with batch norm and ReLU) and is sent, in float16, where

    s_l = [G * max sigmoid(P) > epsilon_c]   supply, `methods.supply_demand`, at the size of the level
    D   = [n < epsilon_a]                    demand, n = the ego's points in a pillar, nearest-resized

are both 1. We differ, each time because no tensor crosses between agents but in the bytes of a message:

- The mask is laid on the latent at the sender, before anything is written, and again on the decoded level;
  published, it is laid on the decoded and warped map alone, which still holds what the latent said beside it.
- The supply is thresholded in the sender's frame, the demand is looked up there by the ego's pose.
- Coordinates, demand and late boxes are bytes of messages and counted; published they are free.
- Under a byte budget the cells go in the order of their supply, coarse levels first; published, the threshold
  is swept.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cosense.detectors.config import CosdhConfig, ModelConfig
from cosense.detectors.features import BevFeatures
from cosense.detectors.layers import conv3x3
from cosense.messages.chunks import LayerSpec, Section
from cosense.methods.patches.encoder import Wanted
from cosense.methods.selection import Selection, rank_cells
from cosense.methods.supply_demand import supply_map, wanted_pillars


class ChannelCodec(nn.Module):
    """The auto-encoder of one level."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.encoder = conv3x3(channels, latent)
        self.decoder = nn.Sequential(conv3x3(latent, channels), conv3x3(channels, channels))


class LevelEncoder(nn.Module):
    """The auto-encoders of all levels; without them (`codec: false`) levels are their own latents."""

    def __init__(self, model: ModelConfig, config: CosdhConfig) -> None:
        super().__init__()
        self.config = config
        channels = [stage.channels for stage in model.stages]
        self.channels = [max(1, count // config.codec_ratio) if config.codec else count for count in channels]
        self.specs = tuple(
            LayerSpec(2 ** (level + 1), count, 16) for level, count in enumerate(self.channels)
        )
        self.codecs = nn.ModuleList(
            ChannelCodec(count, latent) if config.codec else nn.Identity()
            for count, latent in zip(channels, self.channels, strict=True)
        )

    def encode(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the latents (B,C_l/c,H_l,W_l) of levels (B,C_l,H_l,W_l)."""
        if not self.config.codec:
            return list(levels)
        return [codec.encoder(level) for codec, level in zip(self.codecs, levels, strict=True)]  # type: ignore[operator]

    def decode(self, latents: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels that latents stand for."""
        if not self.config.codec:
            return list(latents)
        return [codec.decoder(latent) for codec, latent in zip(self.codecs, latents, strict=True)]  # type: ignore[operator]

    def decode_sent(self, latents: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
        """Return the levels of latents of which only the cells (H_l,W_l) of the masks were sent."""
        sent = [latent * mask for latent, mask in zip(latents, masks, strict=True)]
        return [level * mask for level, mask in zip(self.decode(sent), masks, strict=True)]

    def own_levels(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return the ego's levels (C_l,H_l,W_l) as they are fused: as they are, or squeezed as published."""
        if not self.config.squeeze_ego:
            return list(levels)
        return [level[0] for level in self.decode(self.encode([level[None] for level in levels]))]

    def supply(self, class_logits: Tensor, level: int) -> Tensor:
        """Return the smoothed confidence (H_l,W_l) at the size of a level."""
        config = self.config
        return supply_map(class_logits, 2**level, config.gaussian_kernel, config.gaussian_sigma)

    def demand(self, features: BevFeatures) -> tuple[int, Tensor]:
        """Return what the ego wants to be told: pillars per cell, and the map (H,W) bool."""
        return 2, wanted_pillars(features.point_counts, self.config.demand_points)

    def latents(self, features: BevFeatures) -> list[Tensor]:
        """Return the latents (1,C_l/c,H_l,W_l) of one cloud."""
        with torch.inference_mode():
            return self.encode([level[None].float() for level in features.levels])

    def offer(
        self, features: BevFeatures, wanted: Wanted, selection: Selection | None, seed: int
    ) -> list[Section]:
        """Return the levels of one cloud, coarse to fine, best cells first; see `PatchEncoder.offer`."""
        sections = []
        latents = [latent.cpu() for latent in self.latents(features)]
        with torch.inference_mode():
            for level in reversed(range(len(latents))):
                cells = rank_cells(
                    selection or "supply_demand",
                    self.supply(features.class_logits, level).cpu(),
                    wanted(2 ** (level + 1)),
                    None,
                    unwanted_weight=0.0,
                    least_supply=self.config.supply_threshold,
                    seed=seed + level,
                )
                values = latents[level][0].flatten(1).T[cells].half().numpy()
                sections.append(Section(level, cells.numpy(), values))
        return sections


def random_mask(supply: Tensor, share: float) -> Tensor:
    """Return (H,W) bool: the most confident cells, a share in [0, 1] of all; how selection is trained."""
    count = int(supply.numel() * share)
    mask = torch.zeros(supply.numel(), dtype=torch.bool)
    mask[torch.sort(supply.flatten(), descending=True, stable=True).indices[:count]] = True
    return mask.view_as(supply)
