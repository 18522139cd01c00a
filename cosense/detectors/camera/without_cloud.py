"""What an agent makes of its images when there is no cloud: they are lifted onto the ground around it.

Every cell of the ground that an image shows is a column of reference points at some heights. Each takes the
features of its pixel, as in Simple-BEV (Harley et al., ICRA 2023; before it inverse perspective mapping,
Mallot et al., 1991), and how probable it is that the image shows a thing at its distance, and one that is
nearer (the depth distribution of Lift, Splat, Shoot, Philion and Fidler, ECCV 2020, read where a point is
instead of splatted). A perceptron makes the canvas of them:

    g = MLP LN [P_8(u_1) .. P_8(u_J); log(1 + B e_1) ..; b_1 ..; position]     B steps of distance

A cell is twice as long as a pillar's, so that the canvas enters a backbone of its own at the resolution of
the finest level. The levels that come out are of the same kind as those of clouds: neck and head are shared,
and so is whatever takes them.

A lens that is twice as long shows a thing twice as large: the network guesses the distance that a thing would
have for one focal length ("virtual depth", Brazil et al., CVPR 2023), so other cameras are judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.bev_network import Backbone, StageConfig
from cosense.detectors.camera.image_encoder import STRIDES, ImageConfig, ImageFeatures, PyramidWithDepth
from cosense.detectors.camera.reference_points import (
    PLACE_NUMBERS,
    Seen,
    evidence_at,
    middles,
    place_numbers,
    projected,
)
from cosense.detectors.camera.views import Views

# The focal length, in pixels of images as the network takes them, at which distances are what they are.
_FOCAL_PX = 256.0
# Pillars along the edge of a cell.
_FINER = 2


@dataclass(frozen=True)
class WithoutCloudConfig:
    """Keys below `without_cloud:` in config.yaml.

    Attributes:
        heights_m: reference points of a cell, above the ground.
        reach_m: cells farther from the sensor are left empty.
        hidden: width of the layer in between.
    """

    heights_m: tuple[float, ...] = (0.2, 0.7, 1.2, 1.8, 2.6)
    reach_m: float = 72.0
    hidden: int = 96

    def __post_init__(self) -> None:
        if not self.heights_m or self.hidden < 1 or not self.reach_m > 0:
            raise ValueError("heights_m needs an entry, hidden is at least 1, reach_m is above 0")


class WithoutCloud(nn.Module):
    """Images to the levels that a cloud would give, on cells of twice the edge of a pillar."""

    heights_m: Tensor

    def __init__(
        self,
        config: WithoutCloudConfig,
        image: ImageConfig,
        pillar_channels: int,
        stages: Sequence[StageConfig],
        pillar_m: float,
    ) -> None:
        super().__init__()
        self.config, self.image, self.channels = config, image, pillar_channels
        self.cell_m = _FINER * pillar_m
        self.register_buffer("heights_m", torch.tensor(config.heights_m), persistent=False)
        self.images = PyramidWithDepth(image)
        inputs = len(config.heights_m) * (image.channels + 2) + PLACE_NUMBERS
        self.lift = nn.Sequential(
            nn.LayerNorm(inputs),
            nn.Linear(inputs, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, pillar_channels),
            nn.ReLU(),
        )
        self.backbone = Backbone(pillar_channels, stages, first_stride=1)
        for part in (self.images, self.backbone):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, views: Views, images: ImageFeatures, shape: tuple[int, int, int], dtype: torch.dtype
    ) -> list[Tensor]:
        """Return the levels of B agents without clouds.

        Args:
            views: where their images look, at least one.
            images: what these show, see `images`.
            shape: (B,H,W) of the grid of pillars.
            dtype: type of the convolutions.
        """
        clouds, height, width = shape
        with torch.autocast(views.P.device.type, enabled=False):
            canvas = self.canvas(views, images, (clouds, height // _FINER, width // _FINER))
        levels: list[Tensor] = self.backbone(canvas.to(dtype))
        return levels

    def canvas(self, views: Views, images: ImageFeatures, shape: tuple[int, int, int]) -> Tensor:
        """Return (B,C,H,W) float32, zeros where no image looks; what several show of a cell is averaged."""
        clouds, height, width = shape
        depth = images.depth_logits.softmax(dim=1)
        cells = torch.arange(height * width, device=views.P.device)
        canvas = depth.new_zeros(clouds * height * width, self.channels)
        times = depth.new_zeros(clouds * height * width, 1)
        for number, cloud in enumerate(views.of):
            mine = cells + cloud * height * width
            places = middles(mine, shape, self.cell_m, views, _FINER)
            near = (places[:, :2].norm(dim=1) < self.config.reach_m).nonzero()[:, 0]
            mine, places = mine[near], places[near]
            seen = projected(places, self.heights_m, views, number)
            visible = seen.is_inside.any(dim=1).nonzero()[:, 0]
            if not len(visible):
                continue
            mine, places, seen = mine[visible], places[visible], seen[visible]
            shown = self._shown(places, seen, views.P[number], images.levels[0][number], depth[number])
            canvas = canvas.index_add(0, mine, self.lift(shown))
            times = times.index_add(0, mine, torch.ones_like(times[mine]))
        canvas = canvas / times.clamp(min=1)
        return canvas.view(clouds, height, width, -1).permute(0, 3, 1, 2)

    def _shown(self, places: Tensor, seen: Seen, P: Tensor, level: Tensor, depth: Tensor) -> Tensor:
        """Return (K,inputs): what one image shows of columns of reference points."""
        size = seen.uv.new_tensor([level.shape[2], level.shape[1]])
        uv = torch.where(seen.is_inside[..., None], seen.uv, 0.0)
        around = (uv + 0.5) * (2 / STRIDES[0] / size) - 1
        found = functional.grid_sample(level[None], around[None], align_corners=False)[0]
        found = (found * seen.is_inside).permute(1, 0, 2).flatten(1)
        steps = self.image.depth_steps(seen.depth_m / focal_length(P.double().cpu().numpy()))
        there = torch.log1p(len(depth) * evidence_at(seen, steps, depth))
        # That the thing which is shown hides the point: whole steps before it, and a part of its own.
        nearer = evidence_at(seen, steps - 0.5, depth.cumsum(dim=0))
        return torch.cat([found, there, nearer, place_numbers(places)], dim=1)


def focal_length(P: NDArray[np.float64]) -> float:
    """Return the focal length of P (3,4) in units of the one at which distances are what they are."""
    forward = np.linalg.norm(P[2, :3])
    return float(np.linalg.norm(np.cross(P[0, :3], P[2, :3])) / (forward * forward * _FOCAL_PX))
