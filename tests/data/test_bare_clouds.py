"""Clouds by themselves: how people try a stack first."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.sensing.cloud_formats.pcd import write_pcd
from tests.sensing.cloud_formats.test_number_tables import scan, written

POINTS = np.array([[1, 2, 3, 0.5], [4, 5, 6, 1]], dtype=np.float32)
S = 1_000_000_000


def clouds(folder, *names, points=POINTS):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if name.endswith(".pcd"):
            write_pcd(folder / name, points)
        else:
            (folder / name).write_bytes(points.tobytes())
    return folder


@pytest.mark.parametrize(
    ("inside", "opened"),
    [
        ("0.pcd", "0.pcd"),
        ("0.bin", "0.bin"),
        ("0.pcd", "."),
        ("velodyne/000000.bin", "."),
        ("velodyne/000000.bin", "velodyne"),
        ("training/velodyne/000000.bin", "."),
        ("training/velodyne/000000.bin", "training"),
        ("2011_09_26/drive_0001_sync/velodyne_points/data/0000000000.bin", "2011_09_26"),
        ("2011_09_26/drive_0001_sync/velodyne_points/data/0000000000.bin", "2011_09_26/drive_0001_sync"),
    ],
)
def test_a_cloud_a_folder_and_the_folders_of_kitti_are_one_agent_by_itself(tmp_path, inside, opened):
    """Kind: bare frames without cooperation."""
    path = tmp_path / "mine" / inside
    clouds(path.parent, path.name)
    dataset = open_dataset(tmp_path / "mine" / opened)
    frame = dataset[0]
    assert (len(dataset), list(frame.agents), frame.ego.kind) == (1, ["ego"], "vehicle")
    np.testing.assert_array_equal(frame.ego.points, POINTS)
    np.testing.assert_array_equal(frame.ego.T_world_agent, np.eye(4))
    assert not frame.is_labelled
    info = dataset.info(verify=True)
    assert (info.kind, info.label_set, info.problems) == ("clouds", "none", [])
    assert "poses are not known" in info.notes[0]


@pytest.mark.parametrize(
    ("names", "stamps_ns", "note"),
    [
        (["1.pcd", "2.pcd", "10.pcd"], [0, S // 10, S // 5], "not known: taken 100 ms apart"),
        (["1626155123000000.pcd", "1626155123100000.pcd"], [1626155123 * S, 16261551231 * S // 10], "names"),
        (
            ["1626155123000000001.pcd", "1626155123000000002.pcd"],
            [1626155123 * S + 1, 1626155123 * S + 2],
            "",
        ),
        (["1626155123.5.pcd", "1626155124.5.pcd"], [0, S // 10], "taken 100 ms apart"),
        (
            ["1626155123_500000.pcd", "1626155124_500000.pcd"],
            [16261551235 * S // 10, 16261551245 * S // 10],
            "",
        ),
        (["000001626155123.pcd"], [0], "taken 100 ms apart"),
        (["n015-2018+0800__LIDAR_TOP__1532402927647951.pcd.bin"], [1532402927647951000], "names"),
    ],
)
def test_frames_are_in_the_order_of_their_numbers_and_stamps_are_said(tmp_path, names, stamps_ns, note):
    dataset = open_dataset(clouds(tmp_path / "drive", *names))
    frames = [dataset[index] for index in range(len(dataset))]
    assert [frame.frame_id for frame in frames] == [name.rpartition(".")[0] for name in names]
    assert [frame.ego.stamp_ns for frame in frames] == stamps_ns
    assert note in dataset.info().notes[1]
    # Nothing relates one to the next: where the vehicle went is not known.
    assert len({frame.sequence for frame in frames}) == len(frames)


def test_kitti_raw_has_its_own_stamps(tmp_path):
    drive = clouds(tmp_path / "velodyne_points" / "data", "0000000000.bin", "0000000002.bin").parent
    times = [f"2011-09-26 13:02:25.{fraction}" for fraction in ("594360375", "69", "7")]
    (drive / "timestamps.txt").write_text("\n".join(times) + "\n")
    dataset = open_dataset(tmp_path)
    assert [frame.ego.stamp_ns for frame in dataset] == [1317042145594360375, 1317042145700000000]
    (drive / "timestamps.txt").write_text(times[0] + "\n")
    with pytest.raises(CosenseError, match=r"timestamps\.txt: has no time of 0000000002\.bin"):
        open_dataset(tmp_path)
    (drive / "timestamps.txt").write_text("now\n\nthen\n")
    with pytest.raises(CosenseError, match=r"timestamps\.txt: 'now' is no time as"):
        open_dataset(tmp_path)


def test_a_sequence_of_kitti_odometry_has_its_own_stamps(tmp_path):
    clouds(tmp_path / "velodyne", "000000.bin", "000001.bin")
    (tmp_path / "times.txt").write_text("0.000000e+00\n1.037360e-01\n")
    dataset = open_dataset(tmp_path)
    assert [frame.ego.stamp_ns for frame in dataset] == [0, 103_736_000]
    assert dataset.info().notes[1] == "stamps are those of times.txt"


def test_hidden_files_are_no_clouds(tmp_path):
    """Kind: what an operating system leaves beside each file."""
    clouds(tmp_path, "000000.bin")
    (tmp_path / "._000000.bin").write_bytes(b"Mac OS X        ")
    dataset = open_dataset(tmp_path)
    assert [frame.frame_id for frame in dataset] == ["000000"]
    assert dataset.info(verify=True).problems == []


def test_one_scale_of_intensities_holds_for_all_clouds_of_a_folder(tmp_path):
    """Kind: a decision per frame."""
    for index, brightest in enumerate((1.0, 4000.0)):
        clouds(tmp_path, f"{index}.bin", points=np.array([[1, 2, 3, 0.5], [1, 2, 3, brightest]], "f4"))
    dataset = open_dataset(tmp_path)
    assert [frame.ego.points[0, 3] for frame in dataset] == [np.float32(0.5 / 4095)] * 2
    assert dataset.info().notes[-1] == "ego: intensities (float32, up to 4000) are divided by 4095"


def test_empty_and_broken_clouds_are_named(tmp_path):
    """Kind: an interrupted copy."""
    clouds(tmp_path, "1.pcd", "2.pcd")
    (tmp_path / "0.pcd").write_bytes(b"")
    (tmp_path / "2.pcd").write_bytes((tmp_path / "1.pcd").read_bytes()[:-1])
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 2
    info = dataset.info(verify=True)
    assert "1 empty file left out, first 0.pcd" in info.notes
    named = [problem.partition(": ")[0] for problem in info.problems]
    assert named == [str(tmp_path / name) for name in ("0.pcd", "2.pcd")]
    assert dataset.info().problems == []


def test_what_must_not_be_guessed_is_refused_with_the_cure(tmp_path):
    agent = clouds(tmp_path / "s" / "641", "000069.pcd")
    (agent / "000069.yaml").write_text("lidar_pose: [0, 0, 0, 0, 0, 0]\nvehicles: {}\n")
    with pytest.raises(
        CosenseError, match=r"641: is one agent in the layout of OPV2V, .* left-handed.*open the"
    ):
        open_dataset(agent)
    assert open_dataset(tmp_path / "s").kind == "opv2v"
    both = clouds(tmp_path / "both", "0.pcd", "0.bin")
    with pytest.raises(CosenseError, match=r"both: has clouds that end in \.bin and \.pcd; name one file"):
        open_dataset(both)
    with pytest.raises(CosenseError, match="no split 'train', known: all"):
        open_dataset(both / "0.bin", split="train")
    with pytest.raises(CosenseError, match="no labels are beside it"):
        open_dataset(both / "0.bin", region="all")
    with pytest.raises(CosenseError, match="columns 'x y z' does not apply to opv2v, only to bare_clouds"):
        open_dataset(tmp_path / "s", columns="x y z")
    two = clouds(tmp_path / "two" / "a", "0.pcd")
    clouds(tmp_path / "two" / "b", "0.pcd")
    with pytest.raises(CosenseError, match=r"not a data set .* clouds by themselves .* one of them: a, b"):
        open_dataset(two.parent)


def test_other_data_sets_go_first_also_in_a_folder_below(tmp_path):
    agent = clouds(tmp_path / "tree" / "train" / "s" / "1", "000000.pcd")
    (agent / "000000.yaml").write_text("lidar_pose: [0, 0, 0, 0, 0, 0]\nvehicles: {}\n")
    clouds(tmp_path, "stray.pcd")
    assert open_dataset(tmp_path).path == tmp_path / "tree"


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, CosenseError):
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return result.output


def test_info_view_and_convert_read_bare_clouds(tmp_path, monkeypatch, caplog):
    """Kind: as above, on the command line."""
    monkeypatch.chdir(tmp_path)
    x, y, z, intensity, ring, _ = scan().T
    path = written(tmp_path / "scan.bin", ring, x, y, z, intensity)
    assert "--columns" in run("info", path)
    for verb in (("evaluate",), ("sweep", "budget")):
        assert "clouds by themselves have no labels" in run(*verb, "--data", path, "--out", tmp_path / "none")
    columns = ("--columns", "ring x y z intensity")
    content = json.loads(run("info", path, *columns, "--json", "--verify"))
    assert content["first_frame"]["points"] == {"ego": 2000}
    run("view", path, *columns, "--out", tmp_path / "view")
    assert (tmp_path / "view" / "bev.png").is_file()
    caplog.set_level(logging.WARNING)
    run("convert", path, tmp_path / "scan.mcap", *columns)
    assert "poses are not known" in caplog.text
    points = open_dataset(tmp_path / "scan.mcap")[0].ego.points
    np.testing.assert_array_equal(points, np.column_stack([x, y, z, intensity]).astype("f4"))


def test_real_frames_of_kitti(shared_data):
    dataset = open_dataset(shared_data / "kitti_frames")
    assert [len(frame.ego.points) for frame in dataset] == [115_384, 120_268]
    drive = open_dataset(shared_data / "real_frames" / "kitti_drive")
    assert len(drive) == 27
