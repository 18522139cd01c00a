"""docs/registration.md says what the kept files say."""

from __future__ import annotations

import json

from benchmarks.registration_tables import BENCHMARKS, KEPT, with_tables
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "registration.md").read_text()


def test_figures_come_from_the_kept_files() -> None:
    assert all((KEPT / f"{name}.json").is_file() for name in BENCHMARKS)
    assert with_tables(PAGE) == PAGE


def test_what_is_kept_says_how_it_was_made() -> None:
    for name in BENCHMARKS:
        report = json.loads((KEPT / f"{name}.json").read_text())
        assert f"benchmarks/{name}.py" in report["command"]
        assert f"`{report['command']}`" in PAGE
