"""The layouts that a run writes, held against the topics that its processes really publish."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from cosense.nodes import topics
from cosense.nodes.layouts import FOXGLOVE, RVIZ
from cosense.nodes.live import run_scenario
from cosense.nodes.scenario import Scenario, Source
from tests.nodes.tiny import write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
pytestmark = pytest.mark.timeout(300)


def test_what_a_run_shows_is_what_it_publishes(tmp_path: Path):
    from rosbags.highlevel import AnyReader

    data, model = write_scene(tmp_path / "scene", 4), write_sharing_model(tmp_path / "tiny")
    said = io.StringIO()
    scenario = Scenario(source=Source(data=data), model=str(model), method="hybrid", record=True)
    assert run_scenario(scenario, tmp_path / "run", Console(file=said)) == []

    layout = tmp_path / "run" / RVIZ
    command = re.search(r"ROS_DOMAIN_ID=\d+ rviz2 -d (\S+) --ros-args -p use_sim_time:=true", said.getvalue())
    assert command is not None
    assert command[1] == str(layout)

    shown = set(re.findall(r"^ +Value: (/\S+)$", layout.read_text(), re.MULTILINE))
    assert yaml.safe_load(layout.read_text())["Visualization Manager"]["Displays"]
    panels = json.loads((tmp_path / "run" / FOXGLOVE).read_text())["configById"]
    for panel in panels.values():
        shown |= set(panel.get("topics", ()))
        shown |= {path["value"].removesuffix(".data") for path in panel.get("paths", ())}
        shown |= {panel[key] for key in ("topicPath", "topicToRender") if key in panel}
    with AnyReader([tmp_path / "run" / "run.mcap"]) as reader:
        published = {connection.topic for connection in reader.connections}
    assert shown <= published
    assert {topics.points_topic("1"), topics.points_topic("-1"), topics.DIAGNOSTICS} <= shown
