"""What the head should have said: heat maps with a hill on every object's middle, box codes around it.

How hills and codes are drawn: `detectors.box_maps`. Boxes are regressed not only at the middle cell but on
its 3×3 neighbours too, weighted by the hill: the middle that is found at inference is often one cell off, and
short trainings see nine times the examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.detectors.box_maps import code_maps, hills, middle_cells
from cosense.detectors.head import DETECTED_CLASSES
from cosense.sensing.grid import BevGrid


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
    middles, inside = middle_cells(boxes, grid)
    boxes_t = torch.from_numpy(boxes[inside]).float()
    patch, hill = hills(boxes_t, middles[inside], grid)
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

    codes, code_weight = code_maps(boxes_t[is_sure], patch[is_sure], hill[is_sure], grid)
    return Targets(heat.view(1, -1, height, width), heat_weight.view(1, 1, height, width), codes, code_weight)


def join_targets(parts: list[Targets]) -> Targets:
    """Stack the targets of several clouds into one batch."""
    return Targets(
        torch.cat([part.heat for part in parts]),
        torch.cat([part.heat_weight for part in parts]),
        torch.cat([part.codes for part in parts]),
        torch.cat([part.code_weight for part in parts]),
    )
