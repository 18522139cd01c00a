"""Pillars that cameras help: the first three blocks of LCV2I before the backbone of `pillars`.

Blocks as LCV2I (arXiv 2502.17039) names them, see `detectors.camera` for each, what is the paper's and what
is ours: the modality encoder (pillars; an image encoder), voxel-wise fusion, and feature offset correction.
What follows is the network of `detectors.pillars` with its levels, context and head, so every way of sharing
takes these features as it takes those of a LiDAR.

Without an image that can be used, the result is exactly that of the LiDAR alone, and why is said. Without
points, the levels come from images alone (`detectors.camera.without_cloud`); the ground then is as far below
the agent as in its last cloud, or as it is for agents of this kind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cosense.detectors.base import BevFeatures
from cosense.detectors.camera.image_encoder import ImageConfig, ImageEncoder, ImageFeatures
from cosense.detectors.camera.offset_correction import CorrectionConfig, OffsetCorrection
from cosense.detectors.camera.views import Picture, Views, picture, usable, views_of
from cosense.detectors.camera.voxel_fusion import FusionConfig, VoxelFusion
from cosense.detectors.camera.without_cloud import WithoutCloud, WithoutCloudConfig
from cosense.detectors.device import training_dtype
from cosense.detectors.grouping import Pillars
from cosense.detectors.head import HeadMaps
from cosense.detectors.pillars import PillarDetector, PillarNetwork, PillarsConfig, scattered
from cosense.detectors.score_curves import ScoreCurves
from cosense.sensing.frame import AgentKind
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import LevelFrame

logger = logging.getLogger(__name__)

# Height of a LiDAR above the ground, for an agent that has never had points to measure it in.
USUAL_HEIGHT_M: dict[AgentKind, float] = {"vehicle": 1.9, "infrastructure": 6.0}


@dataclass(frozen=True)
class CameraPillarsConfig(PillarsConfig):
    """Keys of config.yaml for `detector: camera_pillars`: those of `pillars`, and below."""

    image: ImageConfig = field(default_factory=ImageConfig)  # how images are encoded
    fusion: FusionConfig = field(default_factory=FusionConfig)  # what pillars take from them
    correction: CorrectionConfig = field(default_factory=CorrectionConfig)  # and how much of it
    without_cloud: WithoutCloudConfig | None = None  # what becomes of images when there are no points

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image.channels % self.fusion.heads:
            raise ValueError(
                f"image.channels {self.image.channels} is no multiple of fusion.heads {self.fusion.heads}"
            )


@dataclass(frozen=True, eq=False)
class CameraFeatures(BevFeatures):
    """Bird's-eye maps, and which images have a part in them.

    Attributes:
        cameras: names of the cameras that have.
        left_out: why others have not, by name.
    """

    cameras: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


class CameraPillarNetwork(PillarNetwork):
    """Pillars and images to head maps; without images it is the `PillarNetwork` that it derives from."""

    def __init__(self, config: CameraPillarsConfig) -> None:
        super().__init__(config)
        self.images = ImageEncoder(config.image)
        self.fusion = VoxelFusion(config.fusion, config.image, config.pillar_channels, config.cell_m)
        self.correction = OffsetCorrection(config.correction, config.pillar_channels)
        self.images.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.without_cloud: WithoutCloud | None = None
        if config.without_cloud is not None:
            self.without_cloud = WithoutCloud(
                config.without_cloud, config.image, config.pillar_channels, config.stages, config.cell_m
            )

    def encode(
        self, pillars: Pillars, dtype: torch.dtype | None = None, views: Views | None = None
    ) -> list[Tensor]:
        """Return the levels of the backbone; see `PillarNetwork.encode`.

        Args:
            pillars: B clouds.
            dtype: type of the map that enters the backbone; None for that of the weights.
            views: images of these clouds, None without any.
        """
        if views is None:
            return super().encode(pillars, dtype)
        if self.without_cloud is not None and not len(pillars):
            images = self.without_cloud.images(views.stages)
            return self.without_cloud(views, images, pillars.shape, dtype or self.head.classes.weight.dtype)
        return self.encode_with(pillars, views, self.images(views.stages), dtype)

    def encode_with(
        self, pillars: Pillars, views: Views, images: ImageFeatures, dtype: torch.dtype | None = None
    ) -> list[Tensor]:
        """Return the levels of the backbone where it is known what the images show; see `encode`."""
        features, cells = self.joined(pillars, views, images)
        canvas = scattered(features, cells, pillars.shape, dtype or self.head.classes.weight.dtype)
        levels: list[Tensor] = self.backbone(canvas)
        return levels

    def joined(self, pillars: Pillars, views: Views, images: ImageFeatures) -> tuple[Tensor, Tensor]:
        """Return features (K,C) and cells (K,) of all pillars, those that images have filled included."""
        features = self.encoder.features(pillars)
        with torch.autocast(features.device.type, enabled=False):
            seen = self.fusion(pillars, features, views, images)
            corrected = self.correction(seen, pillars.shape)
        measured = seen.row >= 0
        features = features.index_copy(0, seen.row[measured], corrected[measured])
        return torch.cat([features, corrected[~measured]]), torch.cat([pillars.cells, seen.cells[~measured]])

    def forward(
        self, pillars: Pillars, dtype: torch.dtype | None = None, views: Views | None = None
    ) -> HeadMaps:
        """Return the maps of the head; see `encode` and `decide`."""
        return self.decide(self.encode(pillars, dtype, views))


class CameraPillarDetector(PillarDetector):
    """From a point cloud and images to boxes.

    Attributes:
        config: settings as in config.yaml.
        network: `CameraPillarNetwork` as it runs.
        image_dtype: type of the convolutions of images; they gain from bfloat16 on more processors than those
            of maps, and have no positions to lose.
    """

    Config = CameraPillarsConfig
    needs: ClassVar[tuple[str, ...]] = ("lidar", "camera")
    config: CameraPillarsConfig
    network: CameraPillarNetwork

    def __init__(
        self, name: str, config: CameraPillarsConfig, network: CameraPillarNetwork, **identity: Any
    ) -> None:
        """Take a network, trained or not; `identity` are the keyword arguments of `Detector`."""
        super().__init__(name, config, network, **identity)
        self.image_dtype = training_dtype(config.precision, self.device)
        self.network.images.to(dtype=self.image_dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._lost: dict[str, frozenset[str]] = {}
        self._heights_m: dict[str, float] = {}
        # How often a box is within 2 m is about what its heat is; no curve says it better so far.
        self._scores_without_cloud = ScoreCurves({}, config.grid.coarser(2), self.device)
        if network.without_cloud is not None:
            network.without_cloud.images.to(dtype=self.image_dtype)
            network.without_cloud.backbone.to(dtype=self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def build(cls, config: PillarsConfig, seed: int) -> CameraPillarNetwork:
        """Return an untrained network with weights drawn from `seed`."""
        assert isinstance(config, CameraPillarsConfig)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return CameraPillarNetwork(config)

    def encode_level(self, frame: LevelFrame) -> CameraFeatures:
        """Return the maps of a levelled frame, and which of its images have a part in them."""
        cameras, reasons = usable(frame)
        self._say(frame, reasons)
        ground = frame.ground
        if len(frame.points):
            self._heights_m[frame.agent_id] = -ground.height_m
        else:
            height_m = self._heights_m.get(frame.agent_id, USUAL_HEIGHT_M[frame.kind])
            ground = GroundSurface.level(-height_m)
        pillars = self.group(frame.points, ground)
        pictures = [picture(camera, self.config.image.size) for camera in cameras]
        with torch.inference_mode():
            views = self.views(pictures, ground) if pictures else None
            levels = tuple(level[0] for level in self.network.encode(pillars, views=views))
            is_blind = views is not None and not len(pillars)
            scores = self._scores_without_cloud if is_blind else self._scores
            features = self.decide_by(scores, levels, pillars.count_map()[0], ground)
        given = {item.name: getattr(features, item.name) for item in fields(BevFeatures)}
        return CameraFeatures(**given, cameras=tuple(image.name for image in pictures), left_out=reasons)

    def views(self, pictures: Sequence[Picture], ground: GroundSurface) -> Views:
        """Return images of one cloud, at least one, as the network takes them."""
        pixels = torch.from_numpy(np.stack([image.pixels for image in pictures])).to(self.device)
        with torch.inference_mode():
            stages = tuple(self.network.images.stages(pixels))
        places, covered = [image.P for image in pictures], [image.covered for image in pictures]
        return views_of(places, covered, stages, ground, self.grid, self.device)

    def _say(self, frame: LevelFrame, reasons: Mapping[str, str]) -> None:
        """Log why images are left out, when others are than in the frame before."""
        lost = frozenset(reasons)
        if lost != self._lost.get(frame.agent_id, frozenset()):
            for reason in reasons.values():
                logger.warning("%s", reason)
        self._lost[frame.agent_id] = lost
