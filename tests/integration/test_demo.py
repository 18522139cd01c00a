"""The demonstration as a newcomer runs it: the shipped model, real processes, every promised file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from mcap.reader import make_reader
from typer.testing import CliRunner

from cosense.cli.main import app

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")


def metrics_of(out: Path) -> dict[str, Any]:
    """Check that all files that are promised are there, and return the metrics."""
    assert cv2.imread(str(out / "bev.png")).shape[1] >= 1000
    report = (out / "report.html").read_text()
    assert "<html" in report[:200]
    assert "Ways to cooperate" in report
    with (out / "run.mcap").open("rb") as stream:
        topics = {channel.topic for _, channel, _ in make_reader(stream).iter_messages()}
    assert {"/v2x/messages", "/v2x/requests", "/detections", "/ground_truth"} <= topics
    return json.loads((out / "metrics.json").read_text())


def test_simulated_sequence(tmp_path, monkeypatch) -> None:
    words = ["demo", "--out", str(tmp_path), "--frames", "3"]
    monkeypatch.setattr("sys.argv", ["cosense", *words])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    metrics = metrics_of(tmp_path)
    assert (metrics["frames"], metrics["frames_not_fused"], metrics["model"]) == (3, 0, "cosense-lite")
    assert (metrics["fusion"], metrics["budget_bytes"], metrics["live"]) == ("hybrid", 2000, True)
    assert (metrics["protocol"], metrics["dataset"]["label_set"]) == ("simulated_riders", "simulated")
    assert metrics["dataset"]["kind"] == "simulated by cosense (layout of dair-v2x-c)"
    assert metrics["num_ground_truth"] > 0
    # A message of features and a scene graph within one budget, and a request.
    assert 1500 < metrics["bytes_per_frame"]["p50"] <= 2000 + 250
    # The same errors of the poses in all of them, and registration in the live run.
    assert (metrics["registration"], metrics["pose_noise"]["preset"]) == ("scene_graph", "dair")
    offline = {path.parent.name: path for path in (tmp_path / "offline").glob("*/metrics.json")}
    assert set(offline) == {"none", "late", "hybrid"}
    for fusion, path in offline.items():
        run = json.loads(path.read_text())
        preset = None if fusion == "none" else "dair"
        assert (run["registration"], run["pose_noise"]["preset"]) == ("none", preset)
    assert "--frames 3" in metrics["command"]


def test_frame_that_we_did_not_make(tmp_path, shared_data) -> None:
    words = ["demo", "--out", str(tmp_path), "--data", str(shared_data / "v2xset_frame")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    metrics = metrics_of(tmp_path)
    assert (metrics["frames"], metrics["frames_not_fused"], metrics["protocol"]) == (
        1,
        0,
        "opencood_participants",
    )
    assert metrics["pose_noise"]["preset"] is None, "the poses are those of the data"
    alone = json.loads((tmp_path / "offline" / "none" / "metrics.json").read_text())
    assert metrics["ap"]["0.5"] > alone["ap"]["0.5"]
