"""Changed messages of all kinds, signed ones: no fault but MessageError, and no forgery is believed."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from cosense.messages.envelope import PayloadKind, decode
from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import hostile_messages

pytest.importorskip("cryptography", reason="signatures need the library cryptography")

HONEST = hostile_messages.honest(np.random.default_rng(0))
KINDS = {
    *(PayloadKind.DEMAND, PayloadKind.FEATURES, PayloadKind.OBJECTS),
    *(PayloadKind.SCENE_GRAPH, PayloadKind.POINTS),
}


def test_honest_messages_of_all_kinds_are_believed():
    assert {decode(data).kind for data in HONEST.messages} == KINDS
    found = {hostile_messages.outcome(data, HONEST) for data in HONEST.messages}
    assert found == {"read, honest after all"}


def test_no_changed_message_is_believed():
    rng = np.random.default_rng(1)
    outcomes: Counter[str] = Counter()
    for data in HONEST.messages * 60:
        # Raises where it is believed and says something else than an honest one.
        outcomes[hostile_messages.outcome(hostile_messages.mutated(data, HONEST.messages, rng), HONEST)] += 1
    # The changes reach what lies behind the checksum, and behind the signature.
    assert min(outcomes.values()) > sum(outcomes.values()) // 50
    assert len(outcomes) == 3
