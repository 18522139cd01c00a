"""Boxes drawn into maps: a hill on every middle and the box's code around it.

Hills as in Objects as Points (Zhou et al., 2019) and CenterPoint (Yin et al., CVPR 2021). Training draws the
targets of the head, the method *patches* the boxes that other agents sent.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.detectors.head import BOX_CODE_SIZE, cell_centers, encode_boxes
from cosense.sensing.grid import BevGrid

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
