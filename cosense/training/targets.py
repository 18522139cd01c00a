"""Targets of the head and the losses against them: focal loss on the heat maps, L1 on the box codes.

Targets are heat maps with a hill on every object's middle and box codes around it; `detectors.head` draws
both. Boxes are regressed not only at the middle cell but on its 3×3 neighbours too, weighted by the hill: the
middle that is found at inference is often one cell off, and short trainings see nine times the examples.

Loss of the direction: the last two numbers of a code are a vector d; with u the unit vector of the heading it
is log(1 + exp(-d·u)), the logistic loss of "the front is at this end of the axis". Where a cloud does not
show it, d is learned to be short instead of half wrong, and nothing jumps at any heading.

Loss of the heat: the penalty-reduced focal loss of Objects as Points (Zhou et al., 2019, equation 1; alpha 2,
beta 4), divided by the number of objects. Loss of the boxes: L1 on the codes that `detectors.head` describes,
averaged over the weights of the targets; CenterPoint's weight between the two is 0.25 to 2, here 1. To it
comes 1 - IoU of the footprints, both along the true heading, as if it were found: a tenth of a metre across
costs more than one along, and more for people than for cars, as in the metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cosense.detectors.head import DETECTED_CLASSES, HeadMaps, code_maps, hills, middle_cells
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import ObjectClass

_FOCUS = 2.0
_HILL = 4.0
# x, y (cells), z (m), l, w, h (log), cos and sin of 2·yaw: a tenth in log size matters more than a tenth of a
# cell. The last two numbers have a loss of their own.
_CODE_WEIGHTS = (1.0, 1.0, 0.5, 1.5, 1.5, 1.0, 1.0, 1.0)
_OVERLAP_WEIGHT = 1.0
# A seventh of this left every third heading reversed after 30 000 clouds.
_DIRECTION_WEIGHT = 2.0
# People and riders are few beside cars, and must not be learned last.
_CLASS_WEIGHTS = {ObjectClass.CAR: 1.0, ObjectClass.PEDESTRIAN: 2.0, ObjectClass.CYCLIST: 2.0}


@dataclass(frozen=True)
class Targets:
    """Targets of B clouds for maps of H×W cells.

    Attributes:
        heat: (B,classes,H,W) float32 in [0, 1], exactly 1 at the middle cell of an object.
        heat_weight: (B,1,H,W) float32, 0 where nobody can say whether an object is there.
        codes: (B,10,H,W) float32, the box code where code_weight is positive.
        code_weight: (B,1,H,W) float32.
        cell_m: edge of a cell.
    """

    heat: Tensor
    heat_weight: Tensor
    codes: Tensor
    code_weight: Tensor
    cell_m: float

    def to(self, device: torch.device | str) -> Targets:
        return Targets(
            self.heat.to(device),
            self.heat_weight.to(device),
            self.codes.to(device),
            self.code_weight.to(device),
            self.cell_m,
        )


def make_targets(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], sure: NDArray[np.bool_], grid: BevGrid
) -> Targets:
    """Return the targets of one cloud.

    Args:
        boxes: (M,7), z counted from the ground.
        classes: (M,) index into `DETECTED_CLASSES`.
        sure: (M,) whether the cloud shows the object; where it hardly does, the heat map is not judged.
        grid: cells of the heat map.
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
    return Targets(
        heat.view(1, -1, height, width),
        heat_weight.view(1, 1, height, width),
        codes,
        code_weight,
        grid.cell_m,
    )


def join_targets(parts: list[Targets]) -> Targets:
    """Stack the targets of several clouds, at least one, into one batch."""
    return Targets(
        torch.cat([part.heat for part in parts]),
        torch.cat([part.heat_weight for part in parts]),
        torch.cat([part.codes for part in parts]),
        torch.cat([part.code_weight for part in parts]),
        parts[0].cell_m,
    )


@dataclass(frozen=True)
class Losses:
    """Scalars of one batch; `total` is what is minimised."""

    heat: Tensor
    boxes: Tensor

    @property
    def total(self) -> Tensor:
        return self.heat + self.boxes


def detection_losses(maps: HeadMaps, targets: Targets) -> Losses:
    """Return the losses of head maps against targets of the same shape."""
    objects = (targets.heat == 1.0).sum().clamp(min=1)
    of_class = targets.heat.new_tensor([_CLASS_WEIGHTS[kind] for kind in DETECTED_CLASSES])[:, None, None]
    heat = (_focal(maps.class_logits, targets.heat) * targets.heat_weight * of_class).sum() / objects
    # Only cells near a middle have a code: a few hundred of ten thousands.
    batch, row, column = torch.nonzero(targets.code_weight[:, 0], as_tuple=True)
    found, true = (codes[batch, :, row, column] for codes in (maps.box_codes, targets.codes))
    weight = targets.code_weight[batch, 0, row, column]
    straight = len(_CODE_WEIGHTS)
    distance = (found[:, :straight] - true[:, :straight]).abs() @ true.new_tensor(_CODE_WEIGHTS)
    reversed_ = functional.softplus(-(found[:, straight:] * true[:, straight:]).sum(dim=1))
    apart = 1 - _overlap(found, true, targets.cell_m)
    each = distance + _OVERLAP_WEIGHT * apart + _DIRECTION_WEIGHT * reversed_
    return Losses(heat, (weight * each).sum() / weight.sum().clamp(min=1.0))


def _overlap(found: Tensor, true: Tensor, cell_m: float) -> Tensor:
    """Return the IoU (M,) of footprints, codes (M,10) of the same cells, both along the true heading."""
    off_m = (found[:, :2] - true[:, :2]) * cell_m
    cos, sin = true[:, -2], true[:, -1]
    off_m = torch.stack([cos * off_m[:, 0] + sin * off_m[:, 1], cos * off_m[:, 1] - sin * off_m[:, 0]], dim=1)
    size_m, true_m = found[:, 3:5].clamp(-4.0, 4.0).exp(), true[:, 3:5].exp()
    last, first = (
        torch.minimum(off_m + size_m / 2, true_m / 2),
        torch.maximum(off_m - size_m / 2, -true_m / 2),
    )
    common = (last - first).clamp(min=0).prod(dim=1)
    return common / (size_m.prod(dim=1) + true_m.prod(dim=1) - common)


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Return the focal loss of every cell; log-sigmoids keep it finite at any logit."""
    probability = torch.sigmoid(logits)
    at_middle = -functional.logsigmoid(logits) * (1 - probability) ** _FOCUS
    elsewhere = -functional.logsigmoid(-logits) * probability**_FOCUS * (1 - heat) ** _HILL
    return torch.where(heat == 1.0, at_middle, elsewhere)
