"""Centre head: where the middles of objects are, and which box belongs to each.

Why not anchors. PointPillars' head compares each object with boxes of a fixed size, height and two headings.
CoSDH's has one such size, and its filters then drop whatever is longer than 6 m. Here cars, vans, trucks and
buses are one class with lengths from 3.5 to 13 m, pedestrians are smaller than a cell's diagonal, the ground
lies 2 m or 6 m below the sensor: there is no good anchor. A heat map of object middles (CenterPoint, Yin et
al., CVPR 2021; Objects as Points, Zhou et al., 2019) needs no anchor, no assignment by IoU, and no more than
a 3×3 maximum to find its peaks; a class costs one channel; and a heat map is what CoSDH's supply map needs.

Box code, ten numbers a cell: offset of the middle from the middle of the cell (2, in cells), height of the
box centre above the ground (m), log of l, w, h (3), then cos and sin of 2·yaw and cos and sin of yaw. A LiDAR
shows the axis of a car long before it shows which end is the front. Regressed on (cos, sin) alone, such a car
averages front and rear to nothing and loses its axis too; the doubled angle keeps the axis, and the last two
numbers only choose between its two directions. A network reports them as a vector that is the longer the
surer it is which end is the front: its projection on the axis is the logit (`training.targets`).

Boxes are drawn into maps the same way, a hill on every middle and the box's code around it: training draws
the targets of the head, the method *patches* the boxes that other agents sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosense.geometry.nms import rotated_nms
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import RIDERS, VEHICLES, ObjectClass

# What the shipped networks tell apart, in the order of their heat maps; CAR stands for every vehicle.
DETECTED_CLASSES = (ObjectClass.CAR, ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST)
BOX_CODE_SIZE = 10
# Classes that suppress each other: somebody is on foot or on a bicycle, but may well stand beside a car.
_RIVALS = ((ObjectClass.CAR,), (ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST))
# Scores start near the share of cells that hold a middle, which keeps the first losses small.
_PRIOR = 0.01


@dataclass(frozen=True)
class HeadMaps:
    """The head's output for every cell at stride 2.

    Attributes:
        class_logits: (B,len(DETECTED_CLASSES),H,W).
        box_codes: (B,BOX_CODE_SIZE,H,W).
    """

    class_logits: Tensor
    box_codes: Tensor


class CenterHead(nn.Module):
    """Two 1×1 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.classes = nn.Conv2d(channels, len(DETECTED_CLASSES), 1)
        self.boxes = nn.Conv2d(channels, BOX_CODE_SIZE, 1)
        assert self.classes.bias is not None
        nn.init.constant_(self.classes.bias, math.log(_PRIOR / (1 - _PRIOR)))

    def forward(self, features: Tensor) -> HeadMaps:
        """Return float32 maps of features (B,C,H,W)."""
        return HeadMaps(self.classes(features).float(), self.boxes(features).float())


def detected_class(label: int) -> int | None:
    """Return the index into `DETECTED_CLASSES` that a label belongs to, None where there is none."""
    merged = ObjectClass.CAR if label in VEHICLES else ObjectClass.CYCLIST if label in RIDERS else label
    return DETECTED_CLASSES.index(merged) if merged in DETECTED_CLASSES else None


def encode_boxes(boxes: Tensor, centers: Tensor, cell_m: float) -> Tensor:
    """Return the code (M,10) of boxes (M,7) from cells whose middles are `centers` (M,2) metres."""
    offset = (boxes[:, :2] - centers) / cell_m
    yaw = boxes[:, 6:7]
    angles = torch.cat([torch.cos(2 * yaw), torch.sin(2 * yaw), torch.cos(yaw), torch.sin(yaw)], dim=1)
    return torch.cat([offset, boxes[:, 2:3], torch.log(boxes[:, 3:6]), angles], dim=1)


def decode_boxes(codes: Tensor, centers: Tensor, cell_m: float) -> Tensor:
    """Return boxes (M,7) of codes (M,10); the inverse of `encode_boxes`."""
    center = centers + codes[:, :2] * cell_m
    size = torch.exp(codes[:, 3:6].clamp(-4.0, 4.0))
    axis = torch.atan2(codes[:, 7], codes[:, 6]) / 2
    forward = torch.cos(axis) * codes[:, 8] + torch.sin(axis) * codes[:, 9]
    yaw = torch.where(forward >= 0, axis, axis + math.pi)
    yaw = torch.remainder(yaw + math.pi, 2 * math.pi) - math.pi
    return torch.cat([center, codes[:, 2:3], size, yaw[:, None]], dim=1)


def cell_centers(cells: Tensor, grid: BevGrid) -> Tensor:
    """Return the middles (M,2) in metres of flat cell indices (M,) of a grid."""
    _, width = grid.shape
    column, row = cells % width, torch.div(cells, width, rounding_mode="floor")
    origin = torch.tensor(grid.range_m[:2], device=cells.device)
    return (torch.stack([column, row], dim=1) + 0.5) * grid.cell_m + origin


