"""Writing, reading and merging messages: `python benchmarks/sharing.py`."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from timing import measure, write

from cosense.cooperation.late import fuse_late
from cosense.cooperation.receiver import FusionSettings
from cosense.cooperation.share import share
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.objects import MAX_OBJECTS, decode_objects
from cosense.messages.points import decode_points
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame

MODEL = SimpleNamespace(fingerprint=bytes(8))
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

    def message(name: str, count: int, kind: PayloadKind = PayloadKind.OBJECTS) -> bytes:
        frame = AgentFrame(name, "vehicle", 0, transform_from_planar(5, 6, 0.7), cloud)
        return share(frame, found(count, rng), MODEL, kind, 0)

    points, objects = message("unit", 0, PayloadKind.POINTS), message("unit", 50)
    peers = [message(f"unit{number}", 50) for number in range(4)]
    flood = [message(f"unit{number}", MAX_OBJECTS) for number in range(16)]
    settings = FusionSettings()
    rows = [
        {"job": "encode 50 boxes", "ms": measure(lambda: message("unit", 50)), "bytes": len(objects)},
        {"job": "decode 50 boxes", "ms": measure(lambda: decode_objects(decode(objects).payload))},
        {
            "job": f"encode {POINTS} points",
            "ms": measure(lambda: message("unit", 0, PayloadKind.POINTS)),
            "bytes": len(points),
        },
        {"job": f"decode {POINTS} points", "ms": measure(lambda: decode_points(decode(points).payload))},
        {"job": "fuse 4 agents of 50 boxes", "ms": measure(lambda: fuse_late(objects, peers, settings))},
        {"job": "fuse 16 floods of 512 boxes", "ms": measure(lambda: fuse_late(objects, flood, settings), 3)},
    ]
    write("sharing", rows)


if __name__ == "__main__":
    main()
