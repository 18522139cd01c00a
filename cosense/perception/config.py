"""What `models/<name>/config.yaml` says: the one description of a detector, weights apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import VEHICLES, ObjectClass

# What the shipped networks tell apart, in the order of their heat maps; CAR stands for every vehicle.
DETECTED_CLASSES = (ObjectClass.CAR, ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST)


def detected_class(label: int) -> int | None:
    """Return the index into `DETECTED_CLASSES` that stands for a label, None where there is none."""
    merged = ObjectClass.CAR if label in VEHICLES else label
    return DETECTED_CLASSES.index(merged) if merged in DETECTED_CLASSES else None


@dataclass(frozen=True)
class StageConfig:
    """One stage of the backbone: a 3×3 convolution of stride 2, then `layers` of stride 1."""

    layers: int
    channels: int

    def __post_init__(self) -> None:
        if self.layers < 0 or self.channels < 1:
            raise ValueError(f"a stage of {self.layers} layers and {self.channels} channels is no network")


@dataclass(frozen=True)
class ModelConfig:
    """A pillar detector.

    Attributes:
        range_m: (x_min, y_min, z_min, x_max, y_max, z_max) in the agent frame; z says where objects may
            be, the network goes by `height_m`.
        height_m: (low, high) of the points that are looked at, above the estimated ground.
        cell_m: edge of a pillar; heat maps have half of that resolution.
        pillar_channels: features of a pillar.
        stages: of the backbone, at strides 2, 4, 8, ... pillars.
        neck_channels: to which every stage is brought before they are joined at stride 2.
        shrink_channels: 3×3 convolutions between the joined stages and the head.
        max_detections: heat map peaks that are decoded.
        score_threshold: peaks below are not reported.
        nms_iou: two boxes of one class that overlap by more are one object (bird's-eye IoU).
        precision: "auto" is bfloat16 where the processor multiplies bfloat16 matrices, else float32.
    """

    range_m: tuple[float, float, float, float, float, float]
    height_m: tuple[float, float]
    cell_m: float
    pillar_channels: int
    stages: tuple[StageConfig, ...]
    neck_channels: int
    shrink_channels: tuple[int, ...]
    max_detections: int = 256
    score_threshold: float = 0.1
    nms_iou: float = 0.15
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        if not self.stages or not self.shrink_channels:
            raise ValueError("stages and shrink_channels need at least one entry each")
        counts = (self.pillar_channels, self.neck_channels, *self.shrink_channels, self.max_detections)
        if min(counts) < 1:
            raise ValueError(
                "pillar_channels, neck_channels, shrink_channels and max_detections are at least 1"
            )
        if self.range_m[2] >= self.range_m[5]:
            raise ValueError(f"range_m {self.range_m} is empty in z")
        if self.height_m[0] >= self.height_m[1]:
            raise ValueError(f"height_m {self.height_m} is empty")
        if any(cells % self.stride for cells in self.grid.shape):
            raise ValueError(f"a grid of {self.grid.shape} cells is no multiple of the stride {self.stride}")
        if not 0 < self.score_threshold < 1 or not 0 < self.nms_iou <= 1:
            raise ValueError("score_threshold and nms_iou lie between 0 and 1")

    @property
    def grid(self) -> BevGrid:
        """The grid of the pillars, in the agent frame."""
        return BevGrid(self.range_m, self.cell_m)

    @property
    def stride(self) -> int:
        """Pillars per cell of the coarsest map, along one edge."""
        return int(2 ** len(self.stages))
