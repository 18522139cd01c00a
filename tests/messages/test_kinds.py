"""The registry of kinds: what holds for all of them, and a kind of somebody else."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import (
    KINDS,
    MAX_PAYLOAD_BYTES,
    Codec,
    Message,
    PayloadKind,
    decode,
    encode,
    register,
)
from cosense.messages.fields import MessageError
from cosense.plugins import VARIABLE
from tests.messages import test_demand, test_features, test_objects, test_points, test_scene_graph

GOLDEN = [
    (PayloadKind.DEMAND, test_demand.GOLDEN),
    (PayloadKind.FEATURES, test_features.GOLDEN),
    (PayloadKind.OBJECTS, test_objects.GOLDEN),
    (PayloadKind.POINTS, test_points.GOLDEN),
    (PayloadKind.SCENE_GRAPH, test_scene_graph.GOLDEN),
]


def message(kind: PayloadKind, payload: bytes) -> Message:
    pose = transform_from_planar(1.0, 2.0, 0.3)
    return Message(kind, "unit", 7, 8, pose, np.diag([0.1, 0.2, 0.3]), bytes(8), payload)


def test_numbers_never_change():
    assert {kind.name: kind.number for kind in KINDS} == {
        "DEMAND": 1,
        "FEATURES": 2,
        "OBJECTS": 3,
        "SCENE_GRAPH": 4,
        "POINTS": 5,
    }
    assert {kind for kind, _ in GOLDEN} == set(KINDS)


@pytest.mark.parametrize(("kind", "payload"), GOLDEN)
def test_what_was_read_is_written_with_the_same_bytes(kind, payload):
    received = decode(encode(message(kind, payload)))
    assert received.kind is kind
    codec = KINDS[kind]
    assert codec.encode(codec.decode(received)) == payload


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(GOLDEN), st.data())
def test_changed_bytes_are_refused_or_read_and_written_again(golden, data):
    kind, payload = golden
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)))
    codec = KINDS[kind]
    for candidate in (
        bytes(changed),
        bytes(changed[:cut]),
        bytes(changed) + data.draw(st.binary(max_size=9)),
    ):
        try:
            content = codec.decode(message(kind, candidate))
        except MessageError:
            continue
        written = codec.encode(content)
        assert len(written) <= codec.max_bytes
        assert codec.encode(codec.decode(message(kind, written))) == written


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_payload_longer_than_its_kind_allows_is_neither_written_nor_read(kind):
    limit_bytes = KINDS[kind].max_bytes
    assert limit_bytes <= MAX_PAYLOAD_BYTES
    encode(message(kind, bytes(limit_bytes)))
    with pytest.raises(MessageError, match=f"limit of {kind.name} is {limit_bytes}"):
        encode(message(kind, bytes(limit_bytes + 1)))


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (PayloadKind(3, "TRACKS"), "is taken by .*OBJECTS"),
        (PayloadKind(77, "OBJECTS"), "is taken by .*OBJECTS"),
        (PayloadKind(0, "TRACKS"), "TRACKS is 0, expected 1 to 255"),
        (PayloadKind(256, "TRACKS"), "TRACKS is 256, expected 1 to 255"),
    ],
)
def test_a_kind_that_cannot_be_registered_is_refused(kind, complaint):
    with pytest.raises(ValueError, match=complaint):
        register(kind, Codec(bytes, lambda received: received.payload, 10))


HELLO = """
from cosense.messages.envelope import Codec, PayloadKind, register

HELLO = PayloadKind(200, "HELLO")
register(HELLO, Codec(str.encode, lambda message: message.payload.decode(), max_bytes=16))
"""
SAY_HELLO = """
import numpy as np
from cosense.messages.envelope import KINDS, Message, decode, encode
(kind,) = (kind for kind in KINDS if kind.name == "HELLO")
payload = KINDS[kind].encode("good morning")
data = encode(Message(kind, "unit", 0, 0, np.eye(4), np.eye(3), bytes(8), payload))
received = decode(data)
print(received.kind.name, KINDS[received.kind].decode(received), data.hex())
"""


def test_a_kind_outside_of_the_package_is_one_file(tmp_path):
    (tmp_path / "messages").mkdir()
    (tmp_path / "messages" / "hello.py").write_text(HELLO)
    environment = {**os.environ, VARIABLE: str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", SAY_HELLO], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("HELLO good morning ")
    # Who does not have the file refuses the message and says of which kind it is.
    with pytest.raises(MessageError, match=r"kind is 200, expected one of \[1, 2, 3, 4, 5\]"):
        decode(bytes.fromhex(said.split()[-1]))
