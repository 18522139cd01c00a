from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from, transform_from_quaternion
from cosense.messages.envelope import (
    KINDS,
    MAX_PAYLOAD_BYTES,
    Message,
    MessageError,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
)

MESSAGE = Message(
    kind=PayloadKind.OBJECTS,
    sender="unit",
    sequence=7,
    stamp_ns=1_626_155_123_000_000_001,
    T_world_agent=transform_from(np.diag([-1, -1, 1]), [1.5, -2.0, 0.25]),
    pose_covariance=np.array([[0.25, 0.5, 0.0], [0.5, 4.0, 0.0], [0.0, 0.0, 0.125]]),
    fingerprint=b"\x01\x02\x03\x04\x05\x06\x07\x08",
    payload=b"\x00\x00",
)
# Written by hand from docs/wire_format.md. A change of this is a new version of the format.
GOLDEN = bytes.fromhex(
    "43534e53 02 03 00 04 756e6974"
    "07000000 01be18f877439116"
    "000000000000f83f 00000000000000c0 000000000000d03f"
    "00000000 00000000 0000803f 00000000"
    "0000803e 0000003f 00000000 00008040 00000000 0000003e"
    "0102030405060708 02000000 0000"
)


def sealed(data: bytes) -> bytes:
    """Append the right checksum, so that the fault behind it is what decode meets."""
    return data + struct.pack("<I", zlib.crc32(data))


def edited(offset: int, replacement: bytes) -> bytes:
    body = bytearray(GOLDEN)
    body[offset : offset + len(replacement)] = replacement
    return sealed(bytes(body))


def assert_same(a: Message, b: Message) -> None:
    for field in dataclasses.fields(Message):
        if field.name == "T_world_agent":
            np.testing.assert_allclose(a.T_world_agent[:3, :3], b.T_world_agent[:3, :3], atol=1e-6)
            np.testing.assert_array_equal(a.T_world_agent[:, 3], b.T_world_agent[:, 3])
        else:
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_golden_bytes():
    assert encode(MESSAGE) == sealed(GOLDEN)
    assert len(sealed(GOLDEN)) == envelope_bytes("unit") + 2 == 106
    assert_same(decode(sealed(GOLDEN)), MESSAGE)


def test_signature_is_carried_behind_the_payload():
    signed = dataclasses.replace(MESSAGE, signature=b"s" * 64)
    data = encode(signed)
    assert len(data) == len(encode(MESSAGE)) + 65
    assert data[6] == 1
    assert_same(decode(data), signed)


numbers = st.floats(-1e6, 1e6)
messages = st.builds(
    Message,
    kind=st.sampled_from(list(KINDS)),
    sender=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8),
    sequence=st.integers(0, 2**32 - 1),
    stamp_ns=st.integers(-(2**63), 2**63 - 1),
    T_world_agent=st.builds(
        transform_from_quaternion,
        st.tuples(numbers, numbers, numbers),
        st.tuples(*[st.floats(-1, 1, width=32)] * 3, st.just(1.0)),
    ),
    pose_covariance=st.builds(
        lambda xx, xy, yy: np.array([[xx, xy, 0], [xy, yy, 0], [0, 0, 0.5]]),
        *[st.floats(0, 100, width=32)] * 3,
    ),
    fingerprint=st.binary(min_size=8, max_size=8),
    payload=st.binary(max_size=200),
    signature=st.binary(max_size=255),
)


@given(messages)
def test_round_trip(message):
    assert_same(decode(encode(message)), message)


@given(messages)
def test_rewriting_what_was_read_gives_the_same_pose(message):
    once = decode(encode(message))
    assert_same(decode(encode(once)), once)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "message has 0 bytes"),
        (GOLDEN[:50], "message has 50 bytes, expected 101"),
        (edited(0, b"XXXX"), "magic is b'XXXX', expected b'CSNS'"),
        (edited(4, b"\x01"), "version is 1, expected 2"),
        (GOLDEN + b"\x00\x00\x00\x00", "CRC is 00000000"),
        (edited(5, b"\x09"), "kind is 9"),
        (edited(6, b"\x82"), "flags are 0x82"),
        (edited(7, b"\x00"), "sender has 0 bytes"),
        (edited(7, b"\x20"), "106 bytes, expected at least 132: its sender has 32 bytes"),
        (edited(7, b"\xff"), "sender has 255 bytes, expected 1 to 32"),
        (edited(8, b"\xff\xfe"), "sender is not UTF-8"),
        (edited(8, b"\x1b[2J"), "cannot be printed"),
        (edited(24, struct.pack("<d", np.inf)), "translation .* is not finite"),
        (edited(24, struct.pack("<d", 1e9)), "translation .* is not finite and within 1e.08 m"),
        (edited(48, struct.pack("<4f", 0, 0, 1, 1)), "norm 1.41421, expected 1"),
        (edited(48, struct.pack("<f", np.nan)), "quaternion .* norm nan"),
        (edited(64, struct.pack("<f", -1)), "covariance .* diagonal >= 0"),
        (edited(64, struct.pack("<f", np.inf)), "covariance .* is not finite"),
        (
            edited(96, struct.pack("<I", 0xFFFFFFFF)),
            "4294967295 bytes, the limit of OBJECTS",
        ),
        (edited(96, struct.pack("<I", 3)), "payload is said to have 3 bytes, the message has 2"),
        (edited(96, struct.pack("<I", 1)), r"1 \+ 0 bytes, the message has 2"),
        (sealed(GOLDEN + b"trailing"), r"2 \+ 0 bytes, the message has 10"),
        (edited(6, b"\x01"), "payload is said to have 2 bytes, the message has 2"),
        (sealed(GOLDEN[:6] + b"\x01" + GOLDEN[7:] + b"\x00"), "signature is announced"),
        (sealed(GOLDEN[:6] + b"\x01" + GOLDEN[7:] + b"\x05abc"), r"2 \+ 5 bytes, the message has 6"),
    ],
)
def test_faults_are_named(data, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode(data)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"sender": ""}, "sender has 0 bytes"),
        ({"sender": "ü" * 17}, "sender has 34 bytes"),
        ({"sequence": -1}, "sequence -1"),
        ({"stamp_ns": 2**63}, "stamp 9223372036854775808"),
        ({"fingerprint": b"short"}, "fingerprint has 5 bytes, expected 8"),
        (
            {"payload": bytes(MAX_PAYLOAD_BYTES + 1)},
            "payload has 4194305 bytes, the limit of OBJECTS",
        ),
        ({"signature": bytes(256)}, "signature has 256 bytes"),
        ({"T_world_agent": np.full((4, 4), np.nan)}, "not finite"),
        ({"pose_covariance": np.diag([1.0, -1.0, 1.0])}, "diagonal >= 0"),
        ({"pose_covariance": np.eye(3) * 1e39}, "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused(change, complaint):
    with pytest.raises(MessageError, match=complaint):
        encode(dataclasses.replace(MESSAGE, **change))


@given(st.data())
def test_changed_bytes_are_refused_or_read(data):
    """With a right checksum every field is reached: nothing but MessageError may come out."""
    body = bytearray(encode(dataclasses.replace(MESSAGE, signature=b"sig"))[:-4])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for candidate in (sealed(bytes(body)), sealed(bytes(body[:cut]))):
        try:
            message = decode(candidate)
        except MessageError:
            continue
        assert np.isfinite(message.T_world_agent).all()
        assert len(message.payload) + len(message.signature) < len(candidate)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data):
    with pytest.raises(MessageError):
        decode(data)
