"""Supply alone, wherever the ego looks: Where2comm (Hu et al., NeurIPS 2022)."""

from __future__ import annotations

from torch import Tensor

from cosense.methods.selection.base import Candidates


def worth(cells: Candidates) -> Tensor:
    """Return the supply."""
    return cells.supply
