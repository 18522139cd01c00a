"""Voxel-wise fusion: what images show at a pillar, also where the LiDAR has met nothing.

LCV2I (arXiv 2502.17039) fills missing voxel features from images: reference points for each voxel, attention
weights between each voxel and image features of several scales. Its equations are not available to us; the
form here is deformable cross-attention as in AutoAlignV2 (Chen et al., ECCV 2022), on pillars:

    q = W_q [f; position; evidence]                      (f = e for an empty pillar, learned)
    c = sum_j,l,k  a_jlk  P_l(u_j / s_l + D_jlk)         per head; a = softmax(W_a q), D = W_D q
    f' = f + FFN(LN [f; c; evidence; position])

j are reference points above the ground of the pillar that an image shows, l scales, k points. W_a, W_D and
the last layer of FFN begin as zeros: at first c is the mean of plain projections, and f' is f.

The *evidence* is ours: the probability that the pixel of a reference point shows a thing that is as far as
the point (bilinear in the image, linear between steps of distance). Without it the image smears features over
all distances. It also chooses which empty pillars are filled: those close to points, and those where the
image says that something stands, the most probable first, up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.camera.image_encoder import STRIDES, ImageConfig, ImageFeatures
from cosense.detectors.camera.reference_points import (
    PLACE_NUMBERS,
    Seen,
    evidence_at,
    middles,
    place_numbers,
    projected,
)
from cosense.detectors.camera.views import GROUND_STRIDE, Views
from cosense.detectors.grouping import Pillars

# Pillars are chosen in blocks of so many along each edge, each on one height of the ground.
_BLOCK = GROUND_STRIDE // 2


@dataclass(frozen=True)
class FusionConfig:
    """Keys below `fusion:` in config.yaml.

    Attributes:
        heights_m: reference points of a pillar, above the ground.
        heads: parts of the channels that look at different places.
        points: places that a head looks at, for each reference point and scale.
        hidden: width of the layers in between.
        reach_m: pillars farther from the sensor are not fused.
        around: empty pillars this near to a filled one, in cells, are candidates,
        evidence: and those where the image says with this probability that something stands.
        most_filled: no more empty pillars than this are filled for each cloud.
    """

    heights_m: tuple[float, ...] = (0.3, 0.8, 1.4, 2.2)
    heads: int = 4
    points: int = 1
    hidden: int = 64
    reach_m: float = 80.0
    around: int = 2
    evidence: float = 0.08
    most_filled: int = 4000

    def __post_init__(self) -> None:
        if not self.heights_m or min(self.heads, self.points, self.hidden) < 1:
            raise ValueError("heights_m needs an entry; heads, points and hidden are at least 1")
        if self.around < 0 or self.most_filled < 0 or not self.reach_m > 0:
            raise ValueError("around and most_filled are at least 0, reach_m is above 0")
        if not 0 < self.evidence < 1:
            raise ValueError(f"evidence is {self.evidence}, expected a number between 0 and 1")


@dataclass(frozen=True)
class Fused:
    """Pillars that an image shows, K of them, and what is known of each.

    Attributes:
        cells: (K,) int64, index into a flat (B,H,W) map.
        row: (K,) int64, row among the pillars with points, -1 for an empty one.
        original: (K,C) features before, zeros for an empty one.
        fused: (K,C) features with what the images show.
        counts: (K,) float32, number of points.
        depth_m: (K,) distance from the camera along its axis.
    """

    cells: Tensor
    row: Tensor
    original: Tensor
    fused: Tensor
    counts: Tensor
    depth_m: Tensor


class VoxelFusion(nn.Module):
    """Pillars with features, and images, to `Fused`."""

    heights_m: Tensor

    def __init__(self, config: FusionConfig, image: ImageConfig, channels: int, cell_m: float) -> None:
        super().__init__()
        if image.channels % config.heads:
            raise ValueError(f"{image.channels} channels of image are no multiple of {config.heads} heads")
        self.config, self.image, self.cell_m = config, image, cell_m
        heights = torch.tensor(config.heights_m)
        self.register_buffer("heights_m", heights, persistent=False)
        references, looks = len(heights), config.heads * len(heights) * len(STRIDES) * config.points
        self.empty = nn.Parameter(torch.zeros(channels))
        self.query = nn.Linear(channels + PLACE_NUMBERS + references, config.hidden)
        self.weights = nn.Linear(config.hidden, looks)
        self.offsets = nn.Linear(config.hidden, 2 * looks)
        joined = channels + image.channels + references + PLACE_NUMBERS
        self.update = nn.Sequential(
            nn.LayerNorm(joined),
            nn.Linear(joined, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, channels),
        )
        for layer in (self.weights, self.offsets, self.update[3]):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, pillars: Pillars, features: Tensor, views: Views, images: ImageFeatures) -> Fused:
        """Return the pillars that an image shows, with what it shows.

        Args:
            pillars: B clouds, K pillars.
            features: (K,C) float32 of these.
            views: where the images look.
            images: what they show.
        """
        depth = images.depth_logits.softmax(dim=1)
        cells = self._chosen(pillars, views, depth)
        row = _rows(cells, pillars)
        is_empty = row < 0
        places = middles(cells, pillars.shape, self.cell_m, views)
        f = torch.where(
            is_empty[:, None], self.empty, features[row.clamp(min=0)] if len(features) else self.empty
        )
        # What several images show of one pillar is averaged.
        shown = features.new_zeros(len(cells), self.image.channels)
        evidence = features.new_zeros(len(cells), len(self.config.heights_m))
        depth_m, times = features.new_zeros(len(cells)), features.new_zeros(len(cells))
        of_cloud = torch.div(cells, pillars.shape[1] * pillars.shape[2], rounding_mode="floor")
        place = place_numbers(places)
        for number, cloud in enumerate(views.of):
            mine = (of_cloud == cloud).nonzero()[:, 0]
            seen = projected(places[mine], self.heights_m, views, number)
            visible = seen.is_inside.any(dim=1).nonzero()[:, 0]
            if not len(visible):
                continue
            mine = mine[visible]
            seen = seen[visible]
            proof = evidence_at(seen, self.image.depth_steps(seen.depth_m), depth[number])
            query = torch.relu(self.query(torch.cat([f[mine], place[mine], proof], dim=1)))
            levels = [level[number] for level in images.levels]
            shown = shown.index_add(0, mine, self.attend(query, seen, levels))
            evidence = evidence.index_add(0, mine, proof)
            depth_m = depth_m.index_add(0, mine, seen.depth_m.mean(dim=1))
            times = times.index_add(0, mine, torch.ones_like(times[mine]))
        known = (times > 0).nonzero()[:, 0]
        share = 1 / times[known]
        shown, evidence = shown[known] * share[:, None], evidence[known] * share[:, None]
        f, row = f[known], row[known]
        fused = f + self.update(torch.cat([f, shown, evidence, place[known]], dim=1))
        counts = torch.where(row < 0, 0.0, pillars.counts[row.clamp(min=0)].float() if len(pillars) else 0.0)
        original = torch.where(row[:, None] < 0, 0.0, f)
        return Fused(cells[known], row, original, fused, counts, depth_m[known] * share)

    def attend(self, query: Tensor, seen: Seen, levels: list[Tensor]) -> Tensor:
        """Return (K,C): what attention finds in the maps (C,H_l,W_l) of one image around reference points."""
        heads, points = self.config.heads, self.config.points
        pillars, references = seen.is_inside.shape
        places = references * points
        is_inside = seen.is_inside.repeat_interleave(points, dim=1)[:, None, None]
        # Heads are a batch of their own: (heads, scales, K, places).
        logits = self.weights(query).view(pillars, heads, len(levels), places)
        logits = logits.masked_fill(~is_inside, -torch.inf)
        weights = logits.flatten(2).softmax(dim=2).view_as(logits).permute(1, 2, 0, 3)
        offsets = self.offsets(query).view(pillars, heads, len(levels), places, 2).permute(1, 2, 0, 3, 4)
        # From pixels to -1 at the first border of the image and 1 at the last, which is so at every scale.
        uv = torch.where(seen.is_inside[..., None], seen.uv, 0.0).repeat_interleave(points, dim=1)
        size = uv.new_tensor([levels[0].shape[2], levels[0].shape[1]])
        around = (uv + 0.5) * (2 / STRIDES[0] / size) - 1
        found: Tensor | float = 0.0
        for number, level in enumerate(levels):
            steps = 2 / level.new_tensor([level.shape[2], level.shape[1]])
            sampled = functional.grid_sample(
                level.reshape(heads, -1, *level.shape[1:]),
                around + offsets[:, number] * steps,
                align_corners=False,
            )
            found = found + (sampled * weights[:, number, None]).sum(dim=3)
        assert isinstance(found, Tensor)
        return found.flatten(0, 1).T

    @torch.no_grad()
    def _chosen(self, pillars: Pillars, views: Views, depth: Tensor) -> Tensor:
        """Return the cells that are fused, ascending: where an image may show them, with points or filled."""
        clouds, height, width = pillars.shape
        occupied = torch.zeros(clouds * height * width, device=depth.device)
        occupied[pillars.cells] = 1
        occupied = occupied.view(clouds, 1, height, width)
        size = 2 * self.config.around + 1
        near = functional.max_pool2d(occupied, (size, 1), 1, (self.config.around, 0))
        near = functional.max_pool2d(near, (1, size), 1, (0, self.config.around)) > 0
        seen, evidence = (
            part.repeat_interleave(_BLOCK, dim=1).repeat_interleave(_BLOCK, dim=2)
            for part in self._blocks(pillars.shape, views, depth)
        )
        is_empty = occupied[:, 0] == 0
        wanted = seen & is_empty & (near[:, 0] | (evidence > self.config.evidence))
        # What is not wanted comes last; more than are wanted are never taken.
        worth = torch.where(wanted, evidence, -1.0).flatten(1)
        most = min(self.config.most_filled, height * width)
        found = torch.topk(worth, most, dim=1)
        first = torch.arange(clouds, device=depth.device)[:, None] * (height * width)
        filled = (found.indices + first)[found.values >= 0]
        measured = pillars.cells[seen.flatten()[pillars.cells]]
        return torch.cat([measured, filled]).sort().values

    def _blocks(self, shape: tuple[int, int, int], views: Views, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return for each block of cells whether an image may show it, and the highest evidence there."""
        clouds, height, width = shape
        rows, columns = height // _BLOCK, width // _BLOCK
        row = torch.arange(rows, device=depth.device) * _BLOCK
        column = torch.arange(columns, device=depth.device) * _BLOCK
        cells = (row[:, None] * width + column).flatten()
        seen = torch.zeros((clouds, rows * columns), dtype=torch.bool, device=depth.device)
        evidence = torch.zeros((clouds, rows * columns), device=depth.device)
        for number, cloud in enumerate(views.of):
            places = middles(cells + cloud * height * width, shape, self.cell_m, views)
            places[:, :2] += self.cell_m * (_BLOCK - 1) / 2
            near = (places[:, :2].norm(dim=1) < self.config.reach_m).nonzero()[:, 0]
            found = projected(places[near], self.heights_m, views, number)
            seen[cloud, near] |= found.is_inside.any(dim=1)
            proof = evidence_at(found, self.image.depth_steps(found.depth_m), depth[number]).amax(dim=1)
            evidence[cloud, near] = torch.maximum(evidence[cloud, near], proof)
        return seen.view(clouds, rows, columns), evidence.view(clouds, rows, columns)


def _rows(cells: Tensor, pillars: Pillars) -> Tensor:
    """Return (K,) which row of the pillars each cell is, -1 for an empty one; both ascend."""
    if not len(pillars):
        return torch.full_like(cells, -1)
    row = torch.searchsorted(pillars.cells, cells).clamp(max=len(pillars) - 1)
    return torch.where(pillars.cells[row] == cells, row, -1)
