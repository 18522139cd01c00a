"""Which bytes a signature covers, also of messages that were cut on their way."""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from itertools import pairwise

import numpy as np
import pytest

from cosense.messages.chunks import LayerSpec, Section
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode, encode
from cosense.messages.features import cuts, encode_features, segments, truncate
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.signatures import signed, signed_part
from cosense.sensing.detections import Detections

SPECS = (LayerSpec(4, 3, 4), LayerSpec(8, 2, 2))


def late_boxes(count: int) -> LateBoxes:
    found = np.column_stack([np.arange(count), np.zeros((count, 2)), np.full((count, 4), 2.0)])
    detections = Detections(
        found, np.full(count, 0.5, np.float32), np.zeros(count, np.int64), np.zeros(count, np.uint8)
    )
    return LateBoxes(detections, np.full((count, 2), np.nan))


def message(kind: PayloadKind, payload: bytes) -> bytes:
    return encode(Message(kind, "unit", 7, 1234, np.eye(4), np.zeros((3, 3)), bytes(8), payload))


def features(box_count: int = 3, cells: int = 100) -> bytes:
    rng = np.random.default_rng(3)
    offered = [
        Section(layer, np.arange(cells), rng.integers(-2, 2, (cells, spec.channels)).astype(np.int8))
        for layer, spec in enumerate(SPECS)
    ]
    return message(
        PayloadKind.FEATURES, encode_features(-1.7, late_boxes(box_count), offered, SPECS, 1 << 20)
    )


def signature_of(covered: bytes) -> bytes:
    """Stand in for Ed25519: the same for the same bytes, 64 bytes long."""
    return hashlib.sha512(covered).digest()


def is_good(data: bytes) -> bool:
    signature, covered = signed_part(data, decode(data))
    return signature == signature_of(covered)


def test_a_signature_covers_everything_before_it():
    plain = message(PayloadKind.OBJECTS, b"\x00\x00\x00\x00\x00\x00")
    seen = []
    data = signed(plain, lambda covered: seen.append(covered) or b"s" * 64)
    assert len(data) == len(plain) + 65
    # The flag says that it is signed; behind it come its length, itself and the checksum.
    assert seen == [plain[:6] + b"\x01" + plain[7:-4]] == [data[: -4 - 65]]
    assert signed_part(data, decode(data)) == (b"s" * 64, seen[0])


def test_of_what_may_be_cut_it_covers_the_header_and_a_chain_over_the_parts():
    plain = features()
    seen = []
    data = signed(plain, lambda covered: seen.append(covered) or b"s" * 64)
    payload = decode(plain).payload
    boxes_end = 4 + 3 * 13
    chunks = [boxes_end + end for end in (0, *(cut - boxes_end for cut in cuts(payload) if cut > boxes_end))]
    parts = [b"g" + payload[:2]]
    parts += [b"b" + payload[start : start + 13] for start in range(4, boxes_end, 13)]
    parts += [b"c" + payload[a:b] for a, b in pairwise(chunks)]
    assert segments(payload) == parts
    link = bytes(16)
    for part in reversed(parts):
        link = hashlib.sha256(part + link).digest()[:16]
    header = data[: 96 + 4]
    assert seen == [header[:-4] + bytes(4) + link]


def test_a_message_that_is_cut_anywhere_and_again_keeps_its_signature():
    whole = signed(features(cells=128), signature_of)
    assert is_good(whole)
    lengths = set()
    shorter = whole
    for budget in range(len(whole) + 20, 190, -5):
        once = truncate(whole, budget)
        assert once == truncate(shorter, budget)
        assert len(once) <= budget
        shorter = once
        if len(once) not in lengths:
            lengths.add(len(once))
            assert is_good(once)
            assert len(decode(once).signature) == (64 if once == whole else 80)
    assert len(lengths) == len(cuts(decode(whole).payload))


@pytest.mark.parametrize("cut_bytes", [0, 200])
def test_nothing_else_of_a_message_can_be_changed(cut_bytes):
    whole = signed(features(), signature_of)
    data = truncate(whole, len(whole) - cut_bytes)
    said = decode(data)
    payload = bytearray(said.payload)
    for at in range(len(payload)):
        changed = bytes(payload[:at]) + bytes([payload[at] ^ 1]) + bytes(payload[at + 1 :])
        try:
            assert not is_good(encode(dataclasses.replace(said, payload=changed))), at
        except MessageError:
            continue
    (count,) = struct.unpack_from("<H", payload, 2)
    swapped = payload[:4] + payload[17:30] + payload[4:17] + payload[30:]
    fewer = payload[:2] + struct.pack("<H", count - 1) + payload[4 : 4 + 13 * (count - 1)]
    for forged in (swapped, fewer, payload[:-10]):
        try:
            assert not is_good(encode(dataclasses.replace(said, payload=bytes(forged))))
        except MessageError:
            continue
    for field, value in (("sender", "limo"), ("sequence", 8), ("stamp_ns", 1), ("fingerprint", b"87654321")):
        assert not is_good(encode(dataclasses.replace(said, **{field: value})))


@pytest.mark.parametrize(
    ("kind", "payload", "signature", "complaint"),
    [
        (PayloadKind.OBJECTS, bytes(6), b"", "it is not signed"),
        (PayloadKind.OBJECTS, bytes(6), b"s" * 63, "its signature has 63 bytes, expected 64, or 80 if cut"),
        (PayloadKind.OBJECTS, bytes(6), b"s" * 80, "of a message that was cut, and OBJECTS never is"),
        (PayloadKind.FEATURES, bytes(3), b"s" * 64, "features have 3 bytes, expected at least 4"),
        (PayloadKind.FEATURES, bytes(4 + 6 * 513), b"s" * 64, "features have more than 512 chunks"),
    ],
)
def test_what_is_no_signature_is_named(kind, payload, signature, complaint):
    data = encode(dataclasses.replace(decode(message(kind, payload)), signature=signature))
    with pytest.raises(MessageError, match=complaint):
        signed_part(data, decode(data))
