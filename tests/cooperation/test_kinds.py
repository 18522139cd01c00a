from __future__ import annotations

import pytest

from cosense.cooperation.kinds import default_fusion, fusion_for, sent_kind
from cosense.cooperation.sender import check_budget
from cosense.errors import CosenseError
from cosense.messages.envelope import PayloadKind
from cosense.methods.model import load_model
from tests.nodes.tiny import write_model, write_sharing_model


def test_a_model_is_used_for_what_it_can(tmp_path):
    plain, sharing = write_model(tmp_path / "plain"), write_sharing_model(tmp_path / "sharing")
    assert (fusion_for(str(plain)), fusion_for(str(sharing))) == ("late", "hybrid")
    assert (default_fusion(load_model(plain)), default_fusion(load_model(sharing))) == ("late", "hybrid")
    assert sent_kind("hybrid", load_model(plain)) == PayloadKind.OBJECTS
    assert sent_kind("intermediate", load_model(sharing)) == PayloadKind.FEATURES
    assert sent_kind("late", load_model(sharing)) == PayloadKind.OBJECTS
    assert sent_kind("none", load_model(sharing)) is None


def test_budgets_are_held_against_what_is_sent():
    check_budget("unit", PayloadKind.OBJECTS, 110)
    with pytest.raises(CosenseError, match="an empty FEATURES message takes 108"):
        check_budget("unit", PayloadKind.FEATURES, 107)
    check_budget("unit", PayloadKind.FEATURES, None)
    check_budget("unit", None, 1)
