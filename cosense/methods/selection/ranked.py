"""The method's own learned value; without one supply where there is demand, and the rest after it."""

from __future__ import annotations

from torch import Tensor

from cosense.methods.selection.base import Candidates


def worth(cells: Candidates) -> Tensor:
    """Return the value, see `cosense.methods.patches.encoder`."""
    return cells.supply * cells.wanted if cells.value is None else cells.value
