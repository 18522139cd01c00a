"""CoSDH's channel auto-encoder: what a level of the backbone looks like on its way (CVPR 2025).

Each level is encoded by one block (3×3 C -> C/c) and decoded by two (3×3 C/c -> C, 3×3 C -> C), each a
convolution with batch norm and ReLU. Which cells are sent is decided in `methods.cosdh.method`; here a mask
says which were: it is laid on the latent at the sender, before anything is written, and again on the decoded
level. Published, it is laid on the decoded and warped map alone, which still holds what the latent said
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cosense.detectors.layers import conv3x3
from cosense.messages.chunks import LayerSpec
from cosense.methods.cosdh.settings import CosdhConfig


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
