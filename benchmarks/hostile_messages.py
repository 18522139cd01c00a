"""Changed messages of all kinds, signed ones: `python benchmarks/hostile_messages.py --count 1000000`.

Each starts from an honest signed one, whole or cut on its way, and is changed where a format can go wrong:
lengths and counts, special numbers, records that are moved, doubled or left out, parts of other messages,
signatures of every length. The checksum is mended, so that what lies behind it is reached. Nothing but
`MessageError` may come of reading it, and nobody may believe it unless it is the honest message, or what
somebody may leave of it.
"""

from __future__ import annotations

import argparse
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from timing import write

from cosense.cooperation.admission import receive
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.chunks import LayerSpec, Section
from cosense.messages.demand import DemandMap, encode_demand
from cosense.messages.envelope import KINDS, Message, MessageError, PayloadKind, decode, encode
from cosense.messages.features import encode_features, segments, truncate
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import encode_objects
from cosense.messages.points import encode_points
from cosense.messages.scene_graph import NodeClass, SceneGraph, encode_scene_graph
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.membership import Membership
from cosense.trust.identity.roster import Member, Roster

SPECS = (LayerSpec(4, 8, 4), LayerSpec(8, 4, 2), LayerSpec(16, 2, 16, dense=True))
SHAPE = (64, 64)
# Without the letters of the name: behind which byte the header of a message ends, and what its fields are.
HEADER_BYTES, NAME_AT = 96, 7
SPECIAL_FLOATS = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-320, 1e8, 1e300, -1e38)
SIGNATURE_LENGTHS = (0, 1, 63, 64, 65, 79, 80, 81, 96, 255)

Mutation = Callable[[bytearray, np.random.Generator, Sequence[bytes]], bytearray]


@dataclass(frozen=True)
class Honest:
    """What is sent without a lie: a signed message of each kind, FEATURES whole and cut, and whose keys."""

    messages: Sequence[bytes]
    roster: Roster


def honest(rng: np.random.Generator) -> Honest:
    """Return messages of two agents."""
    signers = {name: Signer.generate() for name in ("car", "roadside unit")}
    rows = (Member(name, str(signer.public_key)) for name, signer in signers.items())
    messages = []
    for number, (name, signer) in enumerate(signers.items()):
        for kind, payload in payloads(rng).items():
            pose = transform_from_planar(5.0, 6.0, 0.7)
            said = Message(kind, name, number, 10**18, pose, np.eye(3), b"12345678", payload)
            messages.append(signer.sign(encode(said)))
        whole = next(data for data in reversed(messages) if decode(data).kind is PayloadKind.FEATURES)
        messages += [truncate(whole, len(whole) - cut) for cut in (30, 150, len(whole) - 260)]
    return Honest(messages, Roster(tuple(rows)))


def payloads(rng: np.random.Generator) -> Mapping[PayloadKind, bytes]:
    """Return one payload of each kind, with a few of everything that it can hold."""
    places = np.column_stack([rng.uniform(-40, 40, (6, 2)), np.zeros(6)])
    boxes = np.column_stack([places, np.tile([4.5, 1.8, 1.5, 0.3], (6, 1))])
    found = Detections(
        boxes, np.linspace(0.9, 0.2, 6, dtype=np.float32), np.zeros(6, np.int64), np.zeros(6, np.uint8)
    )
    sections = [
        Section(0, np.arange(0, 200, 2), rng.integers(-7, 7, (100, 8)).astype(np.int8)),
        Section(1, np.arange(40), rng.integers(-2, 2, (40, 4)).astype(np.int8)),
        Section(2, np.arange(16), rng.normal(0, 1, (16, 2)).astype(np.float16)),
    ]
    graph = SceneGraph(
        *("car", 0, np.eye(4), np.eye(3), np.arange(6), np.full(6, NodeClass.POLE, np.int64)),
        *(
            places,
            np.full((6, 3), 0.3),
            np.full(6, np.nan),
            np.zeros((6, 2)),
            np.full(6, 0.1),
            np.full(6, 0.8),
        ),
    )
    grid = BevGrid((-16.0, -16.0, 0.0, 16.0, 16.0, 1.0), 1.0)
    wanted = DemandMap("car", 0, np.eye(4), grid, rng.random(grid.shape) < 0.3)
    return {
        PayloadKind.DEMAND: encode_demand(wanted, 200),
        PayloadKind.FEATURES: encode_features(
            -1.7, LateBoxes(found, np.zeros((6, 2))), sections, SPECS, 1 << 16
        ),
        PayloadKind.OBJECTS: encode_objects(found),
        PayloadKind.SCENE_GRAPH: encode_scene_graph(graph),
        PayloadKind.POINTS: encode_points(rng.normal(0, 10, (50, 4)).astype(np.float32)),
    }


