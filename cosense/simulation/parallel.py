"""Simulates many sequences on all cores; the frames are the same on any number of them.

A long sequence is made in pieces, each by a process that prepares the place again and lets the traffic move
up to its first frame: that takes about as long as four frames.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import pairwise
from typing import Any

from cosense.simulation.sequence import SimulatedSequence, simulate
from cosense.simulation.stage import SimulatedFrame

_MOST_FRAMES = 25


def simulate_all(
    plan: Sequence[tuple[str, int, int]], *, workers: int | None = None, **options: Any
) -> Iterator[SimulatedFrame]:
    """Return the frames of several sequences, in order.

    Args:
        plan: family, seed and number of frames of each sequence.
        workers: number of processes, None for one on each core.
        options: see `simulate`.

    Raises:
        CosenseError: see `simulate`; at once if it is about the first sequence of a family.
    """
    pieces = [piece for sequence in plan for piece in _pieces(*sequence)]
    if len(pieces) == 1:
        return iter(_piece(pieces[0], options))
    for family, seed in {family: seed for family, seed, _ in reversed(plan)}.items():
        simulate(family, seed, 0, **options)
    workers = min(workers or len(os.sched_getaffinity(0)), len(pieces))
    if workers == 1:
        return (frame for piece in pieces for frame in _piece(piece, options))
    return _by_a_pool(pieces, workers, options)


def _pieces(family: str, seed: int, frames: int) -> list[tuple[str, int, int, int]]:
    """Cut a sequence into pieces: family, seed, number of frames, number of the first one."""
    count = -(-frames // _MOST_FRAMES)
    starts = [number * frames // count for number in range(count + 1)]
    return [(family, seed, end - start, start) for start, end in pairwise(starts)]


def _piece(piece: tuple[str, int, int, int], options: dict[str, Any]) -> SimulatedSequence:
    family, seed, frames, first = piece
    return simulate(family, seed, frames, first=first, **options)


def _by_a_pool(
    pieces: Sequence[tuple[str, int, int, int]], workers: int, options: dict[str, Any]
) -> Iterator[SimulatedFrame]:
    # A forked process may find a lock taken by a thread that it does not have.
    processes = multiprocessing.get_context("spawn")
    # Ctrl-C ends the others without a word.
    quietly = signal.SIGINT, signal.SIG_DFL
    pool = ProcessPoolExecutor(workers, processes, initializer=signal.signal, initargs=quietly)
    ahead: deque[Future[list[SimulatedFrame]]] = deque()
    try:
        for piece in pieces:
            ahead.append(pool.submit(_frames, piece, options))
            if len(ahead) > workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _frames(piece: tuple[str, int, int, int], options: dict[str, Any]) -> list[SimulatedFrame]:
    return list(_piece(piece, options))
