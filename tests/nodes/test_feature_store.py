from __future__ import annotations

import pytest

from cosense.errors import CosenseError
from cosense.nodes.feature_store import FeatureStore


def test_features_are_found_by_their_message_once():
    store = FeatureStore(depth=2)
    store.put(b"first", "features")
    assert store.take(b"first") == "features"
    with pytest.raises(CosenseError, match="the ego's features are not there"):
        store.take(b"first")


def test_the_oldest_make_room():
    store = FeatureStore(depth=2)
    for message in (b"1", b"2", b"3"):
        store.put(message, message.decode())
    assert (store.take(b"2"), store.take(b"3")) == ("2", "3")
    with pytest.raises(CosenseError, match="more than 2 frames were waiting"):
        store.take(b"1")