def mutated(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Return a message with one to three changes and, nearly always, the right checksum."""
    body = bytearray(data[:-4])
    for _ in range(rng.integers(1, 4)):
        body = MUTATIONS[rng.integers(len(MUTATIONS))](body, rng, others)
    crc = zlib.crc32(body) if rng.random() < 0.97 else int(rng.integers(1 << 32))
    return bytes(body) + struct.pack("<I", crc)


def _header_bytes(body: bytearray) -> int:
    return HEADER_BYTES + (body[NAME_AT] if len(body) > NAME_AT else 0)


def _flip(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Change one byte anywhere."""
    if body:
        body[rng.integers(len(body))] ^= 1 << rng.integers(8)
    return body


def _header_field(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Set one field of the envelope to something special."""
    end = _header_bytes(body)
    place, layout, value = (
        (4, "<B", rng.integers(256)),
        (5, "<B", rng.integers(8)),
        (6, "<B", rng.integers(4)),
        (NAME_AT, "<B", rng.integers(40)),
        (end - 88, "<I", rng.integers(1 << 32)),
        (end - 84, "<q", rng.choice([0, -(1 << 63), (1 << 63) - 1, 10**18 + 1])),
        (end - 76 + 8 * rng.integers(3), "<d", rng.choice(SPECIAL_FLOATS)),
        (end - 52 + 4 * rng.integers(10), "<f", np.clip(rng.choice(SPECIAL_FLOATS), -3e38, 3e38)),
        (end - 4, "<I", rng.choice([0, 1, len(body), 1 << 22, (1 << 32) - 1])),
    )[rng.integers(9)]
    return _set(body, int(place), struct.pack(layout, value.item()))


def _count(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Set a number of the payload near where counts and lengths of its kinds stand."""
    place = _header_bytes(body) + int(rng.integers(12))
    value = int(rng.choice([0, 1, 2, 5, 7, 255, 256, 512, 513, 1024, 65535]))
    return _set(body, place, struct.pack("<H", value))


def _record(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Leave out, double or move as many bytes as a record has, and mend the length of the payload or not."""
    start = _header_bytes(body)
    size = int(rng.choice([1, 6, 13, 17, 18]))
    if start + size >= len(body):
        return body
    at = int(rng.integers(start, len(body) - size))
    record = body[at : at + size]
    action = rng.integers(3)
    if action < 2:
        del body[at : at + size]
    if action > 0:
        there = int(rng.integers(start, len(body) + 1))
        body[there:there] = record
    change = (-size, 0, size)[action] if rng.random() < 0.8 else 0
    said = int.from_bytes(body[start - 4 : start], "little") + change
    return _set(body, start - 4, struct.pack("<I", max(said, 0) % (1 << 32)))


def _splice(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Put the beginning of this message before the end of another one."""
    other = others[rng.integers(len(others))][:-4]
    place = int(rng.choice([5, 6, _header_bytes(body), int(rng.integers(len(body) + 1))]))
    return body[:place] + other[place:]


def _signature(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Replace what stands behind the payload: another length, another message's, another link, nothing."""
    start = _header_bytes(body)
    end = start + int.from_bytes(body[start - 4 : start], "little")
    if not start <= end < len(body):
        return body
    present = body[end + 1 :]
    action = rng.integers(4)
    if action == 0:
        size = int(rng.choice(SIGNATURE_LENGTHS))
        present = bytearray(rng.bytes(size)) if rng.random() < 0.5 else (present * 4)[:size]
    elif action == 1:
        present = bytearray(decode(others[rng.integers(len(others))]).signature)
    elif action == 2:
        present = present[:64] + (bytes(16) if rng.random() < 0.5 else rng.bytes(16))
    else:
        return _set(body[:end], 6, b"\x00")
    return _set(body[:end] + bytes([len(present)]) + present, 6, b"\x01")


def _cut(body: bytearray, rng: np.random.Generator, others: Sequence[bytes]) -> bytearray:
    """Take away the end."""
    return body[: int(rng.integers(len(body) + 1))]


def _set(body: bytearray, place: int, value: bytes) -> bytearray:
    if place >= 0 and place + len(value) <= len(body):
        body[place : place + len(value)] = value
    return body


MUTATIONS: Sequence[Mutation] = (_flip, _header_field, _count, _record, _splice, _signature, _cut)


def is_left_of(data: bytes, whole: Message) -> bool:
    """Return whether a message is an honest one from whose end nothing or something was cut."""
    said = decode(data)
    same = (said.kind, said.sender, said.sequence, said.stamp_ns, said.fingerprint) == (
        *(whole.kind, whole.sender, whole.sequence, whole.stamp_ns, whole.fingerprint),
    )
    if not same or not np.array_equal(said.T_world_agent, whole.T_world_agent):
        return False
    if not np.array_equal(said.pose_covariance, whole.pose_covariance):
        return False
    if whole.kind is not PayloadKind.FEATURES:
        return said.payload == whole.payload
    parts = segments(said.payload)
    return parts == segments(whole.payload)[: len(parts)]


def outcome(data: bytes, honest: Honest) -> str:
    """Read a message as the fusion does, and return what becomes of it.

    Raises:
        AssertionError: it was believed and is none of the honest ones.
    """
    try:
        message = decode(data)
        content = KINDS[message.kind].decode(message)
        if message.kind is PayloadKind.FEATURES:
            content.layers(SPECS, SHAPE)
        read = "read"
    except MessageError:
        read = "not read"
    received = receive(data, Membership(honest.roster))
    if received.message is None:
        return f"{read}, refused"
    if data not in honest.messages:
        assert any(is_left_of(data, decode(whole)) for whole in honest.messages), data.hex()
    return f"{read}, honest after all"


def main() -> None:
    """Try so many and say what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    start = honest(rng)
    assert {outcome(data, start) for data in start.messages} == {"read, honest after all"}
    counts: Counter[str] = Counter()
    slowest_ms = 0.0
    begun_s = time.process_time()
    for number in range(given.count):
        data = mutated(start.messages[number % len(start.messages)], start.messages, rng)
        before_s = time.thread_time()
        counts[outcome(data, start)] += 1
        slowest_ms = max(slowest_ms, 1e3 * (time.thread_time() - before_s))
    rows = [{"outcome": name, "messages": count} for name, count in counts.most_common()]
    rows.append({"outcome": "all", "messages": given.count, "slowest_ms": slowest_ms})
    rows[-1]["processor_s"] = time.process_time() - begun_s
    write("hostile_messages", rows)


if __name__ == "__main__":
    main()
