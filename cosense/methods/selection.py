"""Which cells are worth their bytes, and in which order: the product's rule and those it is compared with.

ranked         learned value: the product profile (`methods.patches.encoder`)
supply_demand  supply where there is demand, nothing else: CoSDH (CVPR 2025)
confidence     supply alone: Where2comm (NeurIPS 2022)
random         any cell
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Selection = Literal["ranked", "supply_demand", "confidence", "random"]
SELECTIONS: tuple[Selection, ...] = get_args(Selection)


def rank_cells(
    selection: Selection,
    supply: Tensor,
    wanted: Tensor,
    value: Tensor | None,
    *,
    least_supply: float,
    seed: int,
) -> Tensor:
    """Return flat indices (K,) of the cells of a map that may be sent, best first.

    Args:
        selection: the rule.
        supply: (H,W), how confident the sender is.
        wanted: (H,W) bool, where the ego cannot see.
        value: (H,W), how much a cell is expected to change at the receiver, given what is wanted; None for no
            idea: "ranked" is then supply where there is demand, and the rest after it.
        least_supply: "supply_demand": cells with less are not sent.
        seed: "random": decides the order.
    """
    allowed = torch.ones_like(wanted)
    if selection == "random":
        rank = torch.rand(supply.shape, generator=torch.Generator().manual_seed(seed))
    elif selection == "confidence":
        rank = supply
    elif selection == "supply_demand":
        rank, allowed = supply, wanted & (supply > least_supply)
    else:
        rank = supply * wanted if value is None else value
    order = torch.sort(rank.flatten(), descending=True, stable=True).indices
    return order[allowed.flatten()[order]]
