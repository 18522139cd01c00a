"""Any cell: what every rule has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from cosense.methods.selection.base import Candidates


def worth(cells: Candidates) -> Tensor:
    """Return a draw that the seed decides."""
    return torch.rand(cells.supply.shape, generator=torch.Generator().manual_seed(cells.seed))
