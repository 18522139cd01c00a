"""`cosense view`: which files it writes and what is in them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.outcome import FusionResult
from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FusedFrame, frame_result, to_values
from cosense.evaluation.runs.runner import evaluate
from cosense.json_lines import read_lines
from cosense.methods.model import load_model
from cosense.sensing.detections import Detections
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.detectors.networks import TINY, write_model
from tests.evaluation.cooperators import write_tiny_model
from tests.simulation.hand_made import make_frames

# Poses as they are sent, so that there is one message from each agent.
AS_SENT = ("--registration", "none")


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
    return write_model(folder, config, seed=1)


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


def test_images_are_shown_with_boxes(tmp_path: Path) -> None:
    write_dair_v2x(make_frames(1, cameras=True), tmp_path / "tree")
    result = view(tmp_path / "tree", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert cv2.imread(str(tmp_path / "out" / "cameras.jpg")).shape == (54, 192, 3)
    (frame,) = frames_of(tmp_path / "out" / "report.html")
    assert [image["agent"] for image in frame["images"]] == ["vehicle", "infrastructure"]


def test_a_model_adds_boxes_and_what_the_others_sent(tree: Path, model: Path, tmp_path: Path) -> None:
    result = view(tree, "--frames", 1, "--model", model, *AS_SENT, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    (frame,) = frames_of(tmp_path / "report.html")
    (peer,) = frame["peers"]
    assert (peer["sender"], peer["used_for"]) == ("infrastructure", "boxes")
    assert {detection["source"] for detection in frame["detections"]} == {"ego", "unconfirmed"}
    assert str(peer["bytes"]) in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_that_shares_features_fuses_them(tree: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    result = view(tree, "--frames", 2, "--model", model, *AS_SENT, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for frame in frames_of(tmp_path / "out" / "report.html"):
        (peer,) = frame["peers"]
        assert peer["used_for"] == "features"
        # One sender alone, and the ego sees nothing where it looks: what it adds is there, and marked.
        assert "unconfirmed" in {detection["source"] for detection in frame["detections"]}
    refused = view(tree, "--model", model, "--fusion", "hybird", "--out", tmp_path / "other")
    assert "did you mean 'hybrid'" in str(refused.exception)
    assert not (tmp_path / "other").exists()


def test_what_is_shown_is_what_evaluate_measures_alone_and_together(tree: Path, tmp_path: Path) -> None:
    """Kind: a picture beside a figure shows something else than was measured.

    The message is the one that is sent under the budget, with what the ego has asked for a frame before, also
    where the report begins in the middle; the boxes of the ego alone are those of `evaluate --fusion none`.
    """
    model, out = write_tiny_model(tmp_path / "tiny"), tmp_path / "out"
    result = view(tree, "--frame", 1, "--model", model, "--budget", 400, *AS_SENT, "--out", out)
    assert result.exit_code == 0, result.output
    shown = frames_of(out / "report.html")
    dataset, loaded, protocol = open_dataset(tree), load_model(model), load_protocol("opencood")
    budgets: dict[FusionKind, int | None] = {"none": None, "hybrid": 400}
    for kind, budget in budgets.items():
        folder = tmp_path / kind
        evaluate(dataset, loaded, protocol, fusion=kind, budget_bytes=budget, out=folder)
        for page, record in zip(shown, list(read_lines(folder / "frames.jsonl"))[1:], strict=True):
            boxes = page["alone" if kind == "none" else "detections"]
            expected = frame_result(record).detections
            assert [box["score"] for box in boxes] == pytest.approx(expected.scores, abs=1e-3)
            assert [box["box"][0] for box in boxes] == pytest.approx(expected.boxes[:, 0], abs=1e-3)
            assert kind == "none" or page["bytes"] == record["bytes_per_sender"]
            assert all(peer["bytes"] <= 400 for peer in page["peers"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--fusion", "late"), "--fusion late: without --model nobody looks for boxes"),
        (("--budget", 2000), "--budget 2000: without --model nobody looks for boxes"),
        (("--protocol", "opencod"), "unknown protocol 'opencod', did you mean 'opencood'"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    tree: Path, tmp_path: Path, options: tuple[object, ...], expected: str
) -> None:
    """Kind: what was asked for is left out in silence."""
    assert expected in str(view(tree, *options, "--out", tmp_path / "out").exception)
    assert not (tmp_path / "out").exists()


def test_a_frame_that_is_not_there_is_named(tree: Path, tmp_path: Path) -> None:
    result = view(tree, "--frame", 3, "--out", tmp_path)
    assert isinstance(result.exception, CosenseError)
    assert "frames 0 to 2" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_live_run_is_drawn_as_it_was_fused(tree: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "scenario.yaml").write_text(yaml.safe_dump({"source": {"data": str(tree)}, "frames": 3}))
    dataset = open_dataset(tree)
    frames = [dataset[index] for index in range(3)]
    with (run / "frames.jsonl").open("w") as played, (run / "detections.jsonl").open("w") as fused:
        for number, frame in enumerate(frames):
            line = {"frame_id": frame.frame_id, "stamp_ns": frame.ego.stamp_ns, "published_ns": number}
            played.write(json.dumps(line) + "\n")
            if number == 1:
                continue
            truth = frame.ground_truth
            scores, sources = np.ones(len(truth), np.float32), np.zeros(len(truth), np.uint8)
            found = Detections(truth.boxes, scores, truth.labels, sources)
            entry = FusedFrame(frame.ego.stamp_ns, FusionResult(found, []), [], 5.0, "EGO", "nobody")
            fused.write(json.dumps(to_values(entry)) + "\n")
    assert view(run, "--out", tmp_path / "out").exit_code == 0
    report = tmp_path / "out" / "report.html"
    assert [len(page["detections"]) > 0 for page in frames_of(report)] == [True, False, True]
    assert "EGO 2" in report.read_text()
    assert [page["alone"] is not None for page in frames_of(report)] == [True] * 3
    refused = view(run, "--model", "pillars-lite", "--out", tmp_path / "other")
    assert "--model pillars-lite: the scenario of the live run" in str(refused.exception)
    result = view(run, "--frame", 3)
    assert isinstance(result.exception, CosenseError)
    assert "has frames 0 to 2" in str(result.exception)


def test_a_frame_is_shown_in_space_and_recorded(tree: Path, tmp_path: Path) -> None:
    model, picture = write_tiny_model(tmp_path / "tiny"), tmp_path / "picture.png"
    options = ("--model", model, "--registration", "scene_graph")
    result = view(tree, "--frame", 1, *options, "--3d", "--out", picture)
    assert result.exit_code == 0, result.output
    assert picture.stat().st_size > 20_000
    assert not (tmp_path / "report.html").exists()
    assert "without --model nobody looks for boxes" in str(
        view(tree, "--registration", "scene_graph", "--3d", "--out", picture).exception
    )
    pytest.importorskip("rerun", reason="Rerun's SDK is not installed")
    recording = tmp_path / "frames.rrd"
    result = view(tree, *options, "--rerun", recording)
    assert result.exit_code == 0, result.output
    assert recording.stat().st_size > 20_000
