from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.data.bag import BagOptions
from cosense.errors import CosenseError
from tests.data.bag.bags import car, in_order, mount, rsu, write_rows

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

RUNNER = CliRunner()


@pytest.fixture
def foreign(tmp_path) -> Path:
    return write_rows(tmp_path / "foreign", in_order([mount(), *car(), *rsu()]))


def test_options_become_a_scenario(foreign, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "cosense.runs.live_run.run_scenario",
        lambda scenario, out, console: seen.append((scenario, out)) or [],
    )
    arguments = f"replay {foreign} --rate 2 --model pillars-lite --fusion late --budget 300".split()
    arguments += ["--registration", "scene_graph", "--ego", "ego", "--pose", "ego=/odom"]
    arguments += ["--record", "--frames", "3", "--out", str(tmp_path / "out")]
    assert RUNNER.invoke(app, arguments).exit_code == 0
    ((scenario, out),) = seen
    assert scenario.source.bag == BagOptions(pose={"ego": "/odom"}, ego="ego")
    assert scenario.source.data == foreign
    assert (scenario.player.mode, scenario.player.rate) == ("rate", 2.0)
    assert (scenario.model, scenario.fusion, scenario.budget_bytes) == ("pillars-lite", "late", 300)
    assert scenario.registration == "scene_graph"
    assert (scenario.record, scenario.frames, out) == (True, 3, tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--mode drian", "mode: 'drian' is not allowed, did you mean 'drain'"),
        ("--rate 0", "rate is 0.0"),
        ("--mode drain --rate 2", "--rate 2: mode drain has no pace of its own; leave out one of the two"),
        ("--registration icp", "registration: 'icp' is not allowed"),
        ("--pose ego=/odm", "no topic '/odm', did you mean '/odom'"),
        ("--ego eog", "--ego: no agent 'eog', did you mean 'ego'"),
        ("--points ego", "--points ego: expected AGENT=TOPIC"),
    ],
)
def test_bad_input_is_one_line_at_the_start(foreign, tmp_path, words, complaint):
    result = RUNNER.invoke(app, ["replay", str(foreign), *words.split(), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, CosenseError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()
