"""Detector of one LiDAR's cloud: everything but the encoder, which makes a canvas of the points.

Clouds are levelled and heights counted from the estimated ground: one network serves a car's roof and a mast
of seven metres, upright or leaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.detectors.base import BevDetector, BevFeatures, Encoded, once
from cosense.detectors.bev_network import BevNetwork, StageConfig
from cosense.detectors.device import Precision, inference_dtype
from cosense.detectors.grouping import Pillars, group_points
from cosense.detectors.head import cell_centers, decode_boxes, find_peaks, suppress
from cosense.detectors.score_curves import ScoreCurves, check_curves
from cosense.errors import CosenseError
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSettings, GroundSurface
from cosense.sensing.levelling import LevelFrame, levelled

# A layer with so many channels on either side has 600 MB of weights.
_MOST_CHANNELS = 4096
# 280 m by 150 m in cells of 5 cm; a map of them with 64 channels has 4 GB.
_MOST_CELLS = 1 << 24


def check_channels(*counts: int) -> None:
    """Raise ValueError where a layer would have more channels than any memory holds."""
    if max(counts) > _MOST_CHANNELS:
        raise ValueError(f"a layer of {max(counts)} channels, expected at most {_MOST_CHANNELS}")


@dataclass(frozen=True, kw_only=True)
class LidarDetectorConfig:
    """Keys of config.yaml that all detectors of clouds have; frames are levelled, lengths metres."""

    # (x_min, y_min, z_min, x_max, y_max, z_max): where objects are sought; in z the network sees height_m
    range_m: tuple[float, float, float, float, float, float]
    # (low, high) above the estimated ground of the points that the network sees
    height_m: tuple[float, float]
    cell_m: float  # edge of a cell; heat maps have half of that resolution
    stages: tuple[StageConfig, ...]  # of the backbone, at strides 2, 4, 8, ... cells
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
        if min(self.neck_channels, *self.shrink_channels, self.max_detections) < 1:
            raise ValueError("neck_channels, shrink_channels and max_detections are at least 1")
        check_channels(self.neck_channels, *self.shrink_channels, *(stage.channels for stage in self.stages))
        if self.range_m[2] >= self.range_m[5]:
            raise ValueError(f"range_m {self.range_m} is empty in z")
        if self.height_m[0] >= self.height_m[1]:
            raise ValueError(f"height_m {self.height_m} is empty")
        rows, columns = self.grid.shape
        if rows * columns > _MOST_CELLS:
            raise ValueError(f"a grid of {rows} x {columns} cells, expected at most {_MOST_CELLS} in all")
        if any(cells % self.stride for cells in self.grid.shape):
            raise ValueError(f"a grid of {self.grid.shape} cells is no multiple of the stride {self.stride}")
        if not 0 < self.score_threshold < 1 or not 0 < self.nms_iou <= 1:
            raise ValueError("score_threshold and nms_iou lie between 0 and 1")
        check_curves(self.score_curves)

    @property
    def grid(self) -> BevGrid:
        """Grid of the cells, in the levelled frame."""
        return BevGrid(self.range_m, self.cell_m)

    @property
    def height_grid(self) -> BevGrid:
        """Grid of the cells with z counted from the ground."""
        x_min, y_min, _, x_max, y_max, _ = self.range_m
        low, high = self.height_m
        return BevGrid((x_min, y_min, low, x_max, y_max, high), self.cell_m)

    @property
    def stride(self) -> int:
        """Cells per cell of the coarsest map, along one edge."""
        return int(2 ** len(self.stages))


class LidarDetector(BevDetector):
    """From a point cloud to boxes; a detector derives from it and says which network it builds.

    Attributes:
        config: settings as in config.yaml.
        network: as it runs, with batch norms folded and convolutions in `dtype`.
    """

    config: LidarDetectorConfig
    network: BevNetwork

    def __init__(self, name: str, config: LidarDetectorConfig, network: BevNetwork, **identity: Any) -> None:
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
        return self.decide_by(self._scores, levels, point_counts, ground)

    def decide_by(
        self, scores: ScoreCurves, levels: Sequence[Tensor], point_counts: Tensor, ground: GroundSurface
    ) -> BevFeatures:
        """Do the same where other curves say what scores are worth."""
        with torch.inference_mode():
            context = self.network.neck([level[None] for level in levels])
            maps = self.network.head(context)
        return BevFeatures(
            levels=tuple(levels),
            context=context[0],
            class_logits=scores.calibrated(maps.class_logits[0]),
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
