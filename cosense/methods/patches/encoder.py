"""The sender's network of the product profile: levels and head maps to integers, cell by cell.

One latent at stride 4 (a *patch*, 1.6 m) instead of CoSDH's three levels (CVPR 2025): a car costs three to
six patches, and a cell costs 8 bytes instead of 8, 16 and 32. The head's own maps are part of the input, so a
patch also says what kind of object is there and how sure that is. A *floor* at stride 8 covers the whole map
with a few bits a cell: it is worth knowing, too, where there is nothing.

Numbers are integers on the wire, and training rounds them (straight-through), so nothing is rounded
afterwards. Ternary values, codebooks, hashing and error feedback differ little: `benchmarks/codecs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.layers import ConvBlock, conv3x3
from cosense.messages.chunks import LayerSpec
from cosense.methods.cells import rounded
from cosense.methods.fused_head import HEAD_CHANNELS


@dataclass(frozen=True)
class PatchesConfig:
    """Keys of `sharing:` for the method patches."""

    channels: int = 16  # numbers of one patch, a cell at stride 4
    bits: Literal[2, 4, 8] = 4  # per number of a patch
    floor_channels: int = 4  # numbers of one cell of the floor, at stride 8
    floor_bits: Literal[2, 4, 8] = 2  # per number of the floor
    hidden_channels: int = 32  # width of the encoder and of the receiver's evidence map
    fused_channels: int = 48  # width of the map from which the fused head decides
    wanted_below_points: int = 20  # the ego asks for cells at stride 8 in which it has fewer points than this
    floor_after_patches: int = 224  # the floor is sent after so many patches

    def __post_init__(self) -> None:
        counts = (self.channels, self.floor_channels, self.hidden_channels, self.fused_channels)
        if min(counts) < 1:
            raise ValueError("channels, floor_channels, hidden_channels and fused_channels are at least 1")
        if self.wanted_below_points < 0 or self.floor_after_patches < 0:
            raise ValueError("wanted_below_points and floor_after_patches are at least 0")


PATCH_STRIDE, FLOOR_STRIDE = 4, 8
# Values of a patch: for an ego that wants it or not, beside boxes or without.
_VALUES = 4


def value_of(values: Tensor, wanted: Tensor, *, with_boxes: bool) -> Tensor:
    """Return (...), of values (4,...) as `PatchEncoder` gives them, those that hold.

    Args:
        values: for a patch that the ego does not want, for one that it wants, and both beside boxes.
        wanted: (...) bool.
        with_boxes: whether the sender's boxes are sent too.
    """
    unwanted, of_wanted = values[2:] if with_boxes else values[:2]
    return torch.where(wanted, of_wanted, unwanted)


class PatchEncoder(nn.Module):
    """Levels and head maps of a cloud to the integers of patches and floor, and the values of each patch."""

    def __init__(self, level_channels: Sequence[int], config: PatchesConfig) -> None:
        super().__init__()
        if len(level_channels) != 3:
            raise ValueError(f"the method patches needs 3 stages, there are {len(level_channels)}")
        self.config = config
        self.specs = (
            LayerSpec(PATCH_STRIDE, config.channels, config.bits),
            LayerSpec(FLOOR_STRIDE, config.floor_channels, config.floor_bits, dense=True),
        )
        fine, middle, coarse = level_channels
        hidden = config.hidden_channels
        self.fine = nn.Conv2d(fine, hidden, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(middle, hidden, 1)
        self.coarse = nn.Conv2d(coarse, hidden, 1)
        self.head = nn.Conv2d(4 * HEAD_CHANNELS, hidden, 1)
        self.mix = conv3x3(hidden, hidden)
        self.patch = nn.Conv2d(hidden, config.channels, 1)
        self.floor = nn.Conv2d(hidden, config.floor_channels, 1)
        self.value = nn.Sequential(ConvBlock(nn.Conv2d(hidden, 16, 1, bias=False)), nn.Conv2d(16, _VALUES, 1))
        # Uses the range of the integers from the start.
        nn.init.normal_(self.patch.weight, std=2.0 ** (config.bits - 2) / hidden**0.5)

    def forward(self, levels: list[Tensor], head: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a batch.

        Args:
            levels: maps of the backbone, (B,C_l,H/2^(l+1),W/2^(l+1)) for l = 0, 1, 2.
            head: the head's maps as `head_maps_as_input` gives them, (B,13,H/2,W/2).

        Returns:
            patches (B,C,H/4,W/4) and floor (B,C',H/8,W/8), whole numbers, and the logits of the patches'
            values (B,4,H/4,W/4) for `value_of`, whose gradient does not reach what they share with the
            patches.
        """
        fine, middle, coarse = levels
        size = middle.shape[-2:]
        joined = self.fine(fine) + self.middle(middle) + self.head(functional.pixel_unshuffle(head, 2))
        joined = joined + functional.interpolate(self.coarse(coarse), size=size)
        hidden = self.mix(joined.relu())
        pooled = functional.adaptive_avg_pool2d(hidden, (coarse.shape[-2], coarse.shape[-1]))
        return (
            rounded(self.patch(hidden), self.config.bits),
            rounded(self.floor(pooled), self.config.floor_bits),
            self.value(hidden.detach()),
        )
