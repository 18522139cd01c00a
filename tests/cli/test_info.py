"""`cosense info`: what it says, what it finds missing, and its status."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.data.bag import message_types
from cosense.data.bag.file import BagFile
from cosense.data.bag.writer import write_bag
from cosense.errors import CosenseError
from cosense.messages.scene_graph import share_graph
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from cosense.simulation.opv2v_writer import write_opv2v
from tests.cli.program import run_here
from tests.data.bag.bags import rows_of, write_rows
from tests.scene_graph.graphs import graph as graph_at
from tests.simulation.hand_made import make_frames


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    write_dair_v2x(make_frames(6, cameras=True), folder / "dair", split="val")
    write_opv2v(make_frames(4, cameras=True), folder / "opv2v")
    return folder


@pytest.fixture
def tree(tmp_path, written):
    return shutil.copytree(written / "dair", tmp_path / "tree")


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
    assert "verified: every file is there and can be read" in _info(tree, "--verify").output


def test_long_facts_are_whole_and_nothing_is_said_twice(tmp_path, monkeypatch):
    """Kind: tables that are cut at 80 columns; a warning of the log that is a note, too."""
    monkeypatch.setenv("COLUMNS", "80")
    path = tmp_path / ("long" * 40) / "1.bin"
    path.parent.mkdir()
    path.write_bytes(b"".join(bytes([0, 0, 128, 63 + index]) for index in range(4)))
    done = run_here("info", str(path))
    assert f"data set     {path}\n" in done.stdout
    assert done.stdout.count("poses are not known") == 1
    assert done.stderr == ""


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


SIDES = [("vehicle", "000001"), ("infrastructure", "100001")]


def _problems(path, *arguments: object) -> list[str]:
    result = _info(path, "--verify", "--json", *arguments)
    content = json.loads(result.stdout)
    assert result.exit_code == (1 if content["problems"] else 0)
    return content["problems"]


def _cut(path, fraction: float = 0.6) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])


@pytest.mark.parametrize(
    "name",
    [
        "infrastructure-side/velodyne/100004.pcd",
        "infrastructure-side/image/100002.jpg",
        "vehicle-side/calib/camera_intrinsic/000005.json",
        "cooperative/label_world/000002.json",
    ],
)
def test_verifying_reads_every_file_and_names_a_truncated_one(tree, name):
    """Kind: files that are there and are not whole, as an interrupted download leaves them."""
    _cut(tree / name)
    (problem,) = _problems(tree)
    assert problem.startswith(f"{tree / name}: ")


def test_verifying_names_every_broken_file_of_a_frame(tree):
    broken = [tree / f"{side}-side/velodyne/{frame}.pcd" for side, frame in SIDES]
    broken += [tree / f"{side}-side/image/{frame}.jpg" for side, frame in SIDES]
    for path in broken:
        _cut(path)
    assert sorted(line.split(": ")[0] for line in _problems(tree)) == sorted(map(str, broken))


def test_verifying_finds_what_each_file_alone_does_not_show(tree):
    """Kind: files that can be parsed and make no frame."""
    for name in ("novatel_to_world", "camera_intrinsic", "lidar_to_camera"):
        path = tree / f"vehicle-side/calib/{name}/000002.json"
        whole = path.read_text()
        path.write_text("{}")
        (problem,) = _problems(tree)
        assert problem.startswith(f"{path}: ")
        path.write_text(whole)


@pytest.mark.parametrize(("pattern", "number"), [("*.pcd", 5), ("*.yaml", 0), ("*camera0.png", 5)])
def test_verifying_reads_every_file_of_a_tree_of_opv2v(tmp_path, written, pattern, number):
    """Kind: a truncated PCD, PNG or YAML passed; a cut YAML may still be YAML, with other numbers."""
    shutil.copytree(written / "opv2v", tmp_path / "tree")
    path = sorted((tmp_path / "tree").rglob(pattern))[number]
    _cut(path, 0.999 if path.suffix == ".yaml" else 0.6)
    (problem,) = _problems(tmp_path / "tree")
    assert problem.startswith(f"{path}: ")


def test_verifying_a_bag_reads_messages_that_no_frame_has(tmp_path):
    """Kind: images and clouds beside the frames."""
    frames = [made.frame for made in make_frames(3, cameras=True)]
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated")
    assert _problems(tmp_path / "bag.mcap") == []
    rows = rows_of(BagFile(tmp_path / "bag.mcap"))
    image = [row for row in rows if row[1] == message_types.COMPRESSED_IMAGE][1]
    image[2].data = image[2].data[: len(image[2].data) // 2]
    (problem,) = _problems(write_rows(tmp_path / "cut", rows))
    assert image[0] in problem
    assert "cannot be decoded" in problem


def test_a_message_says_what_it_holds_and_how_many_packets_it_takes(tmp_path):
    graph = graph_at(np.random.default_rng(0).uniform(-50, 50, (80, 2)))
    path = tmp_path / "graph.bin"
    path.write_bytes(share_graph(graph, 7, max_nodes=80))
    values = json.loads(_info(path, "--json").output)
    assert (values["kind"], values["sender"], values["sequence"]) == ("SCENE_GRAPH", "unit", 7)
    assert values["holds"].startswith("80 nodes: pole 80")
    assert values["bytes"] == 104 + 4 + 80 * 18
    assert (values["packets"], values["packet_bytes"]) == (2, 1398)
    assert "SCENE_GRAPH" in _info(path).output
    path.write_bytes(path.read_bytes()[:-1])
    assert "CRC" in str(_info(path).exception)
