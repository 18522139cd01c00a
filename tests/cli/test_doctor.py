from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.runs.doctor import Finding
from tests.conftest import REPOSITORY

WITHOUT_RCLPY = "import sys; sys.modules['rclpy'] = None; from cosense.cli.main import main; main()"


def doctor(words: list[str], *options: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program as nobody watches it: no terminal, no input."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.run(
        [sys.executable, *words, "doctor", *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=250,
    )


def test_a_whole_examination_in_a_process_of_its_own(tmp_path: Path):
    done = doctor(["-m", "cosense.cli.main"], "--json", "--results", str(tmp_path / "results"))
    findings = [Finding(**fields) for fields in json.loads(done.stdout)]
    names = {finding.name for finding in findings}
    assert names >= {"cosense", "libraries", "PyTorch", "rclpy", "socket buffers", "models", "results"}
    failed = [finding for finding in findings if finding.level == "fail"]
    assert done.returncode == bool(failed), failed
    assert all(finding.cure for finding in findings if finding.level != "ok")
    assert not list(tmp_path.iterdir())


def test_without_rclpy_it_says_how_to_get_it():
    done = doctor(["-c", WITHOUT_RCLPY])
    output = done.stdout.decode()
    assert done.returncode == 1
    assert "fail rclpy" in " ".join(output.split())
    assert "pip install 'cosense[ros]'" in output
    assert "cosense-lite: " in output
    assert done.stderr == b""


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(tmp_path, monkeypatch):
    def broken() -> list[Finding]:
        raise RuntimeError("no such luck")

    fine = [("domain", lambda: [Finding("domain", "ok", "fine")])]
    checks = [("RMW", broken), *fine]
    monkeypatch.setattr("cosense.runs.doctor._checks", lambda results, environment: checks)
    result = CliRunner().invoke(app, ["doctor", "--results", str(tmp_path)])
    assert result.exit_code == 1
    assert "could not be checked: RuntimeError: no such luck" in result.output
    assert "1 ok, 0 warn, 1 fail" in result.output
    monkeypatch.setattr("cosense.runs.doctor._checks", lambda results, environment: fine)
    assert CliRunner().invoke(app, ["doctor", "--results", str(tmp_path)]).exit_code == 0


def test_help_has_an_example():
    result = CliRunner().invoke(app, ["doctor", "--help"])
    assert "cosense doctor" in result.output
