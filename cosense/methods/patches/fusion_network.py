"""The receiver's network of the product profile: what others sent becomes evidence in the ego's map.

After CoSDH (CVPR 2025), which warps the others' levels into the ego's map, takes the maximum over the agents
and runs the shared neck and head again. We differ because a car must keep its place and heading to a few
centimetres within 8 bytes a cell: patches are placed and steered (`methods.cells`), boxes that were sent are
drawn into the map (`methods.fused_head`), and the ego's features never go through a codec: the fused head
gives the change of the ego's own maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.head import HeadMaps
from cosense.detectors.layers import ConvBlock, conv3x3
from cosense.methods.cells import Cells, spread, steered, steering
from cosense.methods.fused_head import BoxMaps, FusedHead
from cosense.methods.patches.encoder import PatchesConfig
from cosense.sensing.grid import BevGrid


class EvidenceFusion(FusedHead):
    """The receiver's network; the same for any number of senders."""

    def __init__(self, context_channels: int, config: PatchesConfig) -> None:
        hidden = config.hidden_channels
        super().__init__(context_channels + hidden, config.fused_channels)
        self.floor_channels = hidden // 4
        self.patch_steering = steering(config.channels, hidden, 2.0 ** (config.bits - 1))
        self.floor_steering = steering(config.floor_channels, self.floor_channels, 1.0)
        self.evidence = conv3x3(hidden + self.floor_channels, hidden)
        self.finer = ConvBlock(nn.ConvTranspose2d(hidden, hidden, 2, stride=2, bias=False))

    def evidence_of(self, patches: Cells, floor: Cells, yaw_rad: float, grid: BevGrid) -> Tensor:
        """Return the evidence (C,H,W) at stride 4 of what one sender sent, never negative.

        Args:
            patches: cells of the layer at stride 4.
            floor: cells of the layer at stride 8.
            yaw_rad: heading of the sender's x axis in the ego frame.
            grid: cells of the map, the ego's at stride 4.
        """
        read = Cells(steered(patches.values, self.patch_steering, yaw_rad), patches.xy_m)
        below = Cells(steered(floor.values, self.floor_steering, yaw_rad), floor.xy_m)
        fine = functional.interpolate(spread(below, _halved(grid))[None], scale_factor=2.0)[0]
        height, width = grid.shape
        return torch.cat([spread(read, grid), fine[:, :height, :width]])

    def forward(
        self, context: Tensor, class_logits: Tensor, box_codes: Tensor, evidence: Tensor, boxes: BoxMaps
    ) -> HeadMaps:
        """Return the fused maps of B egos (or parts of their maps).

        Args:
            context: (B,C,H,W), the ego's, as in `BevFeatures`.
            class_logits: (B,classes,H,W), the ego's.
            box_codes: (B,10,H,W), the ego's.
            evidence: (B,C',H/2,W/2), the maximum of `evidence_of` over the senders.
            boxes: those of the others, drawn into maps.
        """
        height, width = context.shape[-2:]
        received = self.finer(self.evidence(evidence))[..., :height, :width]
        return self.decide((context, received), class_logits, box_codes, boxes)


def strongest(evidence: Sequence[Tensor]) -> Tensor:
    """Return the maximum over the senders, at least one."""
    return torch.stack(list(evidence)).amax(dim=0)


def _halved(grid: BevGrid) -> BevGrid:
    """Return the grid of cells twice as large that covers all of `grid`, whose sides may be odd."""
    height, width = (cells + cells % 2 for cells in grid.shape)
    x_min, y_min, z_min, _, _, z_max = grid.range_m
    return BevGrid(
        (x_min, y_min, z_min, x_min + width * grid.cell_m, y_min + height * grid.cell_m, z_max),
        2 * grid.cell_m,
    )
