"""Maps of several agents to one, cell by cell.

max: what is strongest anywhere. Maps are never negative, so a cell that was not sent changes nothing.

attention: for each cell a softmax over the agents of q·k/sqrt(C), query the ego's own feature (AttFuse of
OPV2V, Xu et al., ICRA 2022; Where2comm's per-cell fusion with one head). We differ in that an agent that sent
nothing for a cell does not take part there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor


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
