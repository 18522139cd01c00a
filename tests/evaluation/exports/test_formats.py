"""What other tools read is what was found: read back here as their documents say, not as our writer does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cosense.errors import CosenseError
from cosense.evaluation.exports.base import check_formats, export
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FRAMES, FrameResult, frame_record, frame_result
from cosense.evaluation.runs.runner import evaluate
from cosense.geometry.transforms import transform_from_quaternion
from cosense.json_lines import read_lines
from cosense.sensing.objects import ObjectClass
from tests.evaluation.scenes import Scenes, box, detections, objects, point_is_car, result, two_agents

# A pose that leans: a yaw alone would hide a wrong order of angles.
T_WORLD_EGO = transform_from_quaternion(
    [500.0, -20.0, 22.0], Rotation.from_euler("zyx", [0.7, 0.05, -0.04]).as_quat()
)


def written(folder: Path, frame: FrameResult, name: str) -> Path:
    """Write a run of one frame in a format."""
    record = frame_record(frame) | {"T_world_ego": T_WORLD_EGO.tolist()}
    (folder / FRAMES).write_text(json.dumps({"skipped": "unreadable"}) + "\n" + json.dumps(record) + "\n")
    return export(folder, name)


def kitti_objects(text: str, calib: str) -> list[tuple[str, np.ndarray, list[float]]]:
    """Return class, box in the LiDAR frame and 2D box of each line, as the devkit's readme defines them."""
    matrices = {
        name: np.array(v.split(), float) for name, v in (line.split(": ") for line in calib.splitlines())
    }
    R_camera_lidar = matrices["Tr_velo_to_cam"].reshape(3, 4)[:, :3]
    found = []
    for line in text.splitlines():
        kind, *rest = line.split()
        height, width, length, x, y, z, rotation_y = (float(value) for value in rest[7:14])
        centre = R_camera_lidar.T @ [x, y - height / 2, z]
        heading = R_camera_lidar.T @ [np.cos(rotation_y), 0.0, -np.sin(rotation_y)]
        yaw = np.arctan2(heading[1], heading[0])
        found.append(
            (kind, np.array([*centre, length, width, height, yaw]), [float(value) for value in rest[3:7]])
        )
    return found


def test_a_reader_of_kitti_gets_the_boxes_of_the_lidar_back(tmp_path: Path) -> None:
    boxes = [box(20, 3, yaw=0.3), box(-15, 8, yaw=-2.5), box(40, -30, yaw=3.0)]
    labels = [ObjectClass.CAR, ObjectClass.MOTORCYCLIST, ObjectClass.TRAFFIC_CONE]
    out = written(
        tmp_path,
        result(
            detections(boxes, [0.9, 0.8, 0.7], labels), objects(boxes[:1], [ObjectClass.BUS]), frame_id="a/7"
        ),
        "kitti",
    )
    calib = (out / "calib/000000.txt").read_text()
    found = kitti_objects((out / "detections/000000.txt").read_text(), calib)
    assert [kind for kind, *_ in found] == ["Car", "Cyclist", "TrafficCone"]
    np.testing.assert_allclose([values for _, values, _ in found], boxes, atol=2e-6)
    scores = [line.split()[15] for line in (out / "detections/000000.txt").read_text().splitlines()]
    assert scores == ["0.900000", "0.800000", "0.700000"]
    ((kind, truth, _),) = kitti_objects((out / "label_2/000000.txt").read_text(), calib)
    assert (kind, len((out / "label_2/000000.txt").read_text().split())) == ("Car", 15)
    np.testing.assert_allclose(truth, boxes[0], atol=2e-6)
    assert (out / "frames.txt").read_text() == "000000 a/7\n"


