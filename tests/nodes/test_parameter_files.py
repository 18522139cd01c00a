from __future__ import annotations

import pytest
import yaml

from tests.conftest import REPOSITORY

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from cosense.nodes.parameter_files import NODES, parameter_file
from cosense.runs.supervisor import free_domain


@pytest.mark.parametrize("name", NODES)
def test_the_shipped_file_is_what_the_node_declares(name, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    shipped = (REPOSITORY / "launch" / "params" / f"{name}.yaml").read_text()
    cure = "run: python -m cosense.nodes.parameter_files launch/params"
    assert shipped == parameter_file(name), cure
    (node,) = yaml.safe_load(shipped)
    assert node == f"/**/{name}"


def test_every_parameter_is_described():
    for path in (REPOSITORY / "launch" / "params").glob("*.yaml"):
        lines = path.read_text().splitlines()[4:]
        for meaning, value in zip(lines[::2], lines[1::2], strict=True):
            assert meaning.startswith("    # ")
            assert len(meaning) > len("    # ") + 8, value
