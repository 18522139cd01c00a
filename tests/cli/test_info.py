"""`cosense info`: what it says, what it finds missing, and its status."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.errors import CosenseError
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.cli.program import run_here
from tests.simulation.hand_made import make_frames


@pytest.fixture
def tree(tmp_path):
    write_dair_v2x(make_frames(6, cameras=True), tmp_path / "tree", split="val")
    return tmp_path / "tree"


def _info(*arguments: object):
    return CliRunner().invoke(app, ["info", *map(str, arguments)])


def test_says_what_the_folder_is(tree):
    result = _info(tree)
    assert result.exit_code == 0, result.output
    for fact in (
        "dair-v2x-c",
        "simulated",
        "6 of split all",
        "val 6, all 6",
        "infrastructure",
        "LiDAR",
        "vehicle 50",
    ):
        assert fact in result.output
    assert "car 1, bus 1, pedestrian 1" in result.output
    assert "verified" not in result.output
    assert "verified: every file is there" in _info(tree, "--verify").output


def test_json_has_the_same_facts(tree):
    content = json.loads(_info(tree, "--json", "--split", "val").output)
    assert content["format"] == "simulated by cosense (layout of dair-v2x-c)"
    assert (content["label_set"], content["split"]) == ("simulated", "val")
    assert content["frames_per_split"] == {"val": 6, "all": 6}
    assert content["first_frame"]["objects"] == {"car": 1, "bus": 1, "pedestrian": 1}
    assert (content["problems"], content["missing"], content["verified"]) == ([], {}, False)


def test_missing_files_are_counted_named_and_listed_in_json(tree):
    labels = tree / "infrastructure-side/label/virtuallidar"
    for path in sorted(labels.iterdir())[1:]:
        path.unlink()
    assert _info(tree).exit_code == 0
    result = _info(tree, "--verify")
    assert result.exit_code == 1
    folder = "infrastructure-side/label/virtuallidar"
    line = f"{folder}: 5 of 6 files missing: 100001.json, 100002.json, 100003.json, ..."
    assert line in result.output.replace("\n", "")
    result = _info(tree, "--verify", "--json")
    assert result.exit_code == 1
    content = json.loads(result.output)
    assert content["problems"] == [line]
    assert content["missing"] == {folder: [f"{100_000 + n}.json" for n in range(1, 6)]}


def test_a_first_frame_that_cannot_be_read_is_a_problem(tree):
    (tree / "vehicle-side/velodyne/000000.pcd").write_bytes(b"no cloud")
    content = json.loads(_info(tree, "--json").output)
    assert content["first_frame"] == {}
    assert "000000.pcd" in content["problems"][0]
    assert _info(tree, "--verify").exit_code == 1


def test_what_cannot_be_opened_is_an_error(tree):
    for arguments in (("/nowhere",), (tree, "--split", "vall"), (tree, "--labels", "originals")):
        assert isinstance(_info(*arguments).exception, CosenseError)
    shutil.rmtree(tree / "cooperative")
    assert "not a data set" in str(_info(tree).exception)


def test_brackets_of_an_error_reach_the_reader(tmp_path):
    result = run_here("info", str(tmp_path))
    assert result.returncode == 2
    assert "[split/]scenario/agent/*.pcd" in result.stderr
