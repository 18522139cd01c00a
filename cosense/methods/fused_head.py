"""The head of a receiver that fuses features and boxes: it changes what the ego alone would report.

Boxes that were sent are drawn into the map by exact geometry, as training draws its targets. Without features
and boxes of others the fused maps start from the ego's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cosense.detectors.head import (
    BOX_CODE_SIZE,
    DETECTED_CLASSES,
    HeadMaps,
    code_maps,
    detected_class,
    hills,
    middle_cells,
)
from cosense.detectors.layers import conv3x3
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface

HEAD_CHANNELS = len(DETECTED_CLASSES) + BOX_CODE_SIZE
_DRAWN_CHANNELS = 16
# Log sizes and heights beyond these bounds only occur in cells where the head never decides anything.
_LARGEST_CODE = 4.0
# Bounds of the logit of a confidence that was sent.
_LOWEST_LOGIT, _HIGHEST_LOGIT = -8.0, 4.0


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

    @classmethod
    def joined(cls, maps: Sequence[BoxMaps]) -> BoxMaps:
        """Return those of several egos as one batch."""
        return cls(*(torch.cat([getattr(one, name) for one in maps]) for name in ("heat", "codes", "near")))


def head_maps_as_input(class_logits: Tensor, box_codes: Tensor) -> Tensor:
    """Return (...,13,H,W): confidences and bounded box codes, as numbers that a convolution can use."""
    return torch.cat([torch.sigmoid(class_logits), box_codes.clamp(-_LARGEST_CODE, _LARGEST_CODE)], dim=-3)


class FusedHead(nn.Module):
    """Convolutions over all that is known of a place, to the change of the ego's maps."""

    def __init__(self, channels_in: int, channels: int) -> None:
        """Take how many channels the features have that `decide` is given, and the width of the head."""
        super().__init__()
        self.draw = nn.Conv2d(HEAD_CHANNELS + 1, _DRAWN_CHANNELS, 1)
        joined = channels_in + HEAD_CHANNELS + _DRAWN_CHANNELS
        self.fuse = nn.Sequential(
            conv3x3(joined, channels), conv3x3(channels, channels), conv3x3(channels, channels)
        )
        self.classes = nn.Conv2d(channels, len(DETECTED_CLASSES), 1)
        self.boxes = nn.Conv2d(channels, BOX_CODE_SIZE, 1)
        for layer in (self.classes, self.boxes):
            nn.init.normal_(layer.weight, std=1e-3)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def decide(
        self, features: Sequence[Tensor], class_logits: Tensor, box_codes: Tensor, boxes: BoxMaps
    ) -> HeadMaps:
        """Return the fused maps of B egos (or parts of their maps).

        Args:
            features: (B,C,H,W) each, what is known beside the heads' maps and the boxes; the channels that
                the constructor was told, all together.
            class_logits: (B,classes,H,W), the ego's.
            box_codes: (B,10,H,W), the ego's.
            boxes: those of the others, drawn into maps.
        """
        drawn = self.draw(torch.cat([boxes.heat, boxes.codes * boxes.near, boxes.near], dim=1)).relu()
        own = head_maps_as_input(class_logits, box_codes)
        first, *others = features
        fused = self.fuse(torch.cat([first, own, *others, drawn], dim=1))
        sent = torch.logit(boxes.heat, eps=1e-4).clamp(_LOWEST_LOGIT, _HIGHEST_LOGIT)
        surer = (sent.amax(1, keepdim=True) > class_logits.amax(1, keepdim=True)) & (boxes.near > 0)
        return HeadMaps(
            torch.maximum(class_logits, sent) + self.classes(fused).float(),
            torch.where(surer, boxes.codes, box_codes) + self.boxes(fused).float(),
        )


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
