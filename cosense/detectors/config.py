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
class PatchesConfig:
    """The product profile: ranked patches over a coarse floor (`methods.patches`).

    Attributes:
        channels: numbers of one patch, a cell at stride 4.
        bits: of each of them.
        floor_channels: numbers of one cell of the floor, at stride 8.
        floor_bits: of each of them.
        hidden_channels: inside the encoder and the receiver's evidence map.
        fused_channels: of the map from which the fused head decides.
        wanted_below_points: the ego wants to be told of a cell of the demand map (stride 8) in which it has
            fewer points than this.
        unwanted_weight: rank of a patch that the ego does not want, relative to one that it wants.
        floor_after_patches: the floor is sent after so many patches.
    """

    channels: int = 16
    bits: Literal[2, 4, 8] = 4
    floor_channels: int = 4
    floor_bits: Literal[2, 4, 8] = 2
    hidden_channels: int = 32
    fused_channels: int = 48
    wanted_below_points: int = 20
    unwanted_weight: float = 0.2
    floor_after_patches: int = 224

    def __post_init__(self) -> None:
        counts = (self.channels, self.floor_channels, self.hidden_channels, self.fused_channels)
        if min(counts) < 1:
            raise ValueError("channels, floor_channels, hidden_channels and fused_channels are at least 1")
        if not 0 <= self.unwanted_weight <= 1:
            raise ValueError(f"unwanted_weight is {self.unwanted_weight}, expected a number in [0, 1]")
        if self.wanted_below_points < 0 or self.floor_after_patches < 0:
            raise ValueError("wanted_below_points and floor_after_patches are at least 0")


@dataclass(frozen=True)
class CosdhConfig:
    """CoSDH as published (CVPR 2025), each constant by its name (`methods.cosdh`).

    Attributes:
        codec_ratio: channels of a level per channel of its latent, 16 for 64, 128 and 256 channels.
        codec: whether levels go through the channel auto-encoder; without it they are sent as they are.
        squeeze_ego: whether the ego's own levels go through the auto-encoder too, as published.
        supply_threshold: a cell is offered if its smoothed confidence is higher.
        gaussian_kernel: edge of the smoothing window in cells.
        gaussian_sigma: of the smoothing, in cells.
        demand_points: the ego wants to be told of a pillar in which it has fewer points.
        fusion: "max" over the agents, or "attention": scaled dot product over the agents, cell by cell.
        late_score_threshold: boxes of the others below are not merged.
        late_score_factor: the scores of the others' boxes are multiplied by it (beta).
    """

    codec_ratio: int = 16
    codec: bool = True
    squeeze_ego: bool = False
    supply_threshold: float = 0.01
    gaussian_kernel: int = 5
    gaussian_sigma: float = 1.0
    demand_points: int = 4
    fusion: Literal["max", "attention"] = "max"
    late_score_threshold: float = 0.3
    late_score_factor: float = 0.8

    def __post_init__(self) -> None:
        if self.codec_ratio < 1:
            raise ValueError(f"codec_ratio is {self.codec_ratio}, expected at least 1")
        if self.gaussian_kernel < 1 or self.gaussian_kernel % 2 == 0 or not self.gaussian_sigma > 0:
            raise ValueError("gaussian_kernel is an odd number of cells, gaussian_sigma above 0")
        for name in ("supply_threshold", "late_score_threshold", "late_score_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")


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
        patches: how it shares features, where it is of the product profile.
        cosdh: how it shares features, where it is CoSDH as published or one of its baselines.
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
    patches: PatchesConfig | None = None
    cosdh: CosdhConfig | None = None

    def __post_init__(self) -> None:
        if self.patches is not None and self.cosdh is not None:
            raise ValueError("patches and cosdh are two ways of sharing features, give at most one")
        if self.cosdh is not None or self.patches is not None:
            _check_demand_grid(self)
        if self.patches is not None and len(self.stages) != 3:
            raise ValueError(f"patches need 3 stages, there are {len(self.stages)}")
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


def _check_demand_grid(config: ModelConfig) -> None:
    """Refuse a grid that DEMAND messages, which count in decimetres, cannot describe."""
    for metres in (*config.range_m[:2], 2 * config.cell_m):
        if abs(10 * metres - round(10 * metres)) > 1e-6:
            raise ValueError(
                f"range_m and 2 * cell_m are whole decimetres in a model that shares features, not {metres} m"
            )
