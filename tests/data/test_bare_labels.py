"""Labels, region and poses beside clouds: frames of one's own with what is known of them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.bare_labels import read_kitti_labels
from cosense.errors import CosenseError
from cosense.geometry.boxes import points_in_boxes
from cosense.sensing.objects import ObjectClass
from cosense.sensing.projection import project
from tests.data.test_bare_clouds import clouds


def label(kind="Car", x=10.0, y=0.0, yaw=0.0, **others):
    return {"type": kind, "x": x, "y": y, "z": -1.0, "l": 4.0, "w": 1.8, "h": 1.5, "yaw": yaw, **others}


def labelled(folder, labels, *, poses=None, region=None):
    """Write a cloud and a label file for each frame."""
    clouds(folder / "velodyne", *(f"{stem}.bin" for stem in labels))
    (folder / "label").mkdir()
    for stem, content in labels.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / "label" / f"{stem}.json").write_text(text)
    if poses is not None:
        (folder / "poses.json").write_text(json.dumps(poses))
    if region is not None:
        (folder / "region.yaml").write_text(f"azimuth_deg: {region}\n")
    return folder


def pose(x, stamp_s=0.0):
    T = np.eye(4)
    T[0, 3] = x
    return {"stamp_s": stamp_s, "T_world_lidar": T.tolist()}


def test_types_become_our_classes_and_others_are_left_open(tmp_path):
    kinds = ["Car", "vehicle", "person", "Cyclist", "BOX_TRUCK", "Tram", "ignore"]
    content = [label(kind, x=5.0 * row) for row, kind in enumerate(kinds)]
    frame = open_dataset(labelled(tmp_path / "mine", {"000000": content}))[0]
    assert frame.is_labelled
    expected = [ObjectClass.CAR] * 2 + [ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST, ObjectClass.TRUCK]
    assert frame.ground_truth.labels.tolist() == [int(kind) for kind in expected]
    np.testing.assert_array_equal(frame.ground_truth.boxes[1], [5, 0, -1, 4, 1.8, 1.5, 0])
    assert frame.labelled.ignored[:, 0].tolist() == [25.0, 30.0]


@pytest.mark.parametrize(
    ("given", "words"),
    [("[-30, 60]", "from -30 to 60 degrees"), ("all", "all around")],
)
def test_a_region_is_stated_beside_the_frames_or_when_they_are_opened(tmp_path, given, words):
    stated = labelled(tmp_path / "mine", {"000000": [label()]}, region=given)
    assert open_dataset(stated).description()["region"] == words
    assert open_dataset(stated, region="-10,10").description()["region"] == "from -10 to 10 degrees"
    assert f"objects are labelled {words}" in open_dataset(stated).info().notes


@pytest.mark.parametrize(
    ("content", "words", "note"),
    [
        ([label(x=9, y=3), label("Tram", y=-9)], "from -38 to 38 degrees", "types are those of KITTI"),
        ([label("vehicle", y=10), label("bus", y=-10)], "from -45 to 45 degrees", "all labels lie from -45"),
        ([label(), label(x=-9, y=1), label(x=-9, y=-1)], "all around", "all counts"),
        ([], "all around", "nothing is labelled: all counts"),
    ],
)
def test_without_a_region_the_labels_show_it_and_it_is_said(tmp_path, content, words, note):
    """Kind: labels without a region."""
    dataset = open_dataset(labelled(tmp_path / "mine", {"000000": content}))
    assert dataset.description()["region"] == words
    assert any("no region is stated" in line and note in line for line in dataset.info().notes)


@pytest.mark.parametrize("region", ["[38, -38]", "[1, 2, 3]", "ahead", "[.nan, 3]", "'12'", "[no, yes]"])
def test_what_is_no_region_is_refused(tmp_path, region):
    stated = labelled(tmp_path / "mine", {"000000": [label()]}, region=region)
    with pytest.raises(CosenseError, match=r"region\.yaml: azimuth_deg .* expected two azimuths"):
        open_dataset(stated)
    with pytest.raises(CosenseError, match="region 'left': expected two azimuths"):
        open_dataset(stated, region="left")
    (stated / "region.yaml").write_text("azimuth_deg: all\nrange_m: 50\n")
    with pytest.raises(CosenseError, match="unknown key 'range_m'"):
        open_dataset(stated)


def test_labels_that_count_neither_way_are_said(tmp_path):
    content = [label(), label("ignore"), label("Spaceship"), label("ignore"), label(x=-9)]
    dataset = open_dataset(labelled(tmp_path / "mine", {"000000": content}, region="[-90, 90]"))
    said = "labels that count neither way: 'ignore' (2), 'Spaceship' (1), outside of the region (1)"
    assert said in dataset.info(verify=True).notes


def test_of_two_label_sets_the_first_is_taken_and_it_is_said(tmp_path):
    folder = labelled(tmp_path / "mine", {"000000": [label()]})
    (folder / "label_2").mkdir()
    (folder / "label_2" / "000000.txt").write_text("")
    notes = open_dataset(folder).info().notes
    assert "labels are in label and label_2: label is taken, --labels takes another" in notes
    with pytest.raises(CosenseError, match=r"calib/000000\.txt: no such file.* put calib/ beside label_2/"):
        open_dataset(folder, labels="label_2")[0]


def test_a_cloud_without_labels_and_labels_without_a_cloud_are_left_out_and_said(tmp_path):
    folder = labelled(tmp_path / "mine", {"000000": [label()], "000001": [label()], "000002": [label()]})
    (folder / "label" / "000001.json").unlink()
    (folder / "velodyne" / "000002.bin").unlink()
    dataset = open_dataset(folder)
    assert (dataset.split, [frame.frame_id for frame in dataset]) == ("labelled", ["000000"])
    assert [frame.is_labelled for frame in open_dataset(folder, split="all")] == [True, False]
    info = dataset.info(verify=True)
    assert info.frames_per_split == {"all": 2, "labelled": 1}
    assert info.problems == ["velodyne: 1 of 2 files missing: 000002.bin"]
    assert "1 cloud without labels, first 000001: only in split all" in info.notes
    assert "1 file of labels without a cloud left out, first 000002" in info.notes


def test_labels_of_other_names_are_refused(tmp_path):
    folder = labelled(tmp_path / "mine", {"000000": [label()]})
    (folder / "label" / "000000.json").rename(folder / "label" / "frame_0.json")
    with pytest.raises(CosenseError, match="none of its files has the name of a cloud, as 000000; name them"):
        open_dataset(folder)
    assert open_dataset(folder, labels="none").label_set == "none"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[{", r"000000\.json: broken or truncated JSON"),
        ('{"objects": []}', r"000000\.json: is dict, expected a list of labels"),
        ('[{"type": "Car"}]', r"label 0, Car: 'x' is None, expected a number"),
        ([label(x="far")], r"label 0, Car: 'x' is 'far', expected a number"),
        ([label(x=True)], r"label 0, Car: 'x' is True, expected a number"),
        ([label(kind=5)], r"label 0 is \{'type': 5, .* expected a 'type' in words"),
        ("[3]", r"label 0 is 3, expected a 'type' in words and x y z l w h yaw"),
        ([label(), label(y=float("nan"))], r"000000\.json: label 1, Car, is no box .* are \[10.0, nan"),
        ([label(l=-4)], r"label 0, Car, is no box"),
        ([label(l=1e6)], r"no box in metres \(below 1000\)"),
        ([label(yaw=178.0)], r"radians \(at most a turn\): x y z l w h yaw are \[.*, 178.0\]; correct it"),
    ],
)
def test_broken_labels_are_named_when_their_frame_is_read(tmp_path, content, error):
    dataset = open_dataset(labelled(tmp_path / "mine", {"000000": content, "000001": [label()]}))
    with pytest.raises(CosenseError, match=error):
        dataset[0]
    assert len(dataset[1].ground_truth) == 1
    assert len(dataset.info(verify=True).problems) == 1


def test_poses_relate_the_frames_and_bring_their_stamps(tmp_path):
    frames = {"000000": [label()], "000004": [label(x=8.0)]}
    poses = {"000000": pose(0, 1.5), "000004": pose(2, 1.9), "000008": pose(4, 2.3)}
    dataset = open_dataset(labelled(tmp_path / "mine", frames, poses=poses))
    first, second = dataset
    assert first.sequence == second.sequence == "mine"
    assert [frame.ego.stamp_ns for frame in dataset] == [1_500_000_000, 1_900_000_000]
    in_world = [frame.ground_truth.transformed(frame.ego.T_world_agent).boxes[0, 0] for frame in dataset]
    assert in_world == [10.0, 10.0]


SHEARED = np.eye(4) + 5 * np.eye(4, k=1)


@pytest.mark.parametrize(
    ("poses", "error"),
    [
        ({"000000": pose(0)}, "has no pose of 1 cloud, first 000004; add them, or move the file away"),
        ([], "expected poses by the names of the clouds"),
        (
            {"000000": pose(0), "000004": {"stamp_s": 1}},
            "'000004' is no pose: expected 'stamp_s', in seconds",
        ),
        ({"000000": pose(0), "000004": pose(float("nan"))}, "'000004' is no pose"),
        ({"000000": {"stamp_s": 0, "T_world_lidar": np.zeros((4, 4)).tolist()}}, "'000000' is no pose"),
        ({"000000": {"stamp_s": 0, "T_world_lidar": SHEARED.tolist()}}, "'000000' is no pose"),
        ({"000000": {"stamp_s": 0, "T_world_lidar": np.eye(4)[:3].tolist()}}, "'000000' is no pose"),
        ({"000000": pose(0, 1e300)}, "'000000' is no pose"),
    ],
)
def test_poses_that_are_none_are_refused(tmp_path, poses, error):
    frames = {"000000": [label()], "000004": [label()]}
    with pytest.raises(CosenseError, match=error):
        open_dataset(labelled(tmp_path / "mine", frames, poses=poses))


CALIBRATION = """P2: 700 0 600 0 0 700 180 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 -0.1 1 0 0 -0.3
"""


def kitti(folder, lines):
    for name, text in (("label_2", lines), ("calib", CALIBRATION)):
        (folder / name).mkdir(parents=True)
        (folder / name / "000000.txt").write_text(text)
    clouds(folder / "velodyne", "000000.bin")
    return folder


def test_labels_of_kitti_are_placed_around_the_lidar(tmp_path):
    """Kind: the bottom of a box for its centre, a heading of the camera for one of the LiDAR."""
    lines = "Car 0 0 0 0 0 9 9 1.5 1.8 4.0 -3.0 1.6 20.0 -1.5708\nMisc 0 0 0 0 0 9 9 1 1 1 2 1.6 9 0\n"
    frame = open_dataset(kitti(tmp_path / "training", lines))[0]
    # Camera: x right, y down, z ahead, 0.3 m before and 0.1 m below the LiDAR.
    np.testing.assert_allclose(frame.ground_truth.boxes, [[20.3, 3.0, -0.95, 4.0, 1.8, 1.5, 0]], atol=1e-4)
    assert len(frame.labelled.ignored) == 1
    assert frame.labelled.sectors[0].span_rad == pytest.approx(np.deg2rad(76))


def test_images_of_kitti_have_their_calibration(tmp_path):
    folder = kitti(tmp_path / "training", "")
    assert open_dataset(folder, cameras=True)[0].ego.cameras == ()
    (folder / "image_2").mkdir()
    cv2.imwrite(str(folder / "image_2" / "000000.png"), np.full((360, 1200, 3), (30, 20, 10), np.uint8))
    # The colour camera is 0.06 m to the left of the grey one, from which KITTI projects.
    (folder / "calib" / "000000.txt").write_text(CALIBRATION.replace("700 0 600 0", "700 0 600 42"))
    frame = open_dataset(folder, cameras=True)[0]
    (camera,) = frame.ego.cameras
    assert (camera.image.shape, camera.image[0, 0].tolist()) == ((360, 1200, 3), [10, 20, 30])
    assert camera.stamp_ns == frame.ego.stamp_ns
    # Camera: 0.3 m before and 0.1 m below the LiDAR.
    uv = project(camera, np.array([[20.3, 3.0, -0.1]])).uv
    np.testing.assert_allclose(uv, [[600 + 700 * (-3.0 + 0.06) / 20, 180]])
    assert open_dataset(folder)[0].ego.cameras == ()


def test_points_of_a_real_label_are_seen_within_its_rectangle(shared_data):
    """Kind: a camera beside its true place; label_2 has the rectangle of each object in the image."""
    for frame in open_dataset(shared_data / "kitti_frames", cameras=True):
        path = shared_data / "kitti_frames/training/label_2" / f"{frame.frame_id}.txt"
        lines = [line.split() for line in path.read_text().splitlines()]
        given = [np.array(line[4:8], float) for line in lines if line[0] in ("Pedestrian", "Car", "Truck")]
        for box, (left, top, right, bottom) in zip(frame.ground_truth.boxes, given, strict=False):
            points = frame.ego.points[points_in_boxes(frame.ego.points, box[None])[0]]
            u, v = project(frame.ego.cameras[0], points).uv.T
            assert (abs(2 * u - left - right) < right - left + 8).all()
            assert (abs(2 * v - top - bottom) < bottom - top + 8).all()


def test_dont_care_of_kitti_is_left_open_where_it_would_stand_on_the_road(tmp_path):
    # Its lower edge is seen 0.1 below the horizon by a camera 1.65 m above the road: 16.5 m ahead.
    lines = "DontCare -1 -1 -10 600 150 670 250 -1 -1 -1 -1000 -1000 -1000 -10\n"
    folder = kitti(tmp_path / "training", lines)
    area = open_dataset(folder)[0].labelled
    found = np.array([[x, y, -1, 4, 1.8, 1.5, 0] for x, y in ((16.8, -0.8), (16.8, 4), (8, 0))])
    assert area.leaves_open(found).tolist() == [True, False, False]


def test_an_empty_file_of_kitti_is_a_frame_in_which_nothing_is_labelled(tmp_path):
    """Kind: false alarms of an empty road that do not count, as if nobody had looked."""
    dataset = open_dataset(kitti(tmp_path / "training", ""))
    assert (dataset.split, dataset[0].is_labelled, len(dataset[0].ground_truth)) == ("all", True, 0)


@pytest.mark.parametrize(
    ("lines", "calibration", "error"),
    [
        ("Car 0 0\n", CALIBRATION, r"000000\.txt: line 1 is no label of KITTI"),
        ("Car 0 0 0 0 0 9 9 1.5 1.8 x -3 1.6 20 0\n", CALIBRATION, "line 1 is no label of KITTI"),
        ("", "P2: 1 2 3\n", r"calib\.txt: has no 'P2' of 12 numbers"),
        ("", CALIBRATION.replace("R0_rect: 1", "R0_rect: 0"), "'R0_rect' is no rotation"),
        ("", "P2: a\n", r"calib\.txt: P2 is no matrix"),
    ],
)
def test_broken_labels_of_kitti_are_named(tmp_path, lines, calibration, error):
    for name, text in (("000000.txt", lines), ("calib.txt", calibration)):
        (tmp_path / name).write_text(text)
    with pytest.raises(CosenseError, match=error):
        read_kitti_labels(tmp_path / "000000.txt", tmp_path / "calib.txt")


def test_points_of_real_labels_are_those_of_their_boxes(shared_data):
    """Kind: labels of one place on clouds of another."""
    for frame in open_dataset(shared_data / "kitti_frames"):
        assert points_in_boxes(frame.ego.points, frame.ground_truth.boxes).sum(axis=1).min() >= 5
    frame = open_dataset(shared_data / "real_frames" / "argoverse2")[0]
    stated = json.loads((shared_data / "real_frames/argoverse2/label/000000.json").read_text())
    stated = [item["points"] for item in stated if item["type"] != "ignore"]
    assert points_in_boxes(frame.ego.points, frame.ground_truth.boxes).sum(axis=1).tolist() == stated
