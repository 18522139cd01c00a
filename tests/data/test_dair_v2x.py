"""DAIR-V2X-C and V2X-Seq-SPD: what real trees do that a tidy one does not.

The trees are written by our writer and then roughened as the released files are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.dair_v2x import DairV2xDataset
from cosense.errors import CosenseError
from cosense.geometry.boxes import box_corners
from cosense.geometry.transforms import invert, transform_from
from cosense.sensing.objects import ObjectClass
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.simulation.hand_made import forget_origin, make_frame, make_frames

FRAMES = 4
VEHICLE_CALIB = "vehicle-side/calib"
WORLD_LABEL = "cooperative/label_world"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory) -> Path:
    """A tree of four frames, without all that tells that we wrote it."""
    root = tmp_path_factory.mktemp("dair") / "cooperative-vehicle-infrastructure"
    write_dair_v2x(make_frames(FRAMES, cameras=True), root)
    forget_origin(root)
    (root / "cooperative-split-data.json").unlink()
    return root


@pytest.fixture
def tree(pristine, tmp_path) -> Path:
    """A copy that a test may spoil."""
    root = tmp_path / pristine.name
    shutil.copytree(pristine, root)
    return root


def _load(path: Path) -> Any:
    return json.loads(path.read_text())


def _edit(path: Path, change) -> None:
    """Change a JSON file in place; `change` may return a new content."""
    content = _load(path)
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed))


def _write_splits(path: Path, **splits: list[str]) -> None:
    path.write_text(json.dumps({"cooperative_split": splits}))


def test_a_tree_opens_by_its_root_and_by_the_folder_around_it(tree):
    for path in (tree, tree.parent, str(tree)):
        dataset = open_dataset(path)
        assert (dataset.kind, dataset.label_set, dataset.split) == ("dair-v2x-c", "original", "all")
        assert [dataset[i].frame_id for i in range(len(dataset))] == [f"{n:06d}" for n in range(FRAMES)]


def test_vehicle_pose_is_composed_through_the_inertial_unit(tree):
    lidar_to_novatel = _load(tree / VEHICLE_CALIB / "lidar_to_novatel/000000.json")
    assert "transform" in lidar_to_novatel
    # Without the extra level, as some releases have it, the same.
    (tree / VEHICLE_CALIB / "lidar_to_novatel/000000.json").write_text(
        json.dumps(lidar_to_novatel["transform"])
    )
    world = _load(tree / VEHICLE_CALIB / "novatel_to_world/000000.json")
    expected = transform_from(world["rotation"], world["translation"]) @ transform_from(
        lidar_to_novatel["transform"]["rotation"], lidar_to_novatel["transform"]["translation"]
    )
    np.testing.assert_allclose(open_dataset(tree)[0].ego.T_world_agent, expected, atol=1e-12)


def test_the_roadside_unit_is_placed_relative_to_the_vehicle_through_the_world(tree):
    unit = _load(tree / "infrastructure-side/calib/virtuallidar_to_world/100000.json")
    offset = _load(tree / "cooperative/data_info.json")[0]["system_error_offset"]
    shift = np.array([[offset["delta_x"]], [offset["delta_y"]], [0.0]])
    T_world_unit = transform_from(unit["rotation"], np.array(unit["translation"]).reshape(3, 1) + shift)
    chain = [
        _load(tree / VEHICLE_CALIB / "novatel_to_world/000000.json"),
        _load(tree / VEHICLE_CALIB / "lidar_to_novatel/000000.json")["transform"],
    ]
    # A point of the unit is taken through each frame by itself; rotations are undone by their transposes.
    point = (T_world_unit @ [3.0, -2.0, 1.0, 1.0])[:3]
    for link in chain:
        point = np.array(link["rotation"]).T @ (point - np.array(link["translation"]).ravel())
    T_ego_unit = open_dataset(tree)[0].T_ego_agent("infrastructure")
    np.testing.assert_allclose((T_ego_unit @ [3.0, -2.0, 1.0, 1.0])[:3], point, rtol=0, atol=1e-12)


def test_offset_is_added_in_the_world_and_labels_come_without_it(tree):
    with_offset, without = DairV2xDataset(tree)[0], DairV2xDataset(tree, apply_offset=False)[0]
    moved = (
        with_offset.agents["infrastructure"].T_world_agent - without.agents["infrastructure"].T_world_agent
    )
    np.testing.assert_allclose(moved[:3, 3], [0.66, -1.1, 0], atol=1e-9)
    np.testing.assert_array_equal(with_offset.ego.T_world_agent, without.ego.T_world_agent)
    np.testing.assert_array_equal(with_offset.ground_truth.boxes, without.ground_truth.boxes)
    corners = [item["world_8_points"] for item in _load(tree / WORLD_LABEL / "000000.json")]
    in_world = box_corners(with_offset.ground_truth.boxes).reshape(-1, 3)
    T = with_offset.ego.T_world_agent
    np.testing.assert_allclose(in_world @ T[:3, :3].T + T[:3, 3], np.reshape(corners, (-1, 3)), atol=1e-6)


@pytest.mark.parametrize("empty", ["", None, {"delta_x": "", "delta_y": ""}])
def test_an_empty_offset_is_no_offset(tree, empty):
    _edit(tree / "cooperative/data_info.json", lambda pairs: pairs[0].update(system_error_offset=empty))
    unit = open_dataset(tree)[0].agents["infrastructure"]
    np.testing.assert_array_equal(
        unit.T_world_agent, DairV2xDataset(tree, apply_offset=False)[0].agents["infrastructure"].T_world_agent
    )


def test_offset_may_be_strings_and_nonsense_is_named(tree):
    index = tree / "cooperative/data_info.json"
    _edit(index, lambda pairs: pairs[0].update(system_error_offset={"delta_x": "1", "delta_y": "2"}))
    assert open_dataset(tree)._frames[0].offset_m == (1.0, 2.0)
    _edit(index, lambda pairs: pairs[2].update(system_error_offset={"delta_x": 1}))
    with pytest.raises(CosenseError, match=r"data_info\.json: entry 2: system_error_offset is"):
        open_dataset(tree)


def test_labels_with_strings_zero_sizes_and_foreign_classes(tree):
    def roughen(items):
        first = items[0]
        first["type"] = "CAR"
        for group in ("3d_location", "3d_dimensions"):
            first[group] = {key: str(value) for key, value in first[group].items()}
        first["rotation"] = str(first["rotation"])
        flat = dict(items[1], **{"3d_dimensions": {"h": 0, "w": "1.0", "l": 2.0}})
        ignored = [dict(items[1], type=name) for name in ("Unknown_movable", "carIgnore", "")]
        return [first, flat, *ignored, dict(items[1], type="barrow")]

    _edit(tree / "vehicle-side/label/lidar/000000.json", roughen)
    objects = open_dataset(tree)[0].ego.objects
    assert list(objects.labels) == [ObjectClass.CAR, ObjectClass.BARROW]
    np.testing.assert_allclose(objects.boxes[0], make_frame(0).frame.ego.objects.boxes[0], atol=1e-9)


def test_cooperative_labels_are_their_corners_and_nothing_else(tree):
    def spoil(items):
        for item in items:
            item["3d_location"] = item["3d_dimensions"] = {"x": "none of this is usable"}
            item["world_8_points"] = [[str(value) for value in corner] for corner in item["world_8_points"]]
        items.append(dict(items[0], world_8_points=[[0, 0, 0]] * 8))

    _edit(tree / WORLD_LABEL / "000000.json", spoil)
    truth = open_dataset(tree)[0].ground_truth
    np.testing.assert_allclose(truth.boxes, make_frame(0).frame.ground_truth.boxes, atol=1e-6)


def test_ids_are_unique_where_there_are_no_tracks(tree):
    for path in (tree / WORLD_LABEL).iterdir():
        _edit(path, lambda items: [item.pop("track_id") for item in items] and None)
    dataset = open_dataset(tree)
    ids = [str(name) for i in range(FRAMES) for name in dataset[i].ground_truth.ids]
    assert len(set(ids)) == len(ids) == 3 * FRAMES


def test_readme_keys_and_missing_keys_of_the_index_are_the_same_as_the_released_ones(tree):
    def rename(entries):
        for entry in entries:
            entry["label_lidar_path"] = entry.pop("label_lidar_std_path")
            del entry["calib_novatel_to_world_path"]

    before = open_dataset(tree)[1]
    _edit(tree / "vehicle-side/data_info.json", rename)
    after = open_dataset(tree)[1]
    np.testing.assert_array_equal(before.ego.T_world_agent, after.ego.T_world_agent)
    np.testing.assert_array_equal(before.ego.objects.boxes, after.ego.objects.boxes)


def test_labels_of_a_side_may_be_absent_altogether(tree):
    shutil.rmtree(tree / "infrastructure-side/label/virtuallidar")
    frame = open_dataset(tree)[0]
    assert frame.agents["infrastructure"].objects is None
    assert frame.ego.objects is not None


def test_rotation_that_is_not_orthonormal_is_kept(tree, caplog):
    path = tree / "vehicle-side/calib/lidar_to_camera/000000.json"
    _edit(path, lambda content: content.update(rotation=[[0, -1.02, 0], [0, 0, -1.01], [1, 0.001, 0]]))
    camera = open_dataset(tree, cameras=True)[0].ego.cameras[0]
    assert camera.T_camera_agent[0, 1] == -1.02
    np.testing.assert_allclose(invert(camera.T_camera_agent) @ camera.T_camera_agent, np.eye(4), atol=1e-12)
    assert "not orthonormal" in caplog.text
    _edit(path, lambda content: content.update(rotation=[[0, 1, 0], [0, 0, -1], [1, 0, 0]]))
    with pytest.raises(CosenseError, match=r"lidar_to_camera/000000\.json: the rotation has determinant -1"):
        open_dataset(tree, cameras=True)[0]


def _install_complemented(tree: Path) -> None:
    """Do what the complemented annotations ask for: old labels to *_backup, new ones in their place."""
    for folder in ("vehicle-side/label/lidar", "cooperative/label_world"):
        (tree / folder).rename(tree / f"{folder}_backup")
        shutil.copytree(tree / f"{folder}_backup", tree / folder)
        for path in (tree / folder).iterdir():
            _edit(path, lambda items: items[:1])


def test_original_and_complemented_labels_are_told_apart(tree):
    with pytest.raises(CosenseError, match="no label set 'complemented' here"):
        open_dataset(tree, labels="complemented")
    _install_complemented(tree)
    complemented, original = open_dataset(tree), open_dataset(tree, labels="original")
    assert (complemented.label_set, original.label_set) == ("complemented", "original")
    assert (len(complemented[0].ground_truth), len(original[0].ground_truth)) == (1, 3)
    assert (len(complemented[0].ego.objects), len(original[0].ego.objects)) == (1, 2)
    assert open_dataset(tree, labels="complemented").info().label_set == "complemented"
    with pytest.raises(CosenseError, match="did you mean 'complemented'"):
        open_dataset(tree, labels="complement")


@pytest.mark.parametrize("backup", ["vehicle-side/label/lidar_backup", "cooperative/label_world_backup"])
def test_half_installed_complemented_labels_are_a_problem(tree, backup):
    _install_complemented(tree)
    assert open_dataset(tree).info().problems == []
    shutil.rmtree(tree / backup)
    assert any("half installed" in line for line in open_dataset(tree).info().problems)


def test_official_split_file_can_be_named_and_is_intersected_with_the_files(tree, shared_data):
    official = shared_data / "dair_v2x_splits" / "cooperative-split-data.json"
    wanted = _load(official)["cooperative_split"]["val"][0]
    for path in [*(tree / "vehicle-side").rglob("000002.*"), tree / WORLD_LABEL / "000002.json"]:
        path.rename(path.with_stem(wanted))
    for name in ("cooperative/data_info.json", "vehicle-side/data_info.json"):
        (tree / name).write_text((tree / name).read_text().replace("000002", wanted))
    dataset = open_dataset(tree, split=f"{official}:val")
    assert [dataset[i].frame_id for i in range(len(dataset))] == [wanted]


def test_splits_by_name_by_list_and_unknown(tree):
    with pytest.raises(CosenseError, match=r"needs cooperative-split-data\.json in the tree or beside it"):
        open_dataset(tree, split="val")
    _write_splits(
        tree.parent / "cooperative-split-data.json", train=["000000", "000003"], val=["000001", "999999"]
    )
    (tree / "val.json").write_text(json.dumps(["000001", "000002"]))
    train = open_dataset(tree, split="train")
    assert (train.split, [train[i].frame_id for i in range(len(train))]) == ("train", ["000000", "000003"])
    assert len(open_dataset(tree, split="val")) == 1
    assert len(open_dataset(tree, split="val.json")) == 2
    assert open_dataset(tree).info().frames_per_split == {"train": 2, "val": 1, "val.json": 2, "all": FRAMES}
    with pytest.raises(CosenseError, match="unknown split 'vall', did you mean 'val'"):
        open_dataset(tree, split="vall")


def test_test_frames_without_files_are_left_out_and_noted(tree):
    def list_unreleased(pairs):
        unreleased = json.dumps(pairs[0]).replace("000000", "011111").replace("100000", "022222")
        pairs.append(json.loads(unreleased))

    _edit(tree / "cooperative/data_info.json", list_unreleased)
    _write_splits(tree / "cooperative-split-data.json", val=["000000"], test=["011111"])
    dataset = open_dataset(tree)
    info = dataset.info(verify=True)
    assert len(dataset) == FRAMES
    assert info.problems == []
    assert info.frames_per_split == {"val": 1, "test": 0, "all": FRAMES}
    assert "no files of 1 listed pair (the test split is not released)" in info.notes
    with pytest.raises(CosenseError, match="split 'test' has no complete frame"):
        open_dataset(tree, split="test")


def test_a_cloud_that_is_missing_leaves_the_pair_out_and_is_named(tree):
    (tree / "infrastructure-side/velodyne/100002.pcd").unlink()
    dataset = open_dataset(tree)
    assert [dataset[i].frame_id for i in range(len(dataset))] == ["000000", "000001", "000003"]
    assert dataset.info().problems == ["infrastructure-side/velodyne: 1 of 1 file missing: 100002.pcd"]


def test_a_part_that_was_never_unpacked_is_named_at_once(tree):
    shutil.rmtree(tree / "infrastructure-side/velodyne")
    with pytest.raises(CosenseError, match="infrastructure-side/velodyne: 4 of 4 files missing"):
        open_dataset(tree)


def test_missing_images_count_only_when_images_are_wanted(tree):
    (tree / "vehicle-side/image/000001.jpg").unlink()
    assert len(open_dataset(tree)) == FRAMES
    assert len(open_dataset(tree, cameras=True)) == FRAMES - 1
    assert open_dataset(tree).info(verify=True).problems == [
        "vehicle-side/image: 1 of 4 files missing: 000001.jpg"
    ]
    shutil.rmtree(tree / "vehicle-side/image")
    info = open_dataset(tree).info(verify=True)
    assert info.problems == []
    assert "vehicle-side/image: no images here" in info.notes
    dataset = open_dataset(tree, cameras=True)
    agents = dataset[0].agents.values()
    assert len(dataset) == FRAMES
    assert [len(agent.cameras) for agent in agents] == [0, 1]


def test_a_missing_calibration_is_an_error_of_its_frame(tree):
    (tree / "infrastructure-side/calib/virtuallidar_to_world/100001.json").unlink()
    dataset = open_dataset(tree)
    assert len(dataset[0].ground_truth) == 3
    with pytest.raises(CosenseError, match=r"virtuallidar_to_world/100001\.json: no such file"):
        dataset[1]
    assert dataset.info(verify=True).problems == [
        "infrastructure-side/calib/virtuallidar_to_world: 1 of 4 files missing: 100001.json"
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cooperative/data_info.json", '[{"vehicle', "broken or truncated JSON"),
        ("cooperative/data_info.json", "{}", "expected a list of entries"),
        ("vehicle-side/data_info.json", '[{"image_path": "x"}]', "neither 'pointcloud_path' nor 'frame_id'"),
        ("infrastructure-side/data_info.json", "[]", "no entry for 4 frames: 100000"),
        ("cooperative/label_world/000000.json", '[{"type": "car"}]', "no usable 'world_8_points'"),
        ("cooperative/label_world/000000.json", "[{", "broken or truncated JSON"),
        ("vehicle-side/label/lidar/000000.json", '[{"type": "car"}]', "no usable geometry"),
        ("vehicle-side/label/lidar/000000.json", '{"type": "car"}', "expected a list of objects"),
        ("vehicle-side/calib/novatel_to_world/000000.json", '{"rotation": [1]}', "no usable rotation"),
        ("vehicle-side/calib/camera_intrinsic/000000.json", "{}", "no usable 'cam_K'"),
        ("vehicle-side/image/000000.jpg", "not a picture", "not readable as an image"),
        ("cooperative-split-data.json", "{}", "no 'cooperative_split'"),
        ("train.json", "{}", "expected a list of frame ids"),
    ],
)
def test_broken_files_are_named(tree, name, text, message):
    (tree / name).write_text(text)
    with pytest.raises(CosenseError, match=message) as caught:
        open_dataset(tree, cameras=True)[0]
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["vehicle-side/label/lidar/000000.json", "vehicle-side/image/000000.jpg"])
def test_a_folder_in_place_of_a_file_is_named(tree, name):
    (tree / name).unlink()
    (tree / name).mkdir()
    with pytest.raises(CosenseError, match=f"{name}: cannot be read"):
        open_dataset(tree, cameras=True)[0]


def test_a_time_stamp_that_is_none_is_named(tree):
    _edit(
        tree / "vehicle-side/data_info.json", lambda entries: entries[0].update(pointcloud_timestamp="soon")
    )
    with pytest.raises(
        CosenseError, match="frame 000000: pointcloud_timestamp is 'soon', expected microseconds"
    ):
        open_dataset(tree)[0]


def test_folders_that_are_no_data_set_say_what_was_looked_for(tmp_path, tree):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CosenseError, match=r"Looked .*cooperative/data_info\.json .*scenario/agent"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(CosenseError, match="no such file or folder"):
        open_dataset(tmp_path / "nowhere")
    shutil.copytree(tree, tmp_path / "again")
    with pytest.raises(CosenseError, match="several data sets, name one of them: again, cooperative-vehicle"):
        open_dataset(tmp_path)


def test_async_takes_the_earlier_frame_and_keeps_the_offset(tree):
    dataset = open_dataset(tree, async_frames=2)
    assert [dataset[i].frame_id for i in range(len(dataset))] == ["000002", "000003"]
    assert dataset.async_frames == 2
    frame, sync = dataset[0], open_dataset(tree)
    early, late = (sync[i].agents["infrastructure"] for i in (0, 2))
    unit = frame.agents["infrastructure"]
    np.testing.assert_array_equal(unit.points, early.points)
    np.testing.assert_array_equal(unit.T_world_agent, early.T_world_agent)
    np.testing.assert_array_equal(unit.objects.boxes, early.objects.boxes)
    assert late.stamp_ns - unit.stamp_ns == 200_000_000
    with pytest.raises(CosenseError, match="async_frames=-1"):
        open_dataset(tree, async_frames=-1)


@pytest.mark.parametrize("beside", [("000001", "000003"), ("000001",), ("000003",), ()])
def test_an_image_knows_how_the_vehicle_has_moved_since_the_cloud(tree, beside):
    for frame in {"000001", "000003"} - {*beside}:
        (tree / VEHICLE_CALIB / f"novatel_to_world/{frame}.json").unlink()
    dataset = open_dataset(tree, cameras=True)
    frame = dataset[2]
    (camera,), (of_unit,) = (agent.cameras for agent in frame.agents.values())
    assert of_unit.T_then_agent is None
    if beside:
        # Straight on, one metre a frame: the frame before says it as well as the next.
        T_world_next = make_frame(3).frame.ego.T_world_agent
        np.testing.assert_allclose(
            camera.T_then_agent, invert(T_world_next) @ frame.ego.T_world_agent, atol=1e-6
        )
    else:
        assert camera.T_then_agent is None


def _as_sequential(tree: Path) -> None:
    """Rewrite a tree of DAIR-V2X-C as V2X-Seq-SPD has it."""

    def pairs_by_frame(pairs):
        return [
            {
                "vehicle_frame": Path(pair["vehicle_pointcloud_path"]).stem,
                "infrastructure_frame": Path(pair["infrastructure_pointcloud_path"]).stem,
                "vehicle_sequence": "0003",
                "infrastructure_sequence": "0003",
                "system_error_offset": pair["system_error_offset"],
            }
            for pair in pairs
        ]

    def entries_by_frame(entries):
        for item in entries:
            item["frame_id"], item["sequence_id"] = Path(item["pointcloud_path"]).stem, item.pop("batch_id")
            item.pop("valid_batch_splits", None)

    _edit(tree / "cooperative/data_info.json", pairs_by_frame)
    for side in ("vehicle-side", "infrastructure-side"):
        _edit(tree / side / "data_info.json", entries_by_frame)
    shutil.rmtree(tree / "cooperative/label_world")
    shutil.copytree(tree / "vehicle-side/label/lidar", tree / "cooperative/label")


def test_v2x_seq_has_labels_and_offset_in_the_vehicle_frame(tree):
    without = DairV2xDataset(tree, apply_offset=False)[0]
    _as_sequential(tree)
    _write_splits(tree / "cooperative-split-data-spd.json", val=["000001"])
    dataset = open_dataset(tree)
    frame = dataset[0]
    assert (dataset.kind, dataset.label_set, frame.sequence) == ("v2x-seq-spd", "original", "0003")
    moved = frame.T_ego_agent("infrastructure") - without.T_ego_agent("infrastructure")
    np.testing.assert_allclose(moved[:3, 3], [0.66, -1.1, 0], atol=1e-9)
    np.testing.assert_allclose(moved[:3, :3], 0, atol=1e-12)
    np.testing.assert_allclose(frame.ground_truth.boxes, make_frame(0).frame.ego.objects.boxes, atol=1e-9)
    assert list(frame.ground_truth.ids) == ["7", "12"]
    assert len(open_dataset(tree, split="val")) == 1
    assert len(open_dataset(tree, async_frames=1)) == FRAMES - 1
    assert dataset.info(verify=True).problems == []
