"""A data set and its bag are the same to every verb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.data import open_dataset
from cosense.data.bag.file import BagFile
from cosense.data.opv2v import Opv2vDataset
from cosense.errors import CosenseError
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.data.bag.bags import MS, START_NS, boxes, car, cloud, in_order, mount, rows_of, rsu, write_rows
from tests.nodes.tiny import write_model, write_scene
from tests.simulation.hand_made import make_frames

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
        later = "" if data == scene else ", converted to ros2-bag"
        assert metrics[data]["dataset"].pop("kind") == f"simulated by cosense (layout of opv2v{later})"
    assert metrics[scene]["num_ground_truth"] == FRAMES
    assert metrics[scene] == metrics[bag]


def test_images_are_only_written_when_asked_for(scene, tmp_path):
    for option, there in ((), False), (("--cameras",), True), (("--raw-images",), True):
        run("convert", scene, tmp_path / "bag.mcap", "--force", "--frames", 1, *option)
        frame = open_dataset(tmp_path / "bag.mcap", cameras=True)[0]
        assert bool(frame.ego.cameras) == there


def test_images_that_are_not_there_are_left_out_and_it_says_so(scene, tmp_path):
    """An option for a sensor that the data lacks, wholly, on one side, or because nobody unpacked it."""
    assert "note" not in run("convert", scene, tmp_path / "a.mcap", "--frames", 1, "--cameras")
    tree = tmp_path / "tree"
    write_dair_v2x(make_frames(2, cameras=True), tree)
    shutil.rmtree(tree / "infrastructure-side" / "image")
    said = run("convert", tree, tmp_path / "b.mcap", "--cameras")
    assert f"note: {tree} has no images of infrastructure: written without" in said
    agents = open_dataset(tmp_path / "b.mcap", cameras=True)[1].agents.values()
    assert [len(agent.cameras) for agent in agents] == [1, 0]
    write_dair_v2x(make_frames(2), tmp_path / "plain")
    for given, out in ((tmp_path / "plain", "c.mcap"), (tmp_path / "c.mcap", "d.mcap")):
        for option in ("--cameras", "--raw-images"):
            said = run("convert", given, tmp_path / out, option, "--force")
            assert f"2 frames in {tmp_path / out}" in said
            assert f"note: {given} has no images: written without" in said


def test_ctrl_c_leaves_no_half_a_bag_and_says_so(scene, tmp_path, monkeypatch):
    """Stopped in the middle: what is kept, here nothing, and how to go on."""

    def stopped(dataset, index):
        if index == 2:
            raise KeyboardInterrupt
        return read(dataset, index)

    read = Opv2vDataset.__getitem__
    monkeypatch.setattr(Opv2vDataset, "__getitem__", stopped)
    result = RUNNER.invoke(app, ["convert", str(scene), str(tmp_path / "bag.mcap")])
    assert result.exit_code == 130
    assert (
        f"Stopped. A bag gets its name only once it is complete, so there is no {tmp_path}" in result.output
    )
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("period_ms", [100, 40])
def test_frames_without_labels_are_converted_and_stay_without(tmp_path, period_ms):
    """The second of three; at 40 ms the labels of its neighbours are within the tolerance."""
    times = [START_NS + period_ms * MS * n for n in range(3)]
    rows = [mount(), *(row for row in car(3) if row[0] == "/odom")]
    rows += [cloud(t, "os_sensor") for t in times]
    rows += [boxes(t, "map", (9.0, 3.0, 0.7, 4.5, 1.8, 1.5, 0.4)) for t in (times[0], times[2])]
    foreign = write_rows(tmp_path / "foreign", in_order(rows))
    out = tmp_path / "ours.mcap"
    assert "3 frames in" in run("convert", foreign, out, "--tolerance-ms", 20)
    bag = open_dataset(out)
    assert (bag.label_set, bag.split) == ("recorded", "labelled")
    assert bag.info().frames_per_split == {"all": 3, "labelled": 2}
    every = open_dataset(out, split="all")
    assert [(frame.is_labelled, len(frame.ground_truth)) for frame in every] == [
        (True, 1),
        (False, 0),
        (True, 1),
    ]
    topics = [row[0] for row in rows_of(BagFile(out))]
    assert [topics.count(topic) for topic in ("/ground_truth", "/ground_truth/boxes")] == [2, 2]
    assert "2 frames in" in run("convert", out, tmp_path / "again.mcap", "--split", "labelled")


def test_an_agent_that_is_named_twice_is_one_line(foreign, tmp_path):
    words = ("--points", "a=/lidar_top", "--points", "a=/rsu/points")
    with pytest.raises(CosenseError, match="--points a=/rsu/points: 'a' already has /lidar_top, name each"):
        run("convert", foreign, tmp_path / "ours.mcap", *words)


def test_another_ego_is_another_run(scene, model, tmp_path):
    bag, out = tmp_path / "bag.mcap", tmp_path / "results"
    run("convert", scene, bag)
    arguments = ("evaluate", "--data", bag, "--model", model, "--frames", 1, "--out", out)
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
