"""Intermediate fusion of whole levels in the ego's map: CoSDH's maximum, and attention as a baseline.

Fused_l = max_j M_j ⊙ warp(dec(z_j)), the ego's own level included (CoSDH, CVPR 2025). Levels are never
negative, so a cell that was not sent changes nothing. Published, the ego's own level passes the codec too;
here it does not, since the ego has it in full.

Attention: for each cell a softmax over the agents of q·k/sqrt(C), query the ego's own feature (AttFuse of
OPV2V, Xu et al., ICRA 2022; Where2comm's per-cell fusion with one head). We differ in that an agent that sent
nothing for a cell does not take part there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from cosense.geometry.transforms import Matrix
from cosense.sensing.grid import BevGrid


def warp(maps: Tensor, grid: BevGrid, T_sender_ego: Matrix) -> Tensor:
    """Return maps (C,H,W) of the sender as seen on the same grid of the ego; bilinear, zeros outside."""
    places = torch.from_numpy(grid.centres()).float()
    rotation = torch.from_numpy(T_sender_ego[:2, :2].copy()).float()
    there = places @ rotation.T + torch.from_numpy(T_sender_ego[:2, 3].copy()).float()
    low = there.new_tensor(grid.range_m[:2])
    extent = there.new_tensor(grid.range_m[3:5]) - low
    where = ((there - low) / extent * 2 - 1).to(maps.device)
    sampled = functional.grid_sample(maps[None], where[None], align_corners=False)
    return sampled[0]


def warp_levels(levels: Sequence[Tensor], grid: BevGrid, T_sender_ego: Matrix) -> list[Tensor]:
    """Return levels (1,C_l,H_l,W_l) of the sender as (C_l,H_l,W_l) in the ego frame.

    Args:
        levels: at strides 2, 4, 8, ... of the pillars.
        grid: cells of the pillars, in the frame of either agent.
        T_sender_ego: (4,4) maps the ego frame into the sender's.
    """
    return [
        warp(level[0], grid.coarser(2 ** (index + 1)), T_sender_ego) for index, level in enumerate(levels)
    ]


def fuse_maps(ego: Tensor, others: Sequence[Tensor], rule: Literal["max", "attention"]) -> Tensor:
    """Return (C,H,W) of the ego's map and those of the others, warped and zero where nothing was sent."""
    maps = torch.stack([ego, *others])
    if rule == "max":
        return maps.amax(dim=0)
    likeness = (maps * ego).sum(dim=1, keepdim=True) / ego.shape[0] ** 0.5
    silent = ~maps.any(dim=1, keepdim=True)
    silent[0] = False
    weights = torch.softmax(likeness.masked_fill(silent, -torch.inf), dim=0)
    return (weights * maps).sum(dim=0)
