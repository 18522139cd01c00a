"""docs/registration.md names the commands that its figures come from; see also test_readme.py."""

from __future__ import annotations

import json

import pytest

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "registration.md").read_text()
KEPT = REPOSITORY / "models" / "cosense-lite" / "validation" / "scene_graphs"


@pytest.mark.parametrize("name", ["scene_graph_pairs", "registration", "real_clouds"])
def test_what_is_kept_says_how_it_was_made(name: str) -> None:
    report = json.loads((KEPT / f"{name}.json").read_text())
    assert f"benchmarks/{name}.py" in report["command"]
    assert f"`{report['command']}`" in PAGE
