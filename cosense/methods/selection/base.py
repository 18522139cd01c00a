"""Which cells are worth their bytes, and in which order: a rule of any method, or one it is compared with.

A rule is a module of this package, found by its name (`--selection`); the module defines

    def worth(cells: Candidates) -> Tensor

which returns (H,W), larger where a cell is sent earlier and -inf where it is not sent at all. Any rule ranks
the cells of any method: each method says how sure the sender is of a cell and what the ego wants, and whoever
needs more looks at the sender's own encoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import cosense.methods.selection
from cosense import plugins
from cosense.detectors.base import BevFeatures


@dataclass(frozen=True)
class Candidates:
    """The cells of one layer that a sender could send.

    Attributes:
        own: the sender's encoding.
        stride: pillars per cell along one edge.
        supply: (H,W), how confident the sender is.
        wanted: (H,W) bool, where the ego wants to know more.
        value: (H,W), the method's own idea of what a cell is worth, given what is wanted; None for none.
        least_supply: below what supply the method sends nothing.
        seed: for rules that draw.
    """

    own: BevFeatures
    stride: int
    supply: Tensor
    wanted: Tensor
    value: Tensor | None
    least_supply: float
    seed: int


def selection_names() -> list[str]:
    """Return the names of all rules."""
    return plugins.names(cosense.methods.selection)


def find_selection(name: str) -> Callable[[Candidates], Tensor]:
    """Return the function of a rule.

    Raises:
        CosenseError: there is no rule of this name.
    """
    return plugins.function(plugins.load(cosense.methods.selection, name), "worth")


def rank_cells(selection: str, cells: Candidates) -> Tensor:
    """Return flat indices (K,) of the cells that may be sent, best first; of equals the first one.

    Raises:
        CosenseError: there is no such rule.
    """
    worth = find_selection(selection)(cells).flatten()
    order = torch.sort(worth, descending=True, stable=True).indices
    return order[worth[order] > -torch.inf]
