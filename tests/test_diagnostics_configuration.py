"""What sorts /diagnostics knows every name under which a node reports."""

from __future__ import annotations

import re

import yaml

from tests.conftest import REPOSITORY


def test_every_line_of_diagnostics_has_its_place() -> None:
    path = REPOSITORY / "config" / "diagnostics.yaml"
    parameters = yaml.safe_load(path.read_text())["analyzers"]["ros__parameters"]
    analyzers = [value for value in parameters.values() if isinstance(value, dict)]
    sources = "".join(each.read_text() for each in (REPOSITORY / "cosense" / "nodes").glob("*.py"))
    names = re.findall(r"_?status\(\s*f?\"([\w/]+)", sources)
    # The mode is on a topic of its own.
    assert {name.split("/")[0] for name in names} - {"mode"} == {"agent", "fusion", "channel"}
    for name in set(names) - {"mode"}:
        assert sum(any(map(name.startswith, each["startswith"])) for each in analyzers) == 1, name
