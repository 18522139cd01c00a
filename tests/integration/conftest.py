from __future__ import annotations

from collections.abc import Iterator

import pytest

from cosense.runs.supervisor import free_domain
from tests.integration.supervised import Stranger


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """Somebody else in the domain of the runs that the test starts."""
    domain = free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    other = Stranger(domain)
    yield other
    other.close()
