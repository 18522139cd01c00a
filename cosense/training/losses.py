"""What is minimised: focal loss on the heat maps, L1 on the box codes.

Heat: the penalty-reduced focal loss of Objects as Points (Zhou et al., 2019, equation 1; alpha 2, beta 4),
divided by the number of objects. Boxes: L1 on the codes that `detectors.head` describes, averaged over the
weights of `training.targets`; CenterPoint's weight between the two is 0.25 to 2, here 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cosense.detectors.head import HeadMaps
from cosense.training.targets import Targets

_FOCUS = 2.0
_HILL = 4.0
# x, y (cells), z (m), l, w, h (log), cos and sin of 2·yaw, cos and sin of yaw: a tenth in log size matters
# more than a tenth of a cell, and which end is the front does not move the box.
_CODE_WEIGHTS = (1.0, 1.0, 0.5, 1.5, 1.5, 1.0, 1.0, 1.0, 0.2, 0.2)


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
    heat = (_focal(maps.class_logits, targets.heat) * targets.heat_weight).sum() / objects
    weights = targets.code_weight * targets.codes.new_tensor(_CODE_WEIGHTS)[None, :, None, None]
    distance = (maps.box_codes - targets.codes).abs() * weights
    return Losses(heat, distance.sum() / targets.code_weight.sum().clamp(min=1.0))


def _focal(logits: Tensor, heat: Tensor) -> Tensor:
    """Return the focal loss of every cell; log-sigmoids keep it finite at any logit."""
    probability = torch.sigmoid(logits)
    at_middle = -functional.logsigmoid(logits) * (1 - probability) ** _FOCUS
    elsewhere = -functional.logsigmoid(-logits) * probability**_FOCUS * (1 - heat) ** _HILL
    return torch.where(heat == 1.0, at_middle, elsewhere)
