"""The receiver's network of the product profile: what others sent becomes evidence in the ego's map.

After CoSDH (CVPR 2025), which warps the others' levels into the ego's map, takes the maximum over the agents
and runs the shared neck and head again. We differ because a car must keep its place and heading to a few
centimetres within 8 bytes a cell:

- Patches are placed, not sampled: each lands on the four cells around its exact place, so what moved is
  placed where it is by now, and a cell that was not sent takes no time.
- A latent that was written in the sender's axes is turned into the ego's: the matrix that reads it is
  W(θ) = W0 + cos θ W1 + sin θ W2 + cos 2θ W3 + sin 2θ W4, with θ the yaw between the two (steerable filters,
  Freeman & Adelson, 1991). Headings and offsets rotate with exactly these terms.
- Boxes that were sent are drawn into the map by exact geometry, as training draws its targets.
- The ego's features never go through a codec, and the fused head gives the change of the ego's own maps:
  without evidence it starts from what the ego alone would report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.head import (
    BOX_CODE_SIZE,
    DETECTED_CLASSES,
    HeadMaps,
    cell_centers,
    code_maps,
    detected_class,
    hills,
    middle_cells,
)
from cosense.detectors.layers import ConvBlock, conv3x3
from cosense.geometry.transforms import Matrix
from cosense.methods.patches.encoder import PatchesConfig, head_maps_as_input
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface

_CLASSES = len(DETECTED_CLASSES)
_STEERING_TERMS = 5
# Bounds of the logit of a confidence that was sent.
_LOWEST_LOGIT, _HIGHEST_LOGIT = -8.0, 4.0


@dataclass(frozen=True)
class Cells:
    """Cells of one layer that one sender sent, at their places in the ego frame.

    Attributes:
        values: (K,C) float32.
        xy_m: (K,2) middles of the cells.
    """

    values: Tensor
    xy_m: Tensor

    def to(self, device: torch.device) -> Cells:
        return Cells(self.values.to(device), self.xy_m.to(device))


@dataclass(frozen=True)
class BoxMaps:
    """Boxes of the others, drawn at the size of the head's maps.

    Attributes:
        heat: (B,classes,H,W) in [0, 1], score times the height of the hill.
        codes: (B,10,H,W), where `near` is 1.
        near: (B,1,H,W), 1 on the 3×3 cells around a middle.
    """

    heat: Tensor
    codes: Tensor
    near: Tensor

    def to(self, device: torch.device) -> BoxMaps:
        return BoxMaps(self.heat.to(device), self.codes.to(device), self.near.to(device))


def spread(cells: Cells, grid: BevGrid) -> Tensor:
    """Return (C,H,W): each row of `cells` on the four cells around its place, by nearness; elsewhere 0."""
    height, width = grid.shape
    origin = cells.xy_m.new_tensor(grid.range_m[:2])
    place = (cells.xy_m - origin) / grid.cell_m - 0.5
    low = torch.floor(place)
    rest = place - low
    column, row = low[:, 0].long(), low[:, 1].long()
    total = cells.values.new_zeros(height * width, cells.values.shape[1])
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (rest[:, 0] if dx else 1 - rest[:, 0]) * (rest[:, 1] if dy else 1 - rest[:, 1])
            inside = (column + dx >= 0) & (column + dx < width) & (row + dy >= 0) & (row + dy < height)
            index = ((row + dy) * width + column + dx)[inside]
            total = total.index_add(0, index, (cells.values * weight[:, None])[inside])
    return total.T.reshape(-1, height, width)


class EvidenceFusion(nn.Module):
    """The receiver's network; the same for any number of senders."""

    def __init__(self, context_channels: int, config: PatchesConfig) -> None:
        super().__init__()
        hidden, fused = config.hidden_channels, config.fused_channels
        self.floor_channels = hidden // 4
        self.patch_steering = _steering(config.channels, hidden, 2.0 ** (config.bits - 1))
        self.floor_steering = _steering(config.floor_channels, self.floor_channels, 1.0)
        self.evidence = conv3x3(hidden + self.floor_channels, hidden)
        self.finer = ConvBlock(nn.ConvTranspose2d(hidden, hidden, 2, stride=2, bias=False))
        self.draw = nn.Conv2d(_CLASSES + BOX_CODE_SIZE + 1, 16, 1)
        channels_in = context_channels + _CLASSES + BOX_CODE_SIZE + hidden + 16
        self.fuse = nn.Sequential(conv3x3(channels_in, fused), conv3x3(fused, fused), conv3x3(fused, fused))
        self.classes = nn.Conv2d(fused, _CLASSES, 1)
        self.boxes = nn.Conv2d(fused, BOX_CODE_SIZE, 1)
        for layer in (self.classes, self.boxes):
            nn.init.normal_(layer.weight, std=1e-3)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def evidence_of(self, patches: Cells, floor: Cells, yaw_rad: float, grid: BevGrid) -> Tensor:
        """Return the evidence (C,H,W) at stride 4 of what one sender sent, never negative.

        Args:
            patches: cells of the layer at stride 4.
            floor: cells of the layer at stride 8.
            yaw_rad: heading of the sender's x axis in the ego frame.
            grid: cells of the map, the ego's at stride 4.
        """
        read = Cells(_steered(patches.values, self.patch_steering, yaw_rad), patches.xy_m)
        below = Cells(_steered(floor.values, self.floor_steering, yaw_rad), floor.xy_m)
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
        drawn = self.draw(torch.cat([boxes.heat, boxes.codes * boxes.near, boxes.near], dim=1)).relu()
        own = head_maps_as_input(class_logits, box_codes)
        received = self.finer(self.evidence(evidence))
        height, width = context.shape[-2:]
        joined = torch.cat([context, own, received[..., :height, :width], drawn], dim=1)
        fused = self.fuse(joined)
        sent = torch.logit(boxes.heat, eps=1e-4).clamp(_LOWEST_LOGIT, _HIGHEST_LOGIT)
        surer = (sent.amax(1, keepdim=True) > class_logits.amax(1, keepdim=True)) & (boxes.near > 0)
        return HeadMaps(
            torch.maximum(class_logits, sent) + self.classes(fused).float(),
            torch.where(surer, boxes.codes, box_codes) + self.boxes(fused).float(),
        )


