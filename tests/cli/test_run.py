from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.errors import CosenseError
from cosense.runs.scenario import load_scenario
from tests.conftest import REPOSITORY
from tests.nodes.tiny import write_model, write_scene

RUNNER = CliRunner()


def test_help_has_an_example():
    result = RUNNER.invoke(app, ["run", "--help"])
    assert result.exit_code == 0
    assert "cosense run v2i --record" in result.output


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
        lambda scenario, out, console, only, where: seen.append((scenario, only)) or [],
    )
    path = tmp_path / "scenario.yaml"
    there = tmp_path / "there"
    there.mkdir()
    path.write_text("source: {data: here}\nagents: [{id: a}]\nego: a\nframes: 9")
    arguments = ["run", str(path), "--data", str(there), "--record", "--frames", "3", "--out", str(tmp_path)]
    arguments += ["--rate", "0.5", "--only", "a"]
    assert RUNNER.invoke(app, arguments).exit_code == 0
    ((scenario, only),) = seen
    assert (scenario.player.mode, scenario.player.rate, list(only)) == ("rate", 0.5, ["a"])
    assert (scenario.source.data, scenario.record, scenario.frames) == (there, True, 3)
    assert (scenario.agents, scenario.ego) == ((), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agents: [{id: '1'}, {id: ghost}]", "agents[1]: id: no agent 'ghost' in the source, known: -1, 1"),
        ("ego: ghost", "ego: 'ghost' is not the ego of the source, which is '1'"),
        ("trust: {checks: [replya]}", "trust: unknown trust 'replya'"),
        ("trust: [in_range]", "trust: the list of checks is called 'checks' now: trust: {checks: ...}"),
        ("trust: {roster: r.yaml}", "trust: roster and keys go together"),
        ("trust: {roster: r.yaml, keys: k}", "r.yaml: no such file"),
        ("model: pillars-lte", "no model 'pillars-lte': did you mean 'pillars-lite'?"),
        ("budget_bytes: 20", "budget of 20 bytes is too small for agent '-1'"),
        ("fusion: hybird", "fusion: 'hybird' is not allowed, did you mean 'hybrid'?"),
    ],
)
def test_an_error_of_a_scenario_names_its_file_and_the_key(tmp_path: Path, text: str, said: str):
    """Values that are only known to be wrong once the data set, the model or the checks have been read."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    write_scene(tmp_path / "data", frames=1)
    write_model(tmp_path / "tiny")
    path = tmp_path / "mine.yaml"
    model = "" if text.startswith("model") else "model: tiny\n"
    path.write_text(f"source: {{data: data}}\n{model}{text}")
    result = RUNNER.invoke(app, ["run", str(path), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, CosenseError)
    assert str(result.exception).startswith(f"{path}: ")
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("v2",), "no scenario 'v2', neither a file nor one that ships: did you mean 'v2i.yaml'?"),
        (("launch/scenarios/v3i.yaml",), "did you mean 'v2i.yaml'?"),
        (("v2i", "--data", "nowhere"), "--data nowhere: no such file or folder"),
    ],
)
def test_a_scenario_or_data_that_is_not_there_is_named_as_it_was_given(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, ["run", *words])
    assert isinstance(result.exception, CosenseError)
    assert said in str(result.exception)


@pytest.mark.parametrize("name", ["v2i", "v2i.yaml", "lossy_link"])
def test_scenarios_that_ship_go_by_their_name_from_any_folder(tmp_path, monkeypatch, name):
    seen = []
    monkeypatch.setattr(
        "cosense.runs.live_run.run_scenario",
        lambda scenario, out, console, only, where: seen.append((scenario, where)) or [],
    )
    monkeypatch.chdir(tmp_path)
    result = RUNNER.invoke(app, ["run", name])
    assert result.exit_code == 0, result.output
    ((scenario, where),) = seen
    shipped = REPOSITORY / "launch" / "scenarios" / f"{name.removesuffix('.yaml')}.yaml"
    assert (scenario, where) == (load_scenario(shipped), str(shipped))
    # A file of this name in the working folder is the one that was meant.
    (tmp_path / name).write_text("source: {data: here}")
    assert RUNNER.invoke(app, ["run", name]).exit_code == 0
    assert seen[-1][0].source.data == Path("here")


@pytest.mark.parametrize("verb", ["run", "replay"])
def test_ctrl_c_says_what_was_fused_and_how_to_go_on(tmp_path: Path, monkeypatch, verb: str):
    """Stopped before and after the first frame."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    out = tmp_path / "out"
    lines = []

    def stopped(supervisor, on_progress):
        (out / "detections.jsonl").write_text("".join(lines))
        raise KeyboardInterrupt

    monkeypatch.setattr("cosense.runs.supervisor.Supervisor.run", stopped)
    write_scene(tmp_path / "data", frames=1)
    (tmp_path / "mine.yaml").write_text(f"source: {{data: data}}\nmodel: {write_model(tmp_path / 'tiny')}")
    words = [str(tmp_path / "mine.yaml")] if verb == "run" else [str(tmp_path / "data"), "--model"]
    words += [] if verb == "run" else [str(tmp_path / "tiny")]
    result = RUNNER.invoke(app, [verb, *words, "--out", str(out)])
    assert result.exit_code == 130, result.output
    assert "Stopped. No frame was fused yet; the same command starts the run anew." in result.output
    lines += ["{}\n", "{}\n", "{"]
    result = RUNNER.invoke(app, [verb, *words, "--out", str(out)])
    assert result.exit_code == 130
    assert (
        f"Stopped. 2 fused frames so far in {out}: `cosense view {out}` shows them; the same" in result.output
    )
