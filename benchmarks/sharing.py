"""Writing, reading and merging messages: `python benchmarks/sharing.py`."""

from __future__ import annotations

import numpy as np
from timing import measure, write

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, OwnView
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.chunks import LayerSpec, Section
from cosense.messages.envelope import Message, PayloadKind, decode, encode
from cosense.messages.features import encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import MAX_OBJECTS, decode_objects, encode_objects
from cosense.messages.points import decode_points, encode_points
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.levelling import levelled
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.membership import Membership
from cosense.trust.identity.roster import Member, Roster

POINTS = 60_000


def found(count: int, rng: np.random.Generator) -> Detections:
    """Return random cars."""
    boxes = np.column_stack(
        [
            rng.uniform(-100, 100, (count, 2)),
            np.zeros(count),
            np.tile([4.5, 1.8, 1.5], (count, 1)),
            rng.uniform(-3, 3, count),
        ]
    )
    scores = np.sort(rng.random(count).astype(np.float32))[::-1]
    return Detections(boxes, scores, np.zeros(count, np.int64), np.zeros(count, np.uint8))


def main() -> None:
    """Measure what the life of a message costs."""
    rng = np.random.default_rng(0)
    ring = np.linspace(0, 2 * np.pi * 40, POINTS)
    distance = 20 + 10 * np.sin(3 * ring) + rng.normal(0, 0.02, POINTS)
    cloud = np.column_stack(
        [distance * np.cos(ring), distance * np.sin(ring), ring / 100 - 2, rng.random(POINTS)]
    ).astype(np.float32)

    def message(name: str, kind: PayloadKind, payload: bytes) -> bytes:
        pose = transform_from_planar(5, 6, 0.7)
        return encode(Message(kind, name, 0, 0, pose, np.zeros((3, 3)), bytes(8), payload))

    def boxes(name: str, count: int) -> bytes:
        return message(name, PayloadKind.OBJECTS, encode_objects(found(count, rng)))

    def all_points() -> bytes:
        return message("unit", PayloadKind.POINTS, encode_points(cloud))

    def features() -> bytes:
        """Return what a budget of 2 kB is filled with: 30 boxes and cells of 16 channels, 4 bits each."""
        spec = LayerSpec(4, 16, 4)
        late = LateBoxes(found(30, rng), np.full((30, 2), np.nan))
        section = Section(0, np.arange(2000), rng.integers(-8, 8, (2000, 16)).astype(np.int8))
        payload = encode_features(-1.7, late, [section], [spec], 2000 - 169)
        return message("unit", PayloadKind.FEATURES, payload)

    points, objects = all_points(), boxes("unit", 50)
    peers = [boxes(f"unit{number}", 50) for number in range(4)]
    five = [boxes(f"unit{number}", 30) for number in range(5)]
    flood = [boxes(f"unit{number}", MAX_OBJECTS) for number in range(16)]
    frame = levelled(AgentFrame("unit", "vehicle", 0, np.eye(4), cloud))

    def fuse(messages: list[bytes], *, own_eyes: bool = True) -> None:
        ego = Ego(None, "late", own_eyes=own_eyes)
        ego.fuse(OwnView(decode(objects), frame=frame), [receive(data) for data in messages])

    signer = Signer.generate()
    roster = Roster((Member("unit", str(signer.public_key)),))
    told, thief = features(), Signer.generate()
    signed, forged = signer.sign(told), thief.sign(told)

    def judge(data: bytes) -> None:
        assert (receive(data, Membership(roster)).message is not None) == (data is signed)

    rows = [
        {"job": "encode 50 boxes", "ms": measure(lambda: boxes("unit", 50)), "bytes": len(objects)},
        {"job": "decode 50 boxes", "ms": measure(lambda: decode_objects(decode(objects).payload))},
        {
            "job": f"encode {POINTS} points",
            "ms": measure(all_points),
            "bytes": len(points),
        },
        {"job": f"decode {POINTS} points", "ms": measure(lambda: decode_points(decode(points).payload))},
        {"job": "fuse 4 agents of 50 boxes", "ms": measure(lambda: fuse(peers))},
        {"job": "fuse 5 agents of 30 boxes", "ms": measure(lambda: fuse(five))},
        {"job": "the same, eyes shut", "ms": measure(lambda: fuse(five, own_eyes=False))},
        {"job": "fuse 16 floods of 512 boxes", "ms": measure(lambda: fuse(flood), 3)},
        {
            "job": "receive features of 2 kB, not signed",
            "ms": measure(lambda: receive(told)),
            "bytes": len(told),
        },
        {"job": "sign them", "ms": measure(lambda: signer.sign(told)), "bytes": len(signed)},
        {"job": "receive them signed", "ms": measure(lambda: judge(signed))},
        {"job": "refuse them forged", "ms": measure(lambda: judge(forged))},
    ]
    write("sharing", rows)


if __name__ == "__main__":
    main()
