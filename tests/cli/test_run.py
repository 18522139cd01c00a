from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.errors import CosenseError

RUNNER = CliRunner()


def test_help_has_an_example():
    result = RUNNER.invoke(app, ["run", "--help"])
    assert result.exit_code == 0
    assert "cosense run launch/scenarios/v2i.yaml" in result.output


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("source: {data: nowhere}\nmodle: x", "did you mean 'model'"), ("source: {data: nowhere}", "nowhere")],
)
def test_bad_scenarios_are_one_error(tmp_path: Path, text: str, complaint: str):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    result = RUNNER.invoke(app, ["run", str(path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, CosenseError)
    assert complaint in str(result.exception)


def test_options_win_over_the_scenario(tmp_path: Path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "cosense.runs.live_run.run_scenario",
        lambda scenario, out, console, only: seen.append((scenario, only)) or [],
    )
    path = tmp_path / "scenario.yaml"
    path.write_text("source: {data: here}\nagents: [{id: a}]\nego: a\nframes: 9")
    arguments = ["run", str(path), "--data", "there", "--record", "--frames", "3", "--out", str(tmp_path)]
    arguments += ["--rate", "0.5", "--only", "a"]
    assert RUNNER.invoke(app, arguments).exit_code == 0
    ((scenario, only),) = seen
    assert (scenario.player.mode, scenario.player.rate, list(only)) == ("rate", 0.5, ["a"])
    assert (scenario.source.data, scenario.record, scenario.frames) == (Path("there"), True, 3)
    assert (scenario.agents, scenario.ego) == ((), None)
