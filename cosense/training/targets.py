"""What the head should have said: heat maps with a hill on every object's middle, box codes around it.

Hills as in Objects as Points (Zhou et al., 2019) and CenterPoint (Yin et al., CVPR 2021). Boxes are regressed
not only at the middle cell but on its 3×3 neighbours too, weighted by the hill: the middle that is found at
inference is often one cell off, and short trainings see nine times the examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.perception.config import DETECTED_CLASSES
from cosense.perception.head import BOX_CODE_SIZE, cell_centers, encode_boxes
from cosense.sensing.grid import BevGrid

# Radius of a hill in cells: this share of the object's mean half extent, within the bounds.
_RADIUS_SHARE = 0.5
_RADIUS_CELLS = (1.5, 4.0)


@dataclass(frozen=True)
class Targets:
    """Targets of B clouds for maps of H×W cells.

    Attributes:
        heat: (B,classes,H,W) float32 in [0, 1], exactly 1 at the middle cell of an object.
        heat_weight: (B,1,H,W) float32, 0 where nobody can say whether an object is there.
        codes: (B,10,H,W) float32, the box code where code_weight is positive.
        code_weight: (B,1,H,W) float32.
    """

    heat: Tensor
    heat_weight: Tensor
    codes: Tensor
    code_weight: Tensor

    def to(self, device: torch.device | str) -> Targets:
        return Targets(*(t.to(device) for t in (self.heat, self.heat_weight, self.codes, self.code_weight)))


def make_targets(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], sure: NDArray[np.bool_], grid: BevGrid
) -> Targets:
    """Return the targets of one cloud.

    Args:
        boxes: (M,7), z counted from the ground.
        classes: (M,) index into `DETECTED_CLASSES`.
        sure: (M,) whether the cloud shows the object; where it hardly does, the heat map is not judged.
        grid: of the heat map.
    """
    height, width = grid.shape
    column = np.floor((boxes[:, 0] - grid.range_m[0]) / grid.cell_m).astype(np.int64)
    row = np.floor((boxes[:, 1] - grid.range_m[1]) / grid.cell_m).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    boxes_t = torch.from_numpy(boxes[inside]).float()
    patch, hill = _hills(boxes_t, np.column_stack([row, column])[inside], grid)
    on_map = patch >= 0
    kinds = torch.from_numpy(classes[inside])
    is_sure = torch.from_numpy(sure[inside])

    heat = torch.zeros(len(DETECTED_CLASSES) * height * width)
    chosen = on_map & is_sure[:, None]
    index = (kinds[:, None] * (height * width) + patch)[chosen]
    heat.scatter_reduce_(0, index, hill[chosen], "amax")
    heat_weight = torch.ones(height * width)
    unsure = on_map & ~is_sure[:, None] & (hill > 0.1)
    heat_weight[patch[unsure]] = 0.0
    heat_weight[patch[chosen]] = 1.0

    codes, code_weight = _code_maps(boxes_t[is_sure], patch[is_sure], hill[is_sure], grid)
    return Targets(heat.view(1, -1, height, width), heat_weight.view(1, 1, height, width), codes, code_weight)


def join_targets(parts: list[Targets]) -> Targets:
    """Stack the targets of several clouds into one batch."""
    return Targets(
        torch.cat([part.heat for part in parts]),
        torch.cat([part.heat_weight for part in parts]),
        torch.cat([part.codes for part in parts]),
        torch.cat([part.code_weight for part in parts]),
    )


def _hills(boxes: Tensor, middles: NDArray[np.int64], grid: BevGrid) -> tuple[Tensor, Tensor]:
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


def _code_maps(boxes: Tensor, patch: Tensor, hill: Tensor, grid: BevGrid) -> tuple[Tensor, Tensor]:
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
