"""Files that are made once, by one process or by several."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cosense.training.cached import Cached, fill


def never() -> dict[str, np.ndarray]:
    raise AssertionError("it is there already")


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    first = Cached.of(tmp_path / "cache", "a", [1], partial(dict, x=np.arange(3)))
    np.testing.assert_array_equal(first.read()["x"], [0, 1, 2])
    again = Cached.of(tmp_path / "cache", "a", [1], never)
    np.testing.assert_array_equal(again.read()["x"], [0, 1, 2])
    assert Cached.of(tmp_path / "cache", "a", [2], never).path != first.path


def test_what_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="there already"):
        Cached.of(tmp_path, "a", [1], never).read()
    assert not list(tmp_path.iterdir())


def test_many_files_are_made_by_several_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    files = [Cached.of(tmp_path, "a", [number], partial(dict, x=np.full(2, number))) for number in range(9)]
    files[0].write()
    shown: list[tuple[str, int, int]] = []
    fill(files, lambda *what: shown.append(what))
    assert shown == [("simulate scenes", number + 1, 8) for number in range(8)]
    assert all(file.path.exists() for file in files)
    # As if they were made here, and none of them twice.
    for number, file in enumerate(files):
        np.testing.assert_array_equal(Cached(file.path, never).read()["x"], [number, number])


def test_a_few_files_are_left_to_who_reads_them(tmp_path: Path) -> None:
    fill([Cached.of(tmp_path, "a", [number], never) for number in range(3)])
    assert not list(tmp_path.iterdir())
