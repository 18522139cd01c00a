"""What hostile messages cost the ego, beside honest ones: `python benchmarks/hostile.py`.

A frame is what the ego's detector and the fusion of five honest senders take: late, with its own eyes open
and evidence over time, by which nobody has lost any trust yet. Refusals are timed one by one; their 99th
percentile counts.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from sharing import found
from timing import measure, write

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, OwnView
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import Message, PayloadKind, decode, encode
from cosense.messages.objects import MAX_OBJECTS, encode_objects
from cosense.methods.model import load_model
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.levelling import levelled

HOSTILE_BYTES = 64_000
POINTS = 60_000
REFUSALS = 300


def main() -> None:
    """Measure one and sixteen senders of the worst that can be read, and what cannot be read."""
    rng = np.random.default_rng(0)
    ring = np.linspace(0, 2 * np.pi * 40, POINTS)
    distance = 20 + 10 * np.sin(3 * ring) + rng.normal(0, 0.02, POINTS)
    xyz = (distance * np.cos(ring), distance * np.sin(ring), ring / 100 - 2)
    cloud = np.column_stack([*xyz, rng.random(POINTS)]).astype(np.float32)
    frame = levelled(AgentFrame("ego", "vehicle", 0, np.eye(4), cloud))

    def message(name: str, boxes: Detections, kind: PayloadKind = PayloadKind.OBJECTS) -> bytes:
        pose = transform_from_planar(5, 6, 0.7)
        return encode(Message(kind, name, 0, 0, pose, np.zeros((3, 3)), bytes(8), encode_objects(boxes)))

    own = decode(message("ego", found(50, rng)))
    honest = [message(f"unit{number}", found(30, rng)) for number in range(5)]
    spread = [message(f"liar{number}", found(MAX_OBJECTS, rng)) for number in range(16)]
    # All in one place, where each is held against each; and long, so that many rays cross each.
    piled = found(MAX_OBJECTS, rng)
    piled = replace(piled, boxes=np.column_stack([piled.boxes[:, :2] / 20 + 15, piled.boxes[:, 2:]]))
    heaps = [message(f"liar{number}", piled) for number in range(16)]
    garbage = rng.bytes(HOSTILE_BYTES)
    broken = heaps[0][:-4] + bytes(4)
    claims = heaps[0][:40] + b"\xff" * 60 + heaps[0][100:]

    def fuse_ms(messages: list[bytes]) -> float:
        """Return the least time of several first frames."""
        times_ms = []
        for _ in range(8):
            ego = Ego(None, "late")
            start = time.perf_counter()
            ego.fuse(OwnView(own, frame=frame), [receive(data) for data in messages])
            times_ms.append((time.perf_counter() - start) * 1e3)
        return min(times_ms)

    def refusal_ms(data: bytes) -> float:
        times_ms = []
        for _ in range(REFUSALS):
            start = time.perf_counter()
            assert receive(data).message is None
            times_ms.append((time.perf_counter() - start) * 1e3)
        return float(np.percentile(times_ms, 99))

    detector = load_model("cosense-lite", "cpu").detector
    detect_ms = measure(lambda: detector.decode(detector.encode(frame)), 5)
    usual_ms = fuse_ms(honest)
    rows = [
        {"job": "the ego's detector", "ms": detect_ms},
        {"job": "fuse 5 honest senders", "ms": usual_ms, "times_a_frame": 1.0},
    ]
    for name, hostile in (("boxes everywhere", spread), ("boxes in one heap", heaps)):
        for count in (1, 16):
            ms = fuse_ms([*honest, *hostile[:count]])
            job = f"the same and {count} of {MAX_OBJECTS} {name}"
            times = (detect_ms + ms) / (detect_ms + usual_ms)
            rows.append({"job": job, "ms": ms, "times_a_frame": times, "bytes": len(hostile[0])})
    for name, data in (("garbage", garbage), ("broken", broken), ("absurd header", claims)):
        rows.append({"job": f"refuse: {name}, p99", "ms": refusal_ms(data), "bytes": len(data)})
    write("hostile", rows)


if __name__ == "__main__":
    main()
