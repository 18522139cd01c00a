"""How many frames of one vehicle and one roadside unit are simulated in a second, by one process a core.

    python benchmarks/simulation.py [--workers 2] [--sequences 10]

The time of building the places is part of it: sequences of 20 frames, of all families in turn. With images,
each agent has one of 960 x 540 pixels. With writing: a DAIR-V2X tree on disk, by one process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from timing import write

from cosense.simulation import FAMILIES, simulate
from cosense.simulation.dair_v2x_writer import write_dair_v2x

FRAMES = 20


def simulated(number: int, frames: int, cameras: bool) -> float:
    """Simulate one sequence and return the processor time in seconds that it took."""
    start = time.process_time()
    for _ in simulate(FAMILIES[number % len(FAMILIES)], number, frames, cameras=cameras):
        pass
    return time.process_time() - start


def speed(pool: ProcessPoolExecutor, sequences: int, frames: int, cameras: bool) -> dict[str, float]:
    """Return frames a second, and processor time a frame, which other programs disturb less."""
    start = time.perf_counter()
    spent_s = sum(pool.map(partial(simulated, frames=frames, cameras=cameras), range(sequences)))
    count = sequences * frames
    return {
        "per_second": count / (time.perf_counter() - start),
        "processor_s_per_frame": spent_s / count,
    }


def written() -> dict[str, float]:
    """Return what one process does with one sequence on its way to a disk."""
    start, spent_s = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        write_dair_v2x(simulate(FAMILIES[0], 0, FRAMES), Path(folder) / "tree")
    return {
        "per_second": FRAMES / (time.perf_counter() - start),
        "processor_s_per_frame": (time.process_time() - spent_s) / FRAMES,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--sequences", type=int, default=2 * len(FAMILIES))
    wanted = parser.parse_args()
    with ProcessPoolExecutor(wanted.workers, multiprocessing.get_context("spawn")) as pool:
        speed(pool, 2 * wanted.workers, 1, cameras=True)
        clouds = speed(pool, wanted.sequences, FRAMES, cameras=False)
        images = speed(pool, wanted.sequences, FRAMES // 4, cameras=True)
        empty = speed(pool, wanted.sequences, 1, cameras=False)
    jobs: list[dict[str, Any]] = [
        {"job": "two-agent frames", "workers": wanted.workers, **clouds, "limit_per_second": 6},
        {
            "job": "two-agent frames with two images",
            "workers": wanted.workers,
            **images,
            "limit_per_second": 1.5,
        },
        {"job": "sequences of one frame", "workers": wanted.workers, **empty},
        {"job": "two-agent frames, written", "workers": 1, **written()},
    ]
    write("simulation", jobs)


if __name__ == "__main__":
    main()
