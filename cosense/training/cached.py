"""Arrays that take long to make and are kept as files, made by all cores; what is there is not made again."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosense.errors import CosenseError

Arrays = dict[str, NDArray]
# Called with what is going on, how much of it is done, and how much there is.
Show = Callable[[str, int, int], None]

# Fewer files than this are made sooner than other processes start.
_FEWEST_FOR_POOL = 8


def silent(what: str, done: int, of: int) -> None:
    """Show nothing."""


def not_written(path: Path, error: Exception) -> CosenseError:
    """Return what to say of a file of a cache that cannot be written, on a full disk for example."""
    return CosenseError(
        f"{path}: cannot be written ({error}); what is in the cache stays, the same command goes on; "
        "`cache:` in the run's YAML names another disk"
    )


@dataclass(frozen=True)
class Cached:
    """Arrays by name in a file of a cache.

    Attributes:
        path: the file, which may not be there yet.
        make: makes the arrays; to be made by another process, it has to be pickled.
    """

    path: Path
    make: Callable[[], Arrays]

    @classmethod
    def of(cls, folder: Path, name: str, key: Sequence[Any], make: Callable[[], Arrays]) -> Cached:
        """Name the file.

        Args:
            folder: the cache, created where it is missing.
            name: first part of the file's name, for people.
            key: everything that the arrays depend on; another key is another file.
            make: makes the arrays.
        """
        return cls(folder / f"{name}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]}.npz", make)

    def write(self) -> None:
        """Make the file where it is missing; it appears complete or not at all."""
        if self.path.exists():
            return
        arrays = self.make()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".part")
        try:
            with unfinished.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise not_written(self.path, error) from None
        unfinished.replace(self.path)

    def read(self) -> Arrays:
        """Return the arrays, made first where they are missing."""
        self.write()
        with np.load(self.path) as stored:
            return dict(stored)


def fill(files: Sequence[Cached], show: Show = silent, doing: str = "simulate scenes") -> None:
    """Make the files that are missing, one process a core; a few are left to whoever reads them."""
    missing = [file for file in files if not file.path.exists()]
    cores = len(os.sched_getaffinity(0))
    if cores == 1 or len(missing) < _FEWEST_FOR_POOL:
        return
    # A forked process may find a lock taken by a thread that it does not have.
    processes = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(cores, processes, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for done, made in enumerate(as_completed([pool.submit(file.write) for file in missing])):
            made.result()
            show(doing, done + 1, len(missing))
    finally:
        pool.shutdown(cancel_futures=True)
