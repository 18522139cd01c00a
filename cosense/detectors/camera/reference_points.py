"""Reference points: places at some heights above the ground, where an image shows them, and what it says.

Places are middles of the cells of a grid. The *evidence* at a reference point is the probability that the
pixel which shows it shows a thing that is as far away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cosense.detectors.camera.image_encoder import STRIDES
from cosense.detectors.camera.views import GROUND_STRIDE, Views

# Numbers that say where a place is: x, y, distance, and the direction from the sensor.
PLACE_NUMBERS = 5
_FAR_M = 50.0
_NEAREST_M = 0.5


@dataclass(frozen=True)
class Seen:
    """Reference points (K,J) in one image.

    Attributes:
        uv: (K,J,2) pixels.
        depth_m: (K,J).
        is_inside: (K,J) bool.
    """

    uv: Tensor
    depth_m: Tensor
    is_inside: Tensor

    def __getitem__(self, which: Tensor) -> Seen:
        """Return some of the places, chosen by an index (M,)."""
        return Seen(self.uv[which], self.depth_m[which], self.is_inside[which])


def middles(
    cells: Tensor, shape: tuple[int, int, int], cell_m: float, views: Views, finer: int = 1
) -> Tensor:
    """Return (K,3) middles of cells, on the ground of the levelled frame.

    Args:
        cells: (K,) int64, index into a flat map (B,H,W).
        shape: of that map.
        cell_m: edge of a cell.
        views: where the grid of each cloud begins, and its ground.
        finer: cells of the grid of the pillars, along one edge of such a cell.
    """
    _, height, width = shape
    cloud = torch.div(cells, height * width, rounding_mode="floor")
    row = torch.div(cells, width, rounding_mode="floor") % height
    column = cells % width
    middle = torch.stack([column, row], dim=1) + 0.5
    ground = views.ground_m[
        cloud,
        torch.div(row * finer, GROUND_STRIDE, rounding_mode="floor"),
        torch.div(column * finer, GROUND_STRIDE, rounding_mode="floor"),
    ]
    return torch.cat([views.corner_m[cloud] + cell_m * middle, ground[:, None]], dim=1)


def projected(places: Tensor, heights_m: Tensor, views: Views, number: int) -> Seen:
    """Return where the reference points of places (K,3), on the ground, are in one image."""
    P, (height, width) = views.P[number], views.covered[number]
    ground = places @ P[:, :3].T + P[:, 3]
    across = ground[:, None] + heights_m[:, None] * P[:, 2]
    depth_m = across[..., 2]
    uv = across[..., :2] / depth_m.clamp(min=_NEAREST_M)[..., None]
    inside = (depth_m > _NEAREST_M) & (uv >= -0.5).all(dim=2)
    inside &= (uv[..., 0] < width - 0.5) & (uv[..., 1] < height - 0.5)
    return Seen(uv, depth_m, inside)


def evidence_at(seen: Seen, steps: Tensor, depth: Tensor) -> Tensor:
    """Return (K,J): probability that the image shows a thing at the distance of a reference point.

    Args:
        seen: reference points.
        steps: (K,J) their distances in steps, see `ImageConfig.depth_steps`.
        depth: (bins,H/8,W/8) probability of each step in the pixels of the finest map.
    """
    bins, height, width = depth.shape
    column = ((seen.uv[..., 0] + 0.5) / STRIDES[0]).long().clamp(0, width - 1)
    row = ((seen.uv[..., 1] + 0.5) / STRIDES[0]).long().clamp(0, height - 1)
    step = (steps - 0.5).clamp(0, bins - 1)
    lower = step.long().clamp(max=bins - 2)
    flat, pixel = depth.flatten(), row * width + column
    low, high = (flat[(lower + more) * (height * width) + pixel] for more in (0, 1))
    return torch.where(seen.is_inside, torch.lerp(low, high, step - lower), 0.0)


def place_numbers(places: Tensor) -> Tensor:
    """Return (K,5) what a network reads of places (K,3): x, y, distance, direction."""
    xy = places[:, :2]
    distance = xy.norm(dim=1, keepdim=True)
    return torch.cat([xy / _FAR_M, distance / _FAR_M, xy / distance.clamp(min=1e-3)], dim=1)