def test_a_box_in_the_image_is_where_the_camera_sees_it(tmp_path: Path) -> None:
    """A car straight ahead: its rear, 17.75 m away, is 1.8 m wide; beside and behind is nothing."""
    ahead, behind, beside = box(20), box(-20), box(3, 30)
    out = written(
        tmp_path, result(detections([ahead, behind, beside], [0.9, 0.8, 0.7]), objects([])), "kitti"
    )
    found = kitti_objects((out / "detections/000000.txt").read_text(), (out / "calib/000000.txt").read_text())
    focal, middle, middle_y = 721.5377, 609.5593, 172.854
    expected = [
        middle - focal * 0.9 / 17.75,
        middle_y + focal * 0.25 / 22.25,
        middle + focal * 0.9 / 17.75,
        middle_y + focal * 1.75 / 17.75,
    ]
    np.testing.assert_allclose(found[0][2], expected, atol=1e-5)
    assert [rectangle for *_, rectangle in found[1:]] == [[-1.0] * 4] * 2
    # Seen under no angle, the car shows its rear: alpha is rotation_y.
    assert float((out / "detections/000000.txt").read_text().split()[3]) == pytest.approx(-np.pi / 2)


def test_a_reader_of_nuscenes_gets_boxes_in_the_world(tmp_path: Path) -> None:
    boxes = [box(20, 3, yaw=0.3), box(-15, 8, yaw=-2.5), box(1, 1)]
    found = detections(boxes, [0.5, 0.9, 0.8], [ObjectClass.VAN, ObjectClass.PEDESTRIAN, ObjectClass.BARROW])
    out = written(tmp_path, result(found, objects(boxes[:1]), [17], frame_id="f"), "nuscenes")
    entries = json.loads((out / "detections.json").read_text())["results"]["f"]
    assert [entry["detection_name"] for entry in entries] == ["pedestrian", "car"]
    assert [entry["detection_score"] for entry in entries] == pytest.approx([0.9, 0.5])
    for entry, (x, y, z, length, width, height, yaw) in zip(entries, (boxes[1], boxes[0]), strict=True):
        assert entry["size"] == [width, length, height]
        centre = T_WORLD_EGO[:3, :3] @ [x, y, z] + T_WORLD_EGO[:3, 3]
        np.testing.assert_allclose(entry["translation"], centre, atol=1e-9)
        w, *xyz = entry["rotation"]
        heading = Rotation.from_quat([*xyz, w]).apply([1.0, 0.0, 0.0])
        np.testing.assert_allclose(heading, T_WORLD_EGO[:3, :3] @ [np.cos(yaw), np.sin(yaw), 0.0], atol=1e-12)
    (truth,) = json.loads((out / "ground_truth.json").read_text())["results"]["f"]
    assert (truth["num_pts"], truth["detection_score"]) == (17, -1.0)


def test_nuscenes_takes_500_boxes_a_frame_and_gets_the_best(tmp_path: Path) -> None:
    scores = np.linspace(0.1, 0.9, 510)
    found = detections([box(x) for x in range(510)], scores)
    out = written(tmp_path, result(found, objects([])), "nuscenes")
    entries = json.loads((out / "detections.json").read_text())["results"]["0"]
    assert len(entries) == 500
    assert min(entry["detection_score"] for entry in entries) == pytest.approx(scores[10])


def test_a_run_that_was_evaluated_is_exported_with_its_poses(tmp_path: Path) -> None:
    frames = [two_agents(0), two_agents(1)]
    evaluate(Scenes(list(frames)), point_is_car(), load_protocol("opencood"), fusion="late", out=tmp_path)
    results = json.loads((export(tmp_path, "nuscenes") / "detections.json").read_text())["results"]
    for frame, record in zip(frames, read_lines(tmp_path / FRAMES), strict=True):
        places = np.array([entry["translation"] for entry in results[frame.frame_id]])
        T, found = frame.ego.T_world_agent, frame_result(record).detections
        np.testing.assert_allclose(places, found.boxes[:, :3] @ T[:3, :3].T + T[:3, 3], atol=1e-6)
        assert len(places) == 3


def test_a_format_that_nobody_writes_and_a_run_without_poses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match=r"--export kiti: unknown format, did you mean 'kitti'"):
        check_formats(["nuscenes", "kiti"])
    record = frame_record(result(detections([], []), objects([])))
    (tmp_path / FRAMES).write_text(json.dumps(record) + "\n")
    with pytest.raises(CosenseError, match=r"frames.jsonl: line 1 has no pose .*--restart"):
        export(tmp_path, "kitti")
