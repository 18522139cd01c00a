from __future__ import annotations

from collections.abc import Iterator

import pytest

from cosense.runs.supervisor import free_domain
from tests.integration.supervised import Stranger
from tests.integration.warm import ForkedProcess


@pytest.fixture(autouse=True, scope="module")
def warm_processes() -> Iterator[None]:
    """Fork the processes that a supervisor starts from a parent that has imported everything."""
    with pytest.MonkeyPatch.context() as patch:
        # Each run finds a domain of its own, also where the environment names one.
        patch.delenv("ROS_DOMAIN_ID", raising=False)
        patch.setattr("cosense.runs.supervisor.start_process", ForkedProcess)
        yield


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """Somebody else in the domain of the runs that the test starts."""
    domain = free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    other = Stranger(domain)
    yield other
    other.close()
