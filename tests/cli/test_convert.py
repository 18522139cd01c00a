"""A data set and its bag are the same to every verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.data import open_dataset
from cosense.errors import CosenseError
from tests.data.bags import car, in_order, mount, rsu, write_rows
from tests.nodes.tiny import write_model, write_scene

RUNNER = CliRunner()
FRAMES = 6


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene", FRAMES, sequences=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def foreign(tmp_path) -> Path:
    return write_rows(tmp_path / "foreign", in_order([mount(), *car(), *rsu()]))


def run(*arguments: object) -> str:
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_help_has_an_example():
    assert "cosense convert results/demo/sequence demo.mcap --cameras" in run("convert", "--help")


def test_a_bag_is_evaluated_to_the_very_same_numbers(scene, model, tmp_path):
    bag = tmp_path / "bag.mcap"
    assert f"{FRAMES} frames in {bag}" in run("convert", scene, bag)
    metrics = {}
    for data in (scene, bag):
        out = tmp_path / f"results-{data.name}"
        run("evaluate", "--data", data, "--model", model, "--out", out)
        metrics[data] = json.loads((out / "metrics.json").read_text())
        # What has to differ.
        for key in ("command", "ms_per_frame", "wall_s"):
            del metrics[data][key]
        assert metrics[data]["dataset"].pop("path") == str(data)
        metrics[data]["dataset"].pop("bag", None)
        assert metrics[data]["dataset"].pop("kind") == ("opv2v" if data == scene else "ros2-bag")
    assert metrics[scene]["num_ground_truth"] == FRAMES
    assert metrics[scene] == metrics[bag]


def test_images_are_only_written_when_asked_for(scene, tmp_path):
    for option, there in ((), False), (("--cameras",), True), (("--raw-images",), True):
        run("convert", scene, tmp_path / "bag.mcap", "--force", "--limit", 1, *option)
        frame = open_dataset(tmp_path / "bag.mcap", cameras=True)[0]
        assert bool(frame.ego.cameras) == there


def test_frames_that_cannot_be_read_end_it_or_are_left_out(tmp_path):
    scene = write_scene(tmp_path / "scene", frames=3)
    sorted(scene.rglob("1/*.pcd"))[1].write_bytes(b"nonsense")
    with pytest.raises(CosenseError, match=r"\.pcd"):
        run("convert", scene, tmp_path / "bag.mcap")
    assert not (tmp_path / "bag.mcap").exists()
    assert "left out: " in run("convert", scene, tmp_path / "bag.mcap", "--skip-broken")
    assert len(open_dataset(tmp_path / "bag.mcap")) == 2


def test_a_bag_that_exists_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "bag.mcap").touch()
    with pytest.raises(CosenseError, match=r"bag.mcap: is there already"):
        run("convert", tmp_path / "nowhere", tmp_path / "bag.mcap")


def test_a_foreign_bag_becomes_one_that_needs_no_options(foreign, tmp_path):
    out = tmp_path / "ours.mcap"
    options = ("--points", "shuttle=/lidar_top", "--points", "corner=/rsu/points", "--pose", "shuttle=/odom")
    run("convert", foreign, out, *options)
    bag = open_dataset(out)
    # The name of "corner" does not say that it stands at the roadside.
    assert bag.agents == {"corner": "vehicle", "shuttle": "vehicle"}
    assert (len(bag), bag.label_set) == (5, "none")


def test_another_ego_is_another_run(scene, model, tmp_path):
    bag, out = tmp_path / "bag.mcap", tmp_path / "results"
    run("convert", scene, bag)
    arguments = ("evaluate", "--data", bag, "--model", model, "--limit", 1, "--out", out)
    run(*arguments)
    with pytest.raises(CosenseError, match="--restart"):
        run(*arguments, "--ego=-1")


def test_info_says_what_a_bag_is(foreign):
    content = json.loads(run("info", foreign, "--json"))
    assert (content["format"], content["label_set"], content["frames"]) == ("ros2-bag", "none", 5)
    assert content["agents"] == {"ego": "vehicle", "rsu": "infrastructure"}
    assert content["sensors"] == [
        "ego: LiDAR /lidar_top, pose /odom",
        "rsu: LiDAR /rsu/points, pose transforms from 'map' to 'rsu_lidar'",
    ]
    assert content["first_frame"]["points"] == {"ego": 3, "rsu": 3}


def test_evaluating_without_ground_truth_is_one_line_before_anything_is_written(foreign, model, tmp_path):
    for verb in (("evaluate",), ("sweep", "budget")):
        with pytest.raises(CosenseError, match="has no ground truth to compare with: record vision_msgs"):
            run(*verb, "--data", foreign, "--model", model, "--out", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_topic_that_is_misspelt_is_one_line(foreign):
    with pytest.raises(CosenseError, match="no topic '/odm', did you mean '/odom'"):
        run("info", foreign, "--pose", "ego=/odm")
