"""Settings of the product profile: ranked patches over a coarse floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
    unwanted_weight: float = 0.2  # rank of a patch that the ego does not want, relative to one that it wants
    floor_after_patches: int = 224  # the floor is sent after so many patches

    def __post_init__(self) -> None:
        counts = (self.channels, self.floor_channels, self.hidden_channels, self.fused_channels)
        if min(counts) < 1:
            raise ValueError("channels, floor_channels, hidden_channels and fused_channels are at least 1")
        if not 0 <= self.unwanted_weight <= 1:
            raise ValueError(f"unwanted_weight is {self.unwanted_weight}, expected a number in [0, 1]")
        if self.wanted_below_points < 0 or self.floor_after_patches < 0:
            raise ValueError("wanted_below_points and floor_after_patches are at least 0")
