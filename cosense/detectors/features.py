"""What an agent knows of its surroundings before it decides: the maps that agents may share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from cosense.sensing.grid import BevGrid


@dataclass(frozen=True)
class BevFeatures:
    """Maps of one cloud, without a batch dimension, on the device of the detector.

    Attributes:
        levels: of the backbone, (C_l,H/2^(l+1),W/2^(l+1)), never negative, in the detector's own type.
        context: (C,H/2,W/2), the neck's map of all levels, from which the head reads the two below.
        class_logits: (classes,H/2,W/2) float32, before the sigmoid; classes as in `DETECTED_CLASSES`.
        box_codes: (10,H/2,W/2) float32, as `detectors.head` describes.
        point_counts: (H,W) int64, points that fell into each pillar.
        grid: of the pillars, in the agent frame.
        ground_m: z of the ground in the agent frame; box codes count heights from it.
    """

    levels: tuple[Tensor, ...]
    context: Tensor
    class_logits: Tensor
    box_codes: Tensor
    point_counts: Tensor
    grid: BevGrid
    ground_m: float
