"""`cosense view`: which files it writes and what is in them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.config import to_mapping
from cosense.errors import CosenseError
from cosense.perception.models import WEIGHTS, write_weights
from cosense.perception.network import build_network
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.evaluation.cooperators import write_tiny_model
from tests.perception.networks import TINY
from tests.simulation.hand_made import make_frames


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames of a car and a roadside unit."""
    folder = tmp_path_factory.mktemp("data") / "tree"
    write_dair_v2x(make_frames(3), folder, split="val")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained network; what it finds is noise, but it finds something."""
    config = dataclasses.replace(TINY, score_threshold=0.01)
    folder = tmp_path_factory.mktemp("models") / "untrained"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(to_mapping(config)))
    write_weights(build_network(config, seed=1), folder / WEIGHTS)
    return folder


def view(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["view", *map(str, arguments)])


def frames_of(report: Path) -> list[dict[str, Any]]:
    data = re.search(r'id="data">(.*?)</script>', report.read_text(encoding="utf-8"), re.DOTALL)
    assert data is not None
    return list(json.loads(data[1])["frames"])


def test_clouds_and_ground_truth_of_any_data_set(tree: Path, tmp_path: Path) -> None:
    result = view(tree, "--frame", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bev.png", "report.html"]
    second, third = frames_of(tmp_path / "report.html")
    assert second["id"] < third["id"]
    assert second["truth"]
    assert not second["detections"]


def test_a_model_adds_boxes_and_what_the_others_sent(tree: Path, model: Path, tmp_path: Path) -> None:
    result = view(tree, "--frames", 1, "--model", model, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    (frame,) = frames_of(tmp_path / "report.html")
    (peer,) = frame["peers"]
    assert (peer["sender"], peer["used_for"]) == ("infrastructure", "boxes")
    assert {detection["source"] for detection in frame["detections"]} == {"ego", "late"}
    assert str(peer["bytes"]) in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_that_shares_features_fuses_them(tree: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    result = view(tree, "--frames", 2, "--model", model, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for frame in frames_of(tmp_path / "out" / "report.html"):
        (peer,) = frame["peers"]
        assert peer["used_for"] == "features"
        assert "fused" in {detection["source"] for detection in frame["detections"]}
    refused = view(tree, "--model", model, "--fusion", "hybird", "--out", tmp_path / "other")
    assert "did you mean 'hybrid'" in str(refused.exception)
    assert not (tmp_path / "other").exists()


def test_a_frame_that_is_not_there_is_named(tree: Path, tmp_path: Path) -> None:
    result = view(tree, "--frame", 3, "--out", tmp_path)
    assert isinstance(result.exception, CosenseError)
    assert "frames 0 to 2" in str(result.exception)
    assert not list(tmp_path.iterdir())
