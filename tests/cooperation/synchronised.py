"""Messages of a few bytes, and a synchroniser that waits for some senders."""

from __future__ import annotations

import numpy as np

from cosense.cooperation.admission import Received, receive
from cosense.cooperation.gate import Window
from cosense.cooperation.peers import SynchroniserSettings
from cosense.cooperation.synchroniser import Collection, Synchroniser
from cosense.messages.envelope import Message, PayloadKind, encode

MS = 1_000_000
SETTINGS = SynchroniserSettings(timeout_ms=100.0, sync_tolerance_ms=50.0, misses_until_silent=3, max_open=2)
WINDOW = Window(max_age_ms=150.0, max_ahead_ms=100.0, max_senders=3, kinds=(PayloadKind.OBJECTS,))


def message(sender: str, stamp_ms: int, sequence: int = 0) -> bytes:
    fingerprint, payload = bytes(8), b"\0\0"
    return encode(
        Message(
            PayloadKind.OBJECTS,
            sender,
            sequence,
            stamp_ms * MS,
            np.eye(4),
            np.zeros((3, 3)),
            fingerprint,
            payload,
        )
    )


def is_graph(received: Received) -> bool:
    return received.message is not None and received.message.kind is PayloadKind.SCENE_GRAPH


def messages_of(collection: Collection) -> list[Received]:
    return [received for received in collection.received if not is_graph(received)]


def graphs_of(collection: Collection) -> list[Received]:
    return [received for received in collection.received if is_graph(received)]


def assert_received(received: list[Received], *expected: bytes) -> None:
    """Compare what was kept with the bytes that came: poses are arrays, so field by field."""
    assert [item.bytes for item in received] == [len(data) for data in expected]
    for item, data in zip(received, expected, strict=True):
        wanted = receive(data)
        assert item.fault == wanted.fault
        if item.message is not None:
            assert wanted.message is not None
            assert encode(item.message) == encode(wanted.message)


def waiting_for(*peers: str) -> Synchroniser:
    return Synchroniser(peers, SETTINGS, WINDOW)
