from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from cosense.errors import CosenseError
from cosense.runs.frame_source import FrameSource, SimulatedSource
from cosense.runs.live_run import clear_results, run_scenario
from cosense.runs.scenario import Scenario
from tests.nodes.tiny import write_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")


@pytest.mark.parametrize(
    ("name", "is_folder", "complaint"),
    [
        ("run.mcap", True, "run.mcap: is a folder, and a run makes a file of this name; move it"),
        ("trace", False, "trace: is a file, and a run makes a folder of this name; move it"),
    ],
)
def test_what_is_in_the_way_of_a_result_is_one_error_and_stays(tmp_path, name, is_folder, complaint):
    """A folder of results that was used for something else, as rosbag2 makes a folder called run.mcap."""
    there = tmp_path / name
    there.mkdir() if is_folder else there.touch()
    (tmp_path / "detections.jsonl").write_text("earlier")
    with pytest.raises(CosenseError, match=complaint):
        clear_results(tmp_path)
    assert there.is_dir() == is_folder
    assert (tmp_path / "detections.jsonl").read_text() == "earlier"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": "pillars-lte"}, "no model 'pillars-lte': did you mean 'pillars-lite'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
        ({"budget_bytes": 20}, "budget of 20 bytes is too small for agent 'infrastructure'"),
        ({"fusion": "hybrid"}, "fusion 'hybrid' needs a model that shares features"),
        ({"source": FrameSource(simulate=SimulatedSource("crosing"))}, "'crosing' is unknown"),
        ({"source": FrameSource(data=Path("nowhere"))}, "nowhere"),
    ],
)
def test_a_run_that_cannot_start_leaves_the_results_of_an_earlier_one(tmp_path, change, complaint):
    source = FrameSource(simulate=SimulatedSource("crossing"))
    scenario = Scenario(source, model=str(write_model(tmp_path / "tiny")), frames=1)
    out = tmp_path / "out"
    out.mkdir()
    names = ("detections.jsonl", "frames.jsonl", "run.mcap", "scenario.yaml")
    for name in names:
        (out / name).write_text("earlier")
    with pytest.raises(CosenseError, match=complaint):
        run_scenario(dataclasses.replace(scenario, **change), out, Console(file=io.StringIO()))
    assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys(names, "earlier")
