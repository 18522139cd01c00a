"""What LCV2I learns: features that stand out are enhanced, regions of them are sent and fused.

Sender, and the vehicle for its own map (regional feature enhancement; the paper names it, the form is ours):

    F^E = ReLU(F + alpha M_D ⊙ W S + beta (F - S))

with F the map from which the detector's head decides, S and M_D as in `regional_maps`, W a 1×1 convolution.
W starts at 0 and beta at 0, so F^E starts as F; alpha starts at 1.

A region is 2 × 2 cells of F^E, at stride 4, and is sent as a few integers. At the vehicle (ours) regions are
placed and read in its own axes (`methods.cells`) and become a map of as many channels as its F^E, one an
agent; their maximum goes, beside F^E, into a head that gives the change of the vehicle's own maps
(`methods.fused_head`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.head import HeadMaps
from cosense.detectors.layers import conv3x3
from cosense.messages.chunks import LayerSpec
from cosense.methods.cells import Cells, rounded, spread, steered, steering
from cosense.methods.fused_head import BoxMaps, FusedHead
from cosense.methods.lcv2i.regional_maps import smoothed
from cosense.sensing.grid import BevGrid

REGION_STRIDE, REQUEST_STRIDE = 4, 8


@dataclass(frozen=True)
class Lcv2iConfig:
    """Keys of `sharing:` for the method lcv2i; all values are ours."""

    selection: str = "lcv2i"  # rule by which regions are sent, see cosense/methods/selection
    channels: int = 16  # numbers of one region, a cell at stride 4
    bits: Literal[2, 4, 8] = 4  # per number of a region
    hidden_channels: int = 32  # width of the encoder and the decoder
    fused_channels: int = 48  # width of the fused head
    enhancement: bool = True  # features are enhanced; without it F^E is F
    need_from_points: float = 0.5  # rho: share of the vehicle's need that comes from a lack of points
    need_below_points: int = 20  # n_min: a region at stride 8 with fewer points lacks them
    need_threshold: float = 0.6  # the vehicle asks for regions at stride 8 that it needs more than this

    def __post_init__(self) -> None:
        if min(self.channels, self.hidden_channels, self.fused_channels) < 1:
            raise ValueError("channels, hidden_channels and fused_channels are at least 1")
        if self.need_below_points < 0:
            raise ValueError(f"need_below_points is {self.need_below_points}, expected at least 0")
        for name in ("need_from_points", "need_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")


class RegionalEnhancement(nn.Module):
    """F and its difference map to F^E."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.zeros_(self.mix.weight)
        self.alpha = nn.Parameter(torch.ones(()))
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor, difference: Tensor) -> Tensor:
        """Return F^E (B,C,H,W) of features (B,C,H,W) and their difference maps (B,1,H,W)."""
        smooth = smoothed(features)
        enhanced = features + self.alpha * difference * self.mix(smooth) + self.beta * (features - smooth)
        return enhanced.relu()


class RegionEncoder(nn.Module):
    """F^E to the integers of its regions."""

    def __init__(self, channels: int, config: Lcv2iConfig) -> None:
        super().__init__()
        hidden = config.hidden_channels
        self.bits = config.bits
        self.layers = nn.Sequential(conv3x3(channels, hidden, stride=2), conv3x3(hidden, hidden))
        self.latent = nn.Conv2d(hidden, config.channels, 1)
        # Uses the range of the integers from the start.
        nn.init.normal_(self.latent.weight, std=2.0 ** (config.bits - 2) / hidden**0.5)

    def forward(self, enhanced: Tensor) -> Tensor:
        """Return (B,C',H/2,W/2), whole numbers, of F^E (B,C,H,W)."""
        return rounded(self.latent(self.layers(enhanced)), self.bits)


class RegionFusion(FusedHead):
    """The vehicle's network; the same for any number of senders."""

    def __init__(self, channels: int, config: Lcv2iConfig) -> None:
        super().__init__(2 * channels + 1, config.fused_channels)
        hidden = config.hidden_channels
        self.steering = steering(config.channels, hidden, 2.0 ** (config.bits - 1))
        # Without batch norms: how much of a map is sent varies from nothing to everything, and so would they.
        mix = nn.Conv2d(hidden, hidden, 3, padding=1)
        refine = nn.ConvTranspose2d(hidden, channels, 2, stride=2)
        for layer in (mix, refine):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.decoder = nn.Sequential(mix, nn.ReLU(), refine, nn.ReLU())

    def placed(self, regions: Cells, yaw_rad: float, grid: BevGrid) -> tuple[Tensor, Tensor]:
        """Return what one sender sent on the vehicle's map of regions.

        Args:
            regions: cells at stride 4.
            yaw_rad: heading of the sender's x axis in the ego frame.
            grid: cells of the map, the ego's at stride 4.

        Returns:
            (C',H,W), and (1,H,W) how much of each cell was sent, 0 to 1.
        """
        read = steered(regions.values, self.steering, yaw_rad)
        there = torch.cat([read, read.new_ones(len(read), 1)], dim=1)
        joined = spread(Cells(there, regions.xy_m), grid)
        return joined[:-1], joined[-1:].clamp(max=1.0)

    def received(self, placed: Tensor, sent: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the maps (B,C,H,W) of B senders in the space of F^E, 0 where nothing was sent.

        Args:
            placed: (B,C',H/2,W/2) and
            sent: (B,1,H/2,W/2), as `placed` returns them.
            size: (H,W), which may be odd.
        """
        height, width = size
        decoded: Tensor = self.decoder(placed)
        mask = functional.interpolate((sent > 0).to(decoded.dtype), scale_factor=2.0)
        return (decoded * mask)[..., :height, :width]

    def fused(self, own: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Return (2 C + 1,H,W): the vehicle's F^E (C,H,W), the maximum over the maps of others, and a mask.

        The mask is 1 where another agent has contributed.
        """
        received = torch.stack(list(others)).amax(dim=0) if others else torch.zeros_like(own)
        helped = received.amax(dim=0, keepdim=True) > 0
        return torch.cat([own, received, helped.to(own.dtype)])

    def forward(self, fused: Tensor, class_logits: Tensor, box_codes: Tensor, boxes: BoxMaps) -> HeadMaps:
        """Return the fused maps of B egos (or parts of their maps).

        Args:
            fused: (B,2 C + 1,H,W) as `fused` returns them.
            class_logits: (B,classes,H,W), the ego's.
            box_codes: (B,10,H,W), the ego's.
            boxes: those of the others, drawn into maps.
        """
        return self.decide((fused,), class_logits, box_codes, boxes)


def region_specs(config: Lcv2iConfig) -> tuple[LayerSpec, ...]:
    """Return the one layer of a message."""
    return (LayerSpec(REGION_STRIDE, config.channels, config.bits),)
