"""Fixtures that several rooms share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# A machine that does something else at the same time must not fail a test.
hypothesis.settings.register_profile("cosense", deadline=None)
hypothesis.settings.load_profile("cosense")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what `make test` must not run side by side.

    Runs of several processes keep the machine busy by themselves and go by the clock; the tests of a file
    share what they have prepared.
    """
    for item in items:
        path = item.path.relative_to(REPOSITORY / "tests")
        group = "processes" if path.parts[0] == "integration" else str(path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of third-party frames; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("COSENSE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"third-party data is not at {folder} (set COSENSE_SHARED_DATA)")
    return folder
