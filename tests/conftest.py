"""Fixtures that several rooms share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from cosense.runs import supervisor
from cosense.runs.shared_memory import remove_unfinished_ports

# A machine that does something else at the same time must not fail a test.
hypothesis.settings.register_profile("cosense", deadline=None)
hypothesis.settings.load_profile("cosense")

REPOSITORY = Path(__file__).resolve().parents[1]

# Tests start dozens of processes, and each would compile PyTorch anew where no byte code may be written: that
# goes where pytest keeps its own things.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(REPOSITORY / ".pytest_cache" / "byte_code")
    sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say what `make test` runs side by side, and put first what takes longest.

    Runs that go by the clock never run beside each other; the tests of any other file share what they have
    prepared.
    """
    for item in items:
        is_timed = item.get_closest_marker("clock") is not None
        group = "clock" if is_timed else str(item.path.relative_to(REPOSITORY / "tests"))
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("clock") is None)


@pytest.fixture(scope="session", autouse=True)
def domains_of_the_worker() -> Iterator[None]:
    """Give each process that runs tests DDS domains of its own: two may look for a free one at once."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # Tests open DDS in their own process too, and kill others that do.
    remove_unfinished_ports()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "_DOMAINS", range(1 + number, 100, count))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of third-party frames; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("COSENSE_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"third-party data is not at {folder} (set COSENSE_SHARED_DATA)")
    return folder
