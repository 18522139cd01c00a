"""Supply where there is demand, nothing else: CoSDH (Xu et al., CVPR 2025)."""

from __future__ import annotations

import torch
from torch import Tensor

from cosense.methods.selection.base import Candidates


def worth(cells: Candidates) -> Tensor:
    """Return the supply of the cells that are wanted and have more of it than the least."""
    return torch.where(cells.wanted & (cells.supply > cells.least_supply), cells.supply, -torch.inf)
