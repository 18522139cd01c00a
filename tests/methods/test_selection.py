from __future__ import annotations

import pytest
import torch

from cosense.methods.selection import SELECTIONS, rank_cells

SUPPLY = torch.tensor([[0.9, 0.1, 0.5], [0.0, 0.7, 0.5]])
WANTED = torch.tensor([[False, True, True], [True, True, False]])
VALUE = torch.tensor([[1.0, 1.0, 0.2], [1.0, 0.1, 0.9]])


def ranked(selection, value=VALUE, *, least_supply=0.0, seed=0) -> list[int]:
    cells = rank_cells(
        selection,
        SUPPLY,
        WANTED,
        value,
        least_supply=least_supply,
        seed=seed,
    )
    return cells.tolist()


def test_ranked_is_by_value():
    # Of equals the first one goes first.
    assert ranked("ranked") == [0, 1, 3, 5, 2, 4]
    # Without an idea of values: 0, 0.1, 0.5 / 0, 0.7, 0.
    assert ranked("ranked", None) == [4, 2, 1, 0, 3, 5]


def test_confidence_is_supply_alone():
    assert ranked("confidence") == [0, 4, 2, 5, 1, 3]


@pytest.mark.parametrize(("least", "expected"), [(0.0, [4, 2, 1]), (0.1, [4, 2]), (0.7, [])])
def test_supply_demand_leaves_out_what_is_not_wanted_or_not_above_the_threshold(least, expected):
    # A cell at the threshold itself is not above it.
    threshold = float(torch.tensor(least))
    assert ranked("supply_demand", least_supply=threshold) == expected


def test_random_is_any_order_but_the_same_for_a_seed():
    assert sorted(ranked("random")) == list(range(6))
    assert ranked("random", seed=7) == ranked("random", seed=7)
    assert len({tuple(ranked("random", seed=seed)) for seed in range(20)}) > 10
    state = torch.get_rng_state()
    ranked("random")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_no_rule_offers_a_cell_twice(selection):
    cells = ranked(selection)
    assert len(set(cells)) == len(cells)
    assert set(cells) <= set(range(6))
