"""Pillar detector: points grouped into pillars, a 2D backbone, a multi-scale neck and a centre head.

After PointPillars (Lang et al., CVPR 2019), with these deviations:

- *Pillar encoder.* PointPillars multiplies ten numbers a point, (x, y, z, i), its offset from the pillar's
  mean (3) and from the pillar's middle (3), with one matrix, then takes the maximum over the pillar. All but
  (x, y, z, i) is the same for the whole pillar once x and y are counted from its middle, and adding a
  constant commutes with a maximum. So the matrix is cut in two: W_point (4 -> C) is applied to points,
  W_pillar to the mean, the middle and the number of points of the pillar, after the maximum:

      feature = ReLU(BN(max_i(W_point p_i) + W_pillar q))

  The same functions, a third of the work, and nothing padded. Batch norm sees pillars instead of points, so a
  pillar counts once, however close to the sensor it is. log(count) is new: it says how far the other numbers
  can be trusted.
- *Neck.* Every level is brought to stride 2 and shrunk by 3×3 convolutions as in CoSDH (CVPR 2025). CoSDH's
  have a
  bias and no batch norm; here they are the same block as everywhere, which folds into the same convolution.
- *Head.* Object middles instead of anchors, see `detectors.head`.
- *Clouds* are levelled and heights counted from the estimated ground: one network serves a car's roof and a
  mast of seven metres, upright or leaning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosense.detectors.base import BevDetector, BevFeatures, Encoded, once
from cosense.detectors.device import Precision, inference_dtype
from cosense.detectors.grouping import Pillars, group_points
from cosense.detectors.head import CenterHead, HeadMaps, cell_centers, decode_boxes, find_peaks, suppress
from cosense.detectors.layers import NORM_EPSILON, NORM_MOMENTUM, ConvBlock, conv3x3, folded
from cosense.detectors.score_curves import ScoreCurves, check_curves
from cosense.errors import CosenseError, counted
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSettings, GroundSurface
from cosense.sensing.levelling import LevelFrame, levelled

# The table of log(count) ends here: a pillar of so many points is right in front of the sensor.
_MOST_POINTS = 4096
# Bring pillar middles and heights to about one before they are multiplied.
_FAR_M = 50.0
_TALL_M = 2.0
_MOST_CHANNELS = 4096


@dataclass(frozen=True)
class StageConfig:
    """One stage of the backbone."""

    layers: int  # 3×3 convolutions of stride 1 behind the one of stride 2 that begins the stage
    channels: int

    def __post_init__(self) -> None:
        if self.layers < 0 or self.channels < 1:
            raise ValueError(
                f"a stage of {counted(self.layers, 'layer')} and "
                f"{counted(self.channels, 'channel')} is no network"
            )


@dataclass(frozen=True)
class PillarsConfig:
    """Keys of config.yaml for `detector: pillars`; frames are levelled, lengths metres."""

    # (x_min, y_min, z_min, x_max, y_max, z_max): where objects are sought; in z the network sees height_m
    range_m: tuple[float, float, float, float, float, float]
    # (low, high) above the estimated ground of the points that the network sees
    height_m: tuple[float, float]
    cell_m: float  # edge of a pillar; heat maps have half of that resolution
    pillar_channels: int  # features of one pillar
    stages: tuple[StageConfig, ...]  # of the backbone, at strides 2, 4, 8, ... pillars
    neck_channels: int  # every stage is brought to so many before they are joined at stride 2
    shrink_channels: tuple[int, ...]  # 3×3 convolutions between the joined stages and the head
    max_detections: int = 256  # heat map peaks that are decoded at most
    score_threshold: float = 0.1  # peaks below it are not reported
    nms_iou: float = 0.15  # two boxes of one class that overlap by more (bird's-eye IoU) are one object
    # (a, b, c) by class, see `detectors.score_curves`; without one the score is that of the heat map
    score_curves: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    precision: Precision = "auto"  # "auto": bfloat16 where the processor multiplies it natively
    ground: GroundSettings = field(default_factory=GroundSettings)  # what is assumed of a site

    def __post_init__(self) -> None:
        if not self.stages or not self.shrink_channels:
            raise ValueError("stages and shrink_channels need at least one entry each")
        counts = (self.pillar_channels, self.neck_channels, *self.shrink_channels, self.max_detections)
        if min(counts) < 1:
            raise ValueError(
                "pillar_channels, neck_channels, shrink_channels and max_detections are at least 1"
            )
        channels = (*counts[:-1], *(stage.channels for stage in self.stages))
        if max(channels) > _MOST_CHANNELS:
            raise ValueError(
                f"{max(channels)} channels are more than any memory holds, expected at most {_MOST_CHANNELS}"
            )
        if self.range_m[2] >= self.range_m[5]:
            raise ValueError(f"range_m {self.range_m} is empty in z")
        if self.height_m[0] >= self.height_m[1]:
            raise ValueError(f"height_m {self.height_m} is empty")
        if any(cells % self.stride for cells in self.grid.shape):
            raise ValueError(f"a grid of {self.grid.shape} cells is no multiple of the stride {self.stride}")
        if not 0 < self.score_threshold < 1 or not 0 < self.nms_iou <= 1:
            raise ValueError("score_threshold and nms_iou lie between 0 and 1")
        check_curves(self.score_curves)

    @property
    def grid(self) -> BevGrid:
        """Grid of the pillars, in the levelled frame."""
        return BevGrid(self.range_m, self.cell_m)

    @property
    def height_grid(self) -> BevGrid:
        """Grid of the pillars with z counted from the ground."""
        x_min, y_min, _, x_max, y_max, _ = self.range_m
        low, high = self.height_m
        return BevGrid((x_min, y_min, low, x_max, y_max, high), self.cell_m)

    @property
    def stride(self) -> int:
        """Pillars per cell of the coarsest map, along one edge."""
        return int(2 ** len(self.stages))


class SegmentMax(torch.autograd.Function):
    """Largest value of each column by pillar; the gradient goes to the points that have it.

    torch's own backward of `scatter_reduce` spreads the gradient evenly over equal values and takes five
    times as long.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, pillar_of_point: Tensor, count: int) -> Tensor:
        """Return (K,C) of values (N,C); every pillar has at least one point."""
        lowest = torch.finfo(values.dtype).min
        largest = torch.full((count, values.shape[1]), lowest, dtype=values.dtype, device=values.device)
        index = pillar_of_point[:, None].expand_as(values)
        largest.scatter_reduce_(0, index, values, "amax")
        ctx.save_for_backward(values, pillar_of_point, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        values, pillar_of_point, largest = ctx.saved_tensors
        is_largest = values == largest.index_select(0, pillar_of_point)
        return gradients[0].index_select(0, pillar_of_point) * is_largest, None, None


class PillarEncoder(nn.Module):
    """Pillars to a map (B,C,H,W) in channels-last memory order."""

    log_of_count: Tensor

    def __init__(self, channels: int, cell_m: float) -> None:
        super().__init__()
        self.cell_m = cell_m
        self.point = nn.Linear(4, channels, bias=False)
        self.pillar = nn.Linear(6, channels, bias=False)
        # A table: torch.log is wrong by 1e-5 now and then if two threads meet in its first call in a process
        # (MKL's vector maths setting itself up), and then live and offline boxes differ.
        logarithms = torch.tensor([0.0, *map(math.log, range(1, _MOST_POINTS))])
        self.register_buffer("log_of_count", logarithms, persistent=False)
        # Never folded: a negative gain would turn the maximum before it into a minimum.
        self.norm = nn.BatchNorm1d(channels, NORM_EPSILON, NORM_MOMENTUM)

    def forward(self, pillars: Pillars, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the map in `dtype`."""
        return scattered(self.features(pillars), pillars.cells, pillars.shape, dtype)

    def features(self, pillars: Pillars) -> Tensor:
        """Return (K,C), one row a pillar; the arithmetic is float32, positions need the digits."""
        points, of = pillars.points, pillars.pillar_of_point
        local = points.clone()
        local[:, :2] -= pillars.centers_m.index_select(0, of)
        scale = local.new_tensor([self.cell_m, self.cell_m, _TALL_M, 1.0])
        with torch.autocast(points.device.type, enabled=False):
            reduced: Tensor = SegmentMax.apply(self.point(local / scale), of, len(pillars))
            features: Tensor = self.norm(reduced + self.pillar(self._pillar_inputs(pillars, scale)))
        return features.relu()

    def _pillar_inputs(self, pillars: Pillars, scale: Tensor) -> Tensor:
        """Return (K,6): mean point (3), middle (2), log of the number of points."""
        mean = pillars.means() / scale[:3]
        count = self.log_of_count[pillars.counts.clamp(max=_MOST_POINTS - 1)][:, None]
        return torch.cat([mean, pillars.centers_m / _FAR_M, count], dim=1)


def scattered(features: Tensor, cells: Tensor, shape: tuple[int, int, int], dtype: torch.dtype) -> Tensor:
    """Return features (K,C) of cells (K,) as a map (B,C,H,W), zeros elsewhere, in channels-last order."""
    batch, height, width = shape
    canvas = torch.zeros((batch * height * width, features.shape[1]), dtype=dtype, device=features.device)
    canvas.index_copy_(0, cells, features.to(dtype))
    return canvas.view(batch, height, width, -1).permute(0, 3, 1, 2)


class Backbone(nn.Module):
    """Stages of 3×3 convolutions at strides 2, 4, 8, ... of the pillar grid."""

    def __init__(self, channels_in: int, stages: Sequence[StageConfig]) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for stage in stages:
            layers = [conv3x3(channels_in, stage.channels, stride=2)]
            layers += [conv3x3(stage.channels, stage.channels) for _ in range(stage.layers)]
            self.stages.append(nn.Sequential(*layers))
            channels_in = stage.channels

    def forward(self, canvas: Tensor) -> list[Tensor]:
        """Return one map a stage, fine to coarse, of the canvas (B,C,H,W)."""
        levels = []
        for stage in self.stages:
            canvas = stage(canvas)
            levels.append(canvas)
        return levels


class Neck(nn.Module):
    """Levels of the backbone to one map at the resolution of the finest."""

    def __init__(self, level_channels: Sequence[int], channels: int, shrink_channels: Sequence[int]) -> None:
        super().__init__()
        self.upsample = nn.ModuleList(
            ConvBlock(nn.ConvTranspose2d(count, channels, 2**level, stride=2**level, bias=False))
            for level, count in enumerate(level_channels)
        )
        widths = [channels * len(level_channels), *shrink_channels]
        self.shrink = nn.Sequential(*[conv3x3(a, b) for a, b in pairwise(widths)])

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return (B,C,H,W) of levels (B,C_l,H/2^l,W/2^l)."""
        joined = torch.cat([up(level) for up, level in zip(self.upsample, levels, strict=True)], dim=1)
        shrunk: Tensor = self.shrink(joined)
        return shrunk


class PillarNetwork(nn.Module):
    """Pillars to head maps in two halves: `encode` up to the levels that agents may share, then `decide`."""

    def __init__(self, config: PillarsConfig) -> None:
        super().__init__()
        self.encoder = PillarEncoder(config.pillar_channels, config.cell_m)
        self.backbone = Backbone(config.pillar_channels, config.stages)
        level_channels = [stage.channels for stage in config.stages]
        self.neck = Neck(level_channels, config.neck_channels, config.shrink_channels)
        self.head = CenterHead(config.shrink_channels[-1])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, pillars: Pillars, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Return the levels of the backbone, (B,C_l,H/2^(l+1),W/2^(l+1)).

        Args:
            pillars: B clouds.
            dtype: type of the map that enters the backbone; None for that of the weights.
        """
        canvas: Tensor = self.encoder(pillars, dtype or self.head.classes.weight.dtype)
        levels: list[Tensor] = self.backbone(canvas)
        return levels

    def decide(self, levels: list[Tensor]) -> HeadMaps:
        """Return the maps of the head, float32, at the size of the finest level."""
        maps: HeadMaps = self.head(self.neck(levels))
        return maps

    def forward(self, pillars: Pillars, dtype: torch.dtype | None = None) -> HeadMaps:
        """Return the maps of the head; see `encode` and `decide`."""
        return self.decide(self.encode(pillars, dtype))

    def prepare_for_inference(self, dtype: torch.dtype) -> PillarNetwork:
        """Fold the batch norms and bring the convolutions to `dtype`, in place; there is no way back."""
        folded(self)
        for part in (self.backbone, self.neck, self.head):
            part.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


class PillarDetector(BevDetector):
    """From a point cloud to boxes.

    Attributes:
        config: settings as in config.yaml.
        network: `PillarNetwork` as it runs, with batch norms folded and convolutions in `dtype`.
    """

    Config = PillarsConfig
    config: PillarsConfig
    network: PillarNetwork

    def __init__(self, name: str, config: PillarsConfig, network: PillarNetwork, **identity: Any) -> None:
        """Take a network, trained or not; `identity` are the keyword arguments of `Detector`."""
        super().__init__(name, config, network, **identity)
        self.grid = config.grid
        self.level_channels = tuple(stage.channels for stage in config.stages)
        self.context_channels = config.shrink_channels[-1]
        self.dtype = inference_dtype(config.precision, self.device)
        self.site = config.ground
        self.network = network.to(self.device).prepare_for_inference(self.dtype)
        self._scores = ScoreCurves(config.score_curves, config.grid.coarser(2), self.device)
        self._decoded: WeakKeyDictionary[Encoded, Detections] = WeakKeyDictionary()

    @classmethod
    def build(cls, config: PillarsConfig, seed: int) -> PillarNetwork:
        """Return an untrained network with weights drawn from `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PillarNetwork(config)

    def encode(self, frame: AgentFrame) -> BevFeatures:
        """Return the maps of a frame's cloud, which may be empty.

        Raises:
            CosenseError: the cloud is not (N,4), or holds numbers that are not finite.
        """
        if frame.points.ndim != 2 or frame.points.shape[1] != 4:
            raise CosenseError(
                f"a cloud of shape {frame.points.shape} cannot be detected in, expected (N, 4)"
            )
        return self.encode_level(levelled(frame, self.site))

    def encode_level(self, frame: LevelFrame) -> BevFeatures:
        """Return the maps of a levelled frame."""
        return self.infer(self.group(frame.points, frame.ground), frame.ground)

    def group(self, points: NDArray[np.float32], ground: GroundSurface) -> Pillars:
        """Return the pillars of a levelled cloud (N,4), heights counted from the ground."""
        moved = points.copy()
        moved[:, 2] = ground.heights(points)
        return group_points(torch.from_numpy(moved).to(self.device), self.config.height_grid)

    def infer(self, pillars: Pillars, ground: GroundSurface) -> BevFeatures:
        """Run the network over the grouped points of one cloud."""
        with torch.inference_mode():
            levels = tuple(level[0] for level in self.network.encode(pillars))
            return self.decide(levels, pillars.count_map()[0], ground)

    def decide(self, levels: Sequence[Tensor], point_counts: Tensor, ground: GroundSurface) -> BevFeatures:
        """Run neck and head over levels, the cloud's own or fused ones; see `BevFeatures`."""
        with torch.inference_mode():
            context = self.network.neck([level[None] for level in levels])
            maps = self.network.head(context)
        return BevFeatures(
            levels=tuple(levels),
            context=context[0],
            class_logits=self._scores.calibrated(maps.class_logits[0]),
            box_codes=maps.box_codes[0],
            point_counts=point_counts,
            grid=self.grid,
            ground=ground,
        )

    def decode(self, encoded: Encoded) -> Detections:
        """Return the boxes of the head's maps: peaks, then non-maximum suppression; computed once."""
        assert isinstance(encoded, BevFeatures)
        return once(self._decoded, encoded, lambda: self._decode(encoded))

    def _decode(self, features: BevFeatures) -> Detections:
        with torch.inference_mode():
            scores, labels, cells = find_peaks(
                features.class_logits, self.config.max_detections, self.config.score_threshold
            )
            grid = self.grid.coarser(2)
            codes = features.box_codes.flatten(1).index_select(1, cells).T
            boxes = decode_boxes(codes, cell_centers(cells, grid), grid.cell_m)
        boxes_m = boxes.cpu().numpy().astype(np.float64)
        boxes_m[:, 2] += features.ground.at(boxes_m[:, 0], boxes_m[:, 1])
        return suppress(boxes_m, scores.cpu().numpy(), labels.cpu().numpy(), self.config.nms_iou)