def strongest(evidence: Sequence[Tensor]) -> Tensor:
    """Return the maximum over the senders, at least one."""
    return torch.stack(list(evidence)).amax(dim=0)


def _steering(channels_in: int, channels_out: int, scale: float) -> nn.Parameter:
    """Return (terms,out,in + 1), last column for a constant 1: that a cell was sent is evidence itself."""
    weight = torch.randn(_STEERING_TERMS, channels_out, channels_in + 1) / (channels_in**0.5 * scale)
    weight[1:] *= 0.5
    return nn.Parameter(weight)


def _steered(values: Tensor, weight: Tensor, yaw_rad: float) -> Tensor:
    """Return (K,out) of values (K,in), read by the matrix for this yaw."""
    yaw = torch.tensor(yaw_rad, dtype=torch.float32)
    terms = torch.stack([torch.ones(()), yaw.cos(), yaw.sin(), (2 * yaw).cos(), (2 * yaw).sin()])
    matrix = torch.einsum("t,toi->oi", terms.to(weight), weight)
    return functional.linear(values, matrix[:, :-1], matrix[:, -1]).relu()


def _halved(grid: BevGrid) -> BevGrid:
    """Return the grid of cells twice as large that covers all of `grid`, whose sides may be odd."""
    height, width = (cells + cells % 2 for cells in grid.shape)
    x_min, y_min, z_min, _, _, z_max = grid.range_m
    return BevGrid(
        (x_min, y_min, z_min, x_min + width * grid.cell_m, y_min + height * grid.cell_m, z_max),
        2 * grid.cell_m,
    )


def cell_places(cells: Tensor, grid: BevGrid, T_ego_sender: Matrix) -> Tensor:
    """Return (K,2): where the middles of flat cells (K,) of the sender's grid lie in the ego frame."""
    rotation = torch.from_numpy(T_ego_sender[:2, :2].astype(np.float32))
    offset = torch.from_numpy(T_ego_sender[:2, 3].astype(np.float32))
    return cell_centers(cells, grid) @ rotation.T + offset


def draw_boxes(parts: Sequence[Detections], ground: GroundSurface, grid: BevGrid) -> BoxMaps:
    """Draw the boxes of all others, given in the ego frame, into maps of one ego (B = 1).

    Args:
        parts: boxes of each sender; classes that the detectors do not know are left out.
        ground: ground in the ego frame.
        grid: cells of the head's maps.
    """
    detections = Detections.concatenate(list(parts))
    kinds = [detected_class(int(label)) for label in detections.labels]
    middles, inside = middle_cells(detections.boxes, grid)
    known = np.array([kind is not None for kind in kinds], dtype=bool) & inside
    kind_of = torch.tensor([kind for kind, used in zip(kinds, known, strict=True) if used], dtype=torch.int64)
    scores = torch.from_numpy(detections.scores[known])
    boxes = torch.from_numpy(ground.above(detections.boxes[known])).float()
    height, width = grid.shape
    patch, hill = hills(boxes, middles[known], grid)
    on_map = patch >= 0
    heat = torch.zeros(len(DETECTED_CLASSES) * height * width)
    index = (kind_of[:, None] * (height * width) + patch)[on_map]
    heat.scatter_reduce_(0, index, (hill * scores[:, None])[on_map], "amax")
    # Where two boxes claim a cell, the one with more score and the nearer middle wins.
    codes, weight = code_maps(boxes, patch, hill * scores[:, None], grid)
    return BoxMaps(heat.view(1, -1, height, width), codes, (weight > 0).float())
