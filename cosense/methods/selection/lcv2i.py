"""The vehicle's need times score times the root of the difference: the value of LCV2I.

That two regional maps, of scores and of differences, assess what is worth sending is the paper's (arXiv
2502.17039); that they are multiplied, the exponents and the need are ours: `cosense/methods/lcv2i/README.md`.
"""

from __future__ import annotations

from torch import Tensor

from cosense.methods.lcv2i.regional_maps import difference_of, need_of, regional, score_of
from cosense.methods.selection.base import Candidates

_DIFFERENCE_EXPONENT = 0.5


def worth(cells: Candidates) -> Tensor:
    """Return the value of each region."""
    difference = regional(difference_of(cells.own), cells.stride)
    score = regional(score_of(cells.own), cells.stride)
    return need_of(cells.wanted) * score.cpu() * difference.cpu() ** _DIFFERENCE_EXPONENT