def find_peaks(class_logits: Tensor, count: int, score_threshold: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the best peaks of maps (C,H,W): scores (M,), class indices (M,), flat cells (M,); best first.

    A peak is a cell that no neighbour of the same class exceeds; at most `count` over all classes.
    """
    _, height, width = class_logits.shape
    threshold = math.log(score_threshold / (1 - score_threshold))
    candidates = (class_logits >= threshold).flatten().nonzero()[:, 0]
    logits = class_logits.flatten()[candidates]
    # Only few cells are above the threshold: a tenth of the time of a maximum filter over all of them.
    padded = nn.functional.pad(class_logits, (1, 1, 1, 1), value=-math.inf)
    row = torch.div(candidates, width, rounding_mode="floor")
    padded_row = row + 2 * torch.div(row, height, rounding_mode="floor")
    steps = torch.arange(3, device=candidates.device)
    around = (steps[:, None] * (width + 2) + steps).flatten()
    neighbours = padded.flatten()[(padded_row * (width + 2) + candidates % width)[:, None] + around]
    is_peak = neighbours.amax(dim=1) == logits
    candidates, logits = candidates[is_peak], logits[is_peak]
    best = torch.sort(logits, descending=True, stable=True).indices[:count]
    labels = torch.div(candidates[best], height * width, rounding_mode="floor")
    return torch.sigmoid(logits[best]), labels, candidates[best] % (height * width)


def suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], indices: NDArray[np.int64], iou: float
) -> Detections:
    """Return the boxes that survive non-maximum suppression among rival classes, best first, with source EGO.

    Args:
        boxes: (M,7) in the agent frame.
        scores: (M,).
        indices: (M,) into `DETECTED_CLASSES`.
        iou: largest bird's-eye IoU of two boxes that both stay.
    """
    labels = np.array(DETECTED_CLASSES, dtype=np.int64)[indices]
    parts = []
    for group in _RIVALS:
        mine = np.flatnonzero(np.isin(labels, group))
        kept = mine[rotated_nms(boxes[mine], scores[mine], iou)]
        sources = np.full(len(kept), Source.EGO, dtype=np.uint8)
        parts.append(Detections(boxes[kept], scores[kept], labels[kept], sources))
    return Detections.concatenate(parts)


# Radius of a hill in cells: this share of the object's mean half extent, within the bounds.
_RADIUS_SHARE = 0.5
_RADIUS_CELLS = (1.5, 4.0)


def middle_cells(boxes: NDArray[np.float64], grid: BevGrid) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (M,2) row and column of the middles of boxes (M,7), and (M,) which of them are on the grid."""
    height, width = grid.shape
    column = np.floor((boxes[:, 0] - grid.range_m[0]) / grid.cell_m).astype(np.int64)
    row = np.floor((boxes[:, 1] - grid.range_m[1]) / grid.cell_m).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.column_stack([row, column]), inside


def hills(boxes: Tensor, middles: NDArray[np.int64], grid: BevGrid) -> tuple[Tensor, Tensor]:
    """Return patches around the middle cells (M,2): flat cells (M,P), -1 off the map, and heights (M,P)."""
    height, width = grid.shape
    reach = int(np.ceil(_RADIUS_CELLS[1]))
    steps = torch.arange(-reach, reach + 1)
    dy, dx = (step.reshape(-1) for step in torch.meshgrid(steps, steps, indexing="ij"))
    middle = torch.from_numpy(middles)
    row, column = middle[:, :1] + dy, middle[:, 1:] + dx
    on_map = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    patch = torch.where(on_map, row * width + column, -1)
    half_cells = boxes[:, 3:5].mean(dim=1, keepdim=True) / 2 / grid.cell_m
    radius = (half_cells * _RADIUS_SHARE).clamp(*_RADIUS_CELLS)
    hill = torch.exp(-(dx**2 + dy**2) / (2 * (radius / 2) ** 2))
    return patch, torch.where(hill < 0.01, 0.0, hill)


def code_maps(boxes: Tensor, patch: Tensor, hill: Tensor, grid: BevGrid) -> tuple[Tensor, Tensor]:
    """Return box codes (1,10,H,W) and weights (1,1,H,W) of the 3×3 cells around each middle."""
    height, width = grid.shape
    size = round(patch.shape[1] ** 0.5)
    near = torch.zeros(size, size, dtype=torch.bool)
    near[size // 2 - 1 : size // 2 + 2, size // 2 - 1 : size // 2 + 2] = True
    near = near.reshape(-1)
    box, cell, weight = (
        torch.arange(len(boxes))[:, None].expand(-1, 9).reshape(-1),
        patch[:, near].reshape(-1),
        hill[:, near].reshape(-1),
    )
    # Where two objects claim a cell the nearer middle wins: it is written last.
    order = torch.argsort(weight, stable=True)
    order = order[cell[order] >= 0]
    box, cell, weight = box[order], cell[order], weight[order]
    codes = torch.zeros(height * width, BOX_CODE_SIZE)
    weights = torch.zeros(height * width)
    # An assignment with repeated indices keeps an arbitrary one, so keep the last of each cell ourselves.
    last = torch.full((height * width,), -1).scatter_reduce_(0, cell, torch.arange(len(cell)), "amax")
    keep = last[last >= 0]
    box, cell, weight = box[keep], cell[keep], weight[keep]
    codes[cell] = encode_boxes(boxes[box], cell_centers(cell, grid), grid.cell_m)
    weights[cell] = weight
    return codes.T.reshape(1, BOX_CODE_SIZE, height, width), weights.view(1, 1, height, width)
