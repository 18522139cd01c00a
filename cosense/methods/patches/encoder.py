"""The product profile's sender: what of a frame is written down, cell by cell, and in which order.

After CoSDH (CVPR 2025): features are sent where the sender is confident (supply) and the ego cannot see
(demand). We differ where a hard byte budget asks for it:

- One latent at stride 4 (a *patch*, 1.6 m) instead of three levels: a car costs three to six patches, and a
  cell costs 8 bytes instead of 8, 16 and 32. The head's own maps are part of its input, so a patch also says
  what stands there and how well that is known.
- Patches are ranked, not thresholded: rank = supply × demand × value. The value is learned: how much the loss
  at the receiver changes when the patch is left out (the first-order term |dL/dg| of a gate g at 1, as in
  "Importance Estimation for Neural Network Pruning", Molchanov et al., CVPR 2019).
- A *floor* at stride 8 covers the whole map with a few bits a cell: also where nothing stands is worth
  knowing.
- Numbers are integers on the wire, and training rounds them (straight-through): nothing is rounded
  afterwards. Ternary values, codebooks, hashing and error feedback differ little: `benchmarks/codecs.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.config import DETECTED_CLASSES, ModelConfig, PatchesConfig
from cosense.detectors.features import BevFeatures
from cosense.detectors.head import BOX_CODE_SIZE
from cosense.detectors.layers import ConvBlock, conv3x3
from cosense.messages.chunks import LayerSpec, Section
from cosense.methods.selection import Selection, rank_cells
from cosense.methods.supply_demand import supply_map, wanted_cells

Wanted = Callable[[int], Tensor]

PATCH_STRIDE, FLOOR_STRIDE = 4, 8
_HEAD_CHANNELS = len(DETECTED_CLASSES) + BOX_CODE_SIZE
# Log sizes and heights beyond these bounds are of cells where the head never decides anything.
_LARGEST_CODE = 4.0


def head_maps_as_input(class_logits: Tensor, box_codes: Tensor) -> Tensor:
    """Return (...,13,H,W): confidences and bounded box codes, as numbers that a convolution can use."""
    return torch.cat([torch.sigmoid(class_logits), box_codes.clamp(-_LARGEST_CODE, _LARGEST_CODE)], dim=-3)


def rounded(latent: Tensor, bits: int) -> Tensor:
    """Return the nearest integers that `bits` hold in two's complement; gradients pass as if nothing was."""
    bounded = latent.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return bounded + (bounded.round() - bounded).detach()


class PatchEncoder(nn.Module):
    """Levels and head maps of one cloud to the integers of patches and floor, and the value of each patch."""

    def __init__(self, model: ModelConfig, config: PatchesConfig) -> None:
        super().__init__()
        self.config = config
        self.specs = (
            LayerSpec(PATCH_STRIDE, config.channels, config.bits),
            LayerSpec(FLOOR_STRIDE, config.floor_channels, config.floor_bits, dense=True),
        )
        fine, middle, coarse = (stage.channels for stage in model.stages)
        hidden = config.hidden_channels
        self.fine = nn.Conv2d(fine, hidden, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(middle, hidden, 1)
        self.coarse = nn.Conv2d(coarse, hidden, 1)
        self.head = nn.Conv2d(4 * _HEAD_CHANNELS, hidden, 1)
        self.mix = conv3x3(hidden, hidden)
        self.patch = nn.Conv2d(hidden, config.channels, 1)
        self.floor = nn.Conv2d(hidden, config.floor_channels, 1)
        self.value = nn.Sequential(ConvBlock(nn.Conv2d(hidden, 16, 1, bias=False)), nn.Conv2d(16, 1, 1))
        # Uses the range of the integers from the start.
        nn.init.normal_(self.patch.weight, std=2.0 ** (config.bits - 2) / hidden**0.5)

    def forward(self, levels: list[Tensor], head: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode a batch.

        Args:
            levels: of the backbone, (B,C_l,H/2^(l+1),W/2^(l+1)) for l = 0, 1, 2.
            head: as `head_maps_as_input` gives it, (B,13,H/2,W/2).

        Returns:
            patches (B,C,H/4,W/4) and floor (B,C',H/8,W/8), whole numbers, and the logits of the patches'
            values (B,1,H/4,W/4), whose gradient does not reach what they share with the patches.
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

    def demand(self, features: BevFeatures) -> tuple[int, Tensor]:
        """Return what the ego wants to be told: pillars per cell, and the map (H,W) bool."""
        return FLOOR_STRIDE, wanted_cells(
            features.point_counts, FLOOR_STRIDE, self.config.wanted_below_points
        )

    def latents(self, features: BevFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches, floor and values as `forward` does, of one cloud."""
        head = head_maps_as_input(features.class_logits, features.box_codes)
        with torch.inference_mode():
            return self([level[None].float() for level in features.levels], head[None])

    def offer(
        self, features: BevFeatures, wanted: Wanted, selection: Selection | None, seed: int
    ) -> list[Section]:
        """Return the layers of one cloud, best cells first; the floor comes after the best patches.

        Args:
            features: of the sender.
            wanted: gives (H/s,W/s) bool for a stride of s pillars: where the ego wants to be told more.
            selection: by which rule; None for that of the profile.
            seed: for random selection.
        """
        patches, floor, value = (tensor.cpu() for tensor in self.latents(features))
        with torch.inference_mode():
            cells = rank_cells(
                selection or "ranked",
                supply_map(features.class_logits, PATCH_STRIDE // 2).cpu(),
                wanted(PATCH_STRIDE),
                torch.sigmoid(value[0, 0]),
                unwanted_weight=self.config.unwanted_weight,
                least_supply=0.0,
                seed=seed,
            )
            values = patches[0].flatten(1).T[cells].to(torch.int8).numpy()
            below = floor[0].flatten(1).T.to(torch.int8).numpy()
        first = self.config.floor_after_patches
        ranked = cells.numpy()
        return [
            Section(0, ranked[:first], values[:first]),
            Section(1, np.arange(len(below)), below),
            Section(0, ranked[first:], values[first:]),
        ]
