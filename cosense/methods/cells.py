"""Cells that agents send each other: integers, placed in the ego's map and read in its axes.

- Numbers are integers on the wire, and training rounds them (straight-through), so nothing is rounded
  afterwards.
- Cells are placed, not sampled: each lands on the four cells around its exact place, so what moved is placed
  where it is by now, and a cell that was not sent takes no time.
- A latent that was written in the sender's axes is turned into the ego's: the matrix that reads it is
  W(θ) = W0 + cos θ W1 + sin θ W2 + cos 2θ W3 + sin 2θ W4, with θ the yaw between the two (steerable filters,
  Freeman & Adelson, 1991). Headings and offsets rotate with exactly these terms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.head import cell_centers
from cosense.geometry.transforms import Matrix
from cosense.sensing.grid import BevGrid

_STEERING_TERMS = 5


@dataclass(frozen=True)
class Cells:
    """Cells of one layer that one sender sent, at their places in the ego frame.

    Attributes:
        values: (K,C) float32.
        xy_m: (K,2) middles of the cells.
    """

    values: Tensor
    xy_m: Tensor

    def to(self, device: torch.device) -> Cells:
        return Cells(self.values.to(device), self.xy_m.to(device))


def rounded(latent: Tensor, bits: int) -> Tensor:
    """Return the nearest integers that `bits` hold in two's complement; gradients pass unchanged."""
    bounded = latent.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return bounded + (bounded.round() - bounded).detach()


def spread(cells: Cells, grid: BevGrid) -> Tensor:
    """Return (C,H,W): each row of `cells` on the four cells around its place, by nearness; elsewhere 0."""
    height, width = grid.shape
    origin = cells.xy_m.new_tensor(grid.range_m[:2])
    place = (cells.xy_m - origin) / grid.cell_m - 0.5
    low = torch.floor(place)
    rest = place - low
    column, row = low[:, 0].long(), low[:, 1].long()
    total = cells.values.new_zeros(height * width, cells.values.shape[1])
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (rest[:, 0] if dx else 1 - rest[:, 0]) * (rest[:, 1] if dy else 1 - rest[:, 1])
            inside = (column + dx >= 0) & (column + dx < width) & (row + dy >= 0) & (row + dy < height)
            index = ((row + dy) * width + column + dx)[inside]
            total = total.index_add(0, index, (cells.values * weight[:, None])[inside])
    return total.T.reshape(-1, height, width)


def cell_places(cells: Tensor, grid: BevGrid, T_ego_sender: Matrix) -> Tensor:
    """Return (K,2): where the middles of flat cells (K,) of the sender's grid lie in the ego frame."""
    rotation = torch.from_numpy(T_ego_sender[:2, :2].astype(np.float32))
    offset = torch.from_numpy(T_ego_sender[:2, 3].astype(np.float32))
    return cell_centers(cells, grid) @ rotation.T + offset


def look_up(cells: Tensor, places: Tensor, grid: BevGrid) -> Tensor:
    """Return (K,): the value of a map (H,W) of bools at places (K,2) in metres, False outside."""
    height, width = cells.shape
    column = torch.floor((places[:, 0] - grid.range_m[0]) / grid.cell_m).long()
    row = torch.floor((places[:, 1] - grid.range_m[1]) / grid.cell_m).long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = torch.where(inside, row * width + column, 0)
    return cells.flatten()[index] & inside


def steering(channels_in: int, channels_out: int, scale: float) -> nn.Parameter:
    """Return (terms,out,in + 1), last column for a constant 1: that a cell was sent is evidence itself.

    Args:
        channels_in: numbers of a cell.
        channels_out: numbers that are made of it.
        scale: magnitude of what is read.
    """
    weight = torch.randn(_STEERING_TERMS, channels_out, channels_in + 1) / (channels_in**0.5 * scale)
    weight[1:] *= 0.5
    return nn.Parameter(weight)


def steered(values: Tensor, weight: Tensor, yaw_rad: float) -> Tensor:
    """Return (K,out) of values (K,in), read by the matrix for this yaw and cut off at 0."""
    yaw = torch.tensor(yaw_rad, dtype=torch.float32)
    terms = torch.stack([torch.ones(()), yaw.cos(), yaw.sin(), (2 * yaw).cos(), (2 * yaw).sin()])
    matrix = torch.einsum("t,toi->oi", terms.to(weight), weight)
    return functional.linear(values, matrix[:, :-1], matrix[:, -1]).relu()
