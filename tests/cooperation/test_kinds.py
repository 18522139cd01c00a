from __future__ import annotations

import pytest

from cosense.cooperation.kinds import check_message_budget, fusion_for, sends_features
from cosense.errors import CosenseError
from cosense.methods.model import load_model
from tests.nodes.tiny import write_model, write_sharing_model


def test_a_model_is_used_for_what_it_can(tmp_path):
    plain, sharing = write_model(tmp_path / "plain"), write_sharing_model(tmp_path / "sharing")
    assert (fusion_for(str(plain)), fusion_for(str(sharing))) == ("late", "hybrid")
    assert not sends_features("hybrid", load_model(plain))
    assert sends_features("intermediate", load_model(sharing))
    assert not sends_features("late", load_model(sharing))


def test_budgets_are_held_against_what_is_sent():
    check_message_budget("unit", 106, has_features=False)
    with pytest.raises(CosenseError, match="an empty FEATURES message takes 108"):
        check_message_budget("unit", 106, has_features=True)
    check_message_budget("unit", None, has_features=True)
