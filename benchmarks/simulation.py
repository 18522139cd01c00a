"""How many frames of one vehicle and one roadside unit are simulated in a second.

    python benchmarks/simulation.py [--device cuda] [--frames 40]

With writing: a DAIR-V2X tree on disk. The time of building the places is part of it: sequences of 20 frames.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from timing import measure, write

from cosense.simulation import FAMILIES, SimulatedFrame, simulate
from cosense.simulation.dair_v2x_writer import write_dair_v2x

SEQUENCE_FRAMES = 20


def frames(count: int, device: str, cameras: bool = False) -> Iterator[SimulatedFrame]:
    """Take turns among the families."""
    for number in range(-(-count // SEQUENCE_FRAMES)):
        family = FAMILIES[number % len(FAMILIES)]
        left = min(SEQUENCE_FRAMES, count - number * SEQUENCE_FRAMES)
        yield from simulate(family, number, left, cameras=cameras, device=device)


def speed(count: int, job: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Return frames a second, and processor time a frame, which other programs disturb less."""
    start = time.process_time()
    job()
    spent_s = time.process_time() - start
    return {"per_second": count / (measure(job, repeats) / 1e3), "processor_s_per_frame": spent_s / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    wanted = parser.parse_args()
    count, device = wanted.frames, wanted.device

    def simulated() -> None:
        for _ in frames(count, device):
            pass

    def written() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_dair_v2x(frames(count, device), Path(folder) / "tree")

    limit = {"limit_per_second": 4} if device == "cpu" else {}
    fast = {} if device == "cpu" else {"limit_per_second": 50}
    rows: list[dict[str, Any]] = [
        {
            "job": "two-agent frames, not written",
            "device": device,
            **speed(count, simulated, wanted.repeats),
            **fast,
        },
        {
            "job": "two-agent frames, written",
            "device": device,
            **speed(count, written, wanted.repeats),
            **limit,
        },
    ]
    start = time.process_time()
    images = sum(1 for _ in frames(4, device, cameras=True))
    rows.append(
        {
            "job": "two-agent frames with two images",
            "device": device,
            "processor_s_per_frame": (time.process_time() - start) / images,
        }
    )
    write(f"simulation-{device}", rows)


if __name__ == "__main__":
    main()
