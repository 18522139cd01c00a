from __future__ import annotations

import dataclasses

import pytest
import torch

from cosense.detectors.base import BevFeatures
from cosense.errors import CosenseError
from cosense.methods.selection.base import Candidates, rank_cells, selection_names
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface

SUPPLY = torch.tensor([[0.9, 0.1, 0.5], [0.0, 0.7, 0.5]])
WANTED = torch.tensor([[False, True, True], [True, True, False]])
VALUE = torch.tensor([[1.0, 1.0, 0.2], [1.0, 0.1, 0.9]])


def encoding() -> BevFeatures:
    """Return a sender whose scores are those of `SUPPLY` and whose features do not differ anywhere."""
    return BevFeatures(
        levels=(),
        context=torch.ones(4, 2, 3),
        class_logits=torch.logit(SUPPLY)[None],
        box_codes=torch.zeros(10, 2, 3),
        point_counts=torch.ones(4, 6, dtype=torch.int64),
        grid=BevGrid((-1.2, -0.8, 0.0, 1.2, 0.8, 1.0), 0.4),
        ground=GroundSurface.level(0.0),
    )


CANDIDATES = Candidates(encoding(), 2, SUPPLY, WANTED, VALUE, least_supply=0.0, seed=0)


def ranked(selection, **changes) -> list[int]:
    return rank_cells(selection, dataclasses.replace(CANDIDATES, **changes)).tolist()


def test_ranked_is_by_value():
    # Of equals the first one goes first.
    assert ranked("ranked") == [0, 1, 3, 5, 2, 4]
    # Without an idea of values: 0, 0.1, 0.5 / 0, 0.7, 0.
    assert ranked("ranked", value=None) == [4, 2, 1, 0, 3, 5]


def test_confidence_is_supply_alone():
    assert ranked("confidence") == [0, 4, 2, 5, 1, 3]


def test_score_is_confidence_a_tenth_of_it_where_nobody_asked():
    # 0.09, 0.1, 0.5 / 0, 0.7, 0.05
    assert ranked("score", supply=torch.zeros(2, 3)) == [4, 2, 1, 0, 5, 3]


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


def test_a_rule_that_there_is_not_is_named():
    with pytest.raises(CosenseError, match="unknown selection 'rnked', did you mean 'ranked'"):
        ranked("rnked")


@pytest.mark.parametrize("selection", selection_names())
def test_no_rule_offers_a_cell_twice(selection):
    cells = ranked(selection)
    assert len(set(cells)) == len(cells)
    assert set(cells) <= set(range(6))
