"""The vehicle's need times score: the value of LCV2I without its difference map, to compare with."""

from __future__ import annotations

from torch import Tensor

from cosense.methods.lcv2i.regional_maps import need_of, regional, score_of
from cosense.methods.selection.base import Candidates


def worth(cells: Candidates) -> Tensor:
    """Return need times score of each region."""
    return need_of(cells.wanted) * regional(score_of(cells.own), cells.stride).cpu()
