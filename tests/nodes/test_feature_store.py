from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.messages.envelope import Message, PayloadKind
from cosense.nodes.feature_store import FeatureStore


def message(sequence: int, stamp_ns: int) -> Message:
    return Message(PayloadKind.OBJECTS, "ego", sequence, stamp_ns, np.eye(4), np.zeros((3, 3)), bytes(8), b"")


def test_features_are_found_by_their_message_once():
    store = FeatureStore(depth=2)
    store.put(7, 1000, "features")
    assert store.take(message(7, 1000)) == "features"
    with pytest.raises(CosenseError, match="the ego's features are not there"):
        store.take(message(7, 1000))


def test_features_of_another_recording_are_not_taken_for_those_of_this_one():
    store = FeatureStore(depth=2)
    store.put(7, 1000, "before")
    with pytest.raises(CosenseError, match="its message is not from this process"):
        store.take(message(7, 2000))


def test_the_oldest_make_room():
    store = FeatureStore(depth=2)
    for sequence in (1, 2, 3):
        store.put(sequence, 0, str(sequence))
    assert (store.take(message(2, 0)), store.take(message(3, 0))) == ("2", "3")
    with pytest.raises(CosenseError, match="more than 2 frames were waiting"):
        store.take(message(1, 0))
