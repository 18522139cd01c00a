"""ROS 2's launch is not among the wheels: what can be held here is that its parts are there and agree."""

from __future__ import annotations

import ast
import importlib.util
import os

import pytest
import yaml

from cosense.nodes import topics
from tests.conftest import REPOSITORY

EXECUTABLES = ("agent", "channel", "ego", "fusion", "player", "recorder")


def test_the_launch_file_is_python_and_only_uses_what_exists():
    tree = ast.parse((REPOSITORY / "launch" / "scenario.launch.py").read_text())
    ours = [
        (node.module, name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cosense")
        for name in node.names
    ]
    assert ours
    for module, name in ours:
        assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", EXECUTABLES)
def test_ros2_run_finds_every_node(name):
    script = REPOSITORY / "scripts" / name
    assert os.access(script, os.X_OK)
    assert f"from cosense.nodes.{name} import main" in script.read_text()
    assert importlib.util.find_spec(f"cosense.nodes.{name}") is not None


def test_rviz_shows_the_topics_of_the_scenario_that_it_is_for():
    layout = yaml.safe_load((REPOSITORY / "rviz" / "cosense.rviz").read_text())
    shown = {
        display["Topic"]["Value"]
        for display in layout["Visualization Manager"]["Displays"]
        if "Topic" in display
    }
    agents = ("vehicle", "infrastructure")
    expected = {topics.MARKERS, topics.GROUND_TRUTH}
    expected |= {topics.points_topic(agent) for agent in agents} | {
        topics.markers_topic(agent) for agent in agents
    }
    expected |= {topics.debug_map_topic("infrastructure", name) for name in ("supply", "demand", "selection")}
    assert shown == expected
