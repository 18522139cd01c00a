"""OPV2V, V2XSet and V2V4Real: one real frame, and small trees written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from cosense.data import open_dataset
from cosense.data.files import Unreadable, read_yaml
from cosense.errors import CosenseError
from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.transforms import transform_points
from cosense.sensing.cloud_formats.pcd import write_pcd
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.objects import ObjectClass, Objects
from cosense.simulation.opv2v_writer import write_opv2v
from tests.sensing.cloud_formats.test_pcd import pcd_bytes
from tests.simulation.hand_made import forget_origin, make_frames


@pytest.fixture(scope="module")
def v2xset(shared_data):
    return open_dataset(shared_data / "v2xset_frame", cameras=True)


@pytest.fixture(scope="module")
def frame(v2xset):
    return v2xset[0]


def _hit(objects: Objects, agent: AgentFrame, T_agent_objects: np.ndarray) -> set[str]:
    """Return the ids of the objects that contain points of an agent."""
    boxes = objects.transformed(T_agent_objects).boxes
    return set(objects.ids[points_in_boxes(agent.points[:, :3], boxes).any(axis=1)])


def test_real_frame_is_described(v2xset, frame):
    info = v2xset.info(verify=True)
    assert (info.kind, info.label_set, info.problems) == (
        "simulated by CARLA (layout of opv2v)",
        "original",
        [],
    )
    assert info.frames_per_split == {"validate": 1}
    assert info.agents == dict.fromkeys(["4279", "4288", "4297"], "vehicle")
    assert (frame.frame_id, frame.ego_id, frame.sequence) == (
        "2021_08_21_17_30_41/000069",
        "4279",
        "2021_08_21_17_30_41",
    )
    assert frame.ego.stamp_ns == 69 * 50_000_000


def test_every_label_of_the_real_frame_contains_points_of_its_agent(frame):
    hits = {name: _hit(agent.objects, agent, np.eye(4)) for name, agent in frame.agents.items()}
    assert {name: len(ids) for name, ids in hits.items()} == {"4279": 21, "4288": 22, "4297": 15}
    assert all(hits[name] == set(agent.objects.ids) for name, agent in frame.agents.items())


def test_every_vehicle_of_the_union_contains_points_after_the_poses_are_applied(frame):
    union = {str(name) for agent in frame.agents.values() for name in agent.objects.ids}
    assert len(union) == 27
    hit: set[str] = set()
    for labeller in frame.agents:
        for observer in frame.agents:
            T = np.linalg.inv(frame.agents[observer].T_world_agent) @ frame.agents[labeller].T_world_agent
            hit |= _hit(frame.agents[labeller].objects, frame.agents[observer], T)
    assert hit == union


def test_ground_truth_is_the_union_without_the_ego(frame):
    union = {str(name) for agent in frame.agents.values() for name in agent.objects.ids}
    assert set(frame.ground_truth.ids) == union - {"4279"}
    assert len(frame.ground_truth) == 26
    # Where several have labelled a vehicle they agree, and the ego's own label is kept.
    own = {str(i): box for i, box in zip(frame.ego.objects.ids, frame.ego.objects.boxes, strict=True)}
    for name, box in zip(frame.ground_truth.ids, frame.ground_truth.boxes, strict=True):
        if str(name) in own:
            np.testing.assert_allclose(box, own[str(name)], atol=1e-9)


def _inside(camera: Camera, xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (K,2) of the points that a camera sees, and which points these are."""
    in_camera = transform_points(camera.T_camera_agent, xyz.astype(np.float64))
    ahead = np.flatnonzero(in_camera[:, 2] > 1)
    pixels = in_camera[ahead] @ camera.K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    height, width = camera.image.shape[:2]
    seen = np.all((pixels >= 0) & (pixels < [width, height]), axis=1)
    return pixels[seen], ahead[seen]


def test_cameras_look_where_their_points_are(frame):
    for agent in frame.agents.values():
        assert [camera.name for camera in agent.cameras] == [f"camera{i}" for i in range(4)]
        seen = [_inside(camera, agent.points[:, :3])[1] for camera in agent.cameras]
        for camera, points in zip(agent.cameras, seen, strict=True):
            assert camera.image.shape == (600, 800, 3)
            assert np.isclose(np.linalg.det(camera.T_camera_agent[:3, :3]), 1)
            assert len(points) > 1000
        # Front, right, left, rear: mean direction of what each sees, in the agent frame.
        x, y = np.array([agent.points[points, :2].mean(axis=0) for points in seen]).T
        assert x[0] > 0 > x[3]
        assert y[2] > 0 > y[1]


@pytest.mark.parametrize(
    ("agent_id", "camera_index", "object_id"), [("4279", 2, "4311"), ("4288", 0, "4324")]
)
def test_points_on_a_brown_and_on_a_red_vehicle_fall_on_such_pixels(frame, agent_id, camera_index, object_id):
    agent = frame.agents[agent_id]
    camera = agent.cameras[camera_index]
    vehicle = agent.objects[agent.objects.ids == object_id]
    on_it = agent.points[points_in_boxes(agent.points[:, :3], vehicle.boxes)[0], :3]
    pixels, seen = _inside(camera, on_it)
    assert len(seen) > 0.8 * len(on_it) > 100
    red, _, blue = camera.image[pixels[:, 1].astype(int), pixels[:, 0].astype(int)].T.astype(float)
    # Road, sky and walls around them are grey or blue.
    assert np.median(red) > 1.5 * np.median(blue)


def _write_agent(folder: Path, stamp: str, pose: list, vehicles: dict | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_pcd(folder / f"{stamp}.pcd", np.array([[1, 2, 3, 0.5]], dtype=np.float32))
    (folder / f"{stamp}.yaml").write_text(yaml.safe_dump({"lidar_pose": pose, "vehicles": vehicles or {}}))


def _vehicle(x: float, y: float, yaw_deg: float = 0.0, **more: object) -> dict:
    size = {"extent": [2.0, 1.0, 0.75], "center": [0.0, 0.0, 0.75]}
    return {"location": [x, y, 0.0], "angle": [0.0, yaw_deg, 0.0], **size, **more}


def test_left_handed_files_become_right_handed_frames(tmp_path):
    _write_agent(
        tmp_path / "s" / "7", "000002", [100.0, 50.0, 2.0, 0.0, 0.0, 0.0], {9: _vehicle(110, 53, 30)}
    )
    frame = open_dataset(tmp_path)[0]
    np.testing.assert_allclose(frame.ego.points, [[1, -2, 3, 0]])
    np.testing.assert_allclose(frame.ego.T_world_agent[:3, 3], [100, -50, 2])
    np.testing.assert_allclose(frame.ego.objects.boxes, [[10, -3, -1.25, 4, 2, 1.5, -np.pi / 6]], atol=1e-12)
    assert list(frame.ego.objects.ids) == ["9"]
    assert frame.ego.stamp_ns == 100_000_000


def test_ego_is_the_lowest_vehicle_and_a_negative_id_is_a_roadside_unit(tmp_path):
    for agent in ("-1", "641", "70"):
        _write_agent(tmp_path / "train" / "s" / agent, "000010", [0.0] * 6)
    (tmp_path / "train" / "s" / "data_protocol.yaml").write_text("{}")
    dataset = open_dataset(tmp_path, split="train")
    assert list(dataset[0].agents) == ["70", "641", "-1"]
    assert dataset[0].agents["-1"].kind == "infrastructure"
    assert dataset.split == "train"


def test_layouts_with_and_without_splits_and_single_scenarios_open(tmp_path):
    for split, scenario in (("train", "a"), ("train", "b"), ("test", "c")):
        for stamp in ("000000", "000002"):
            _write_agent(tmp_path / "data" / split / scenario / "1", stamp, [0.0] * 6)
    assert open_dataset(tmp_path / "data").info().frames_per_split == {"test": 2, "train": 4}
    assert len(open_dataset(tmp_path / "data", split="test")) == 2
    assert len(open_dataset(tmp_path)) == 6
    assert len(open_dataset(tmp_path / "data" / "train")) == 4
    assert len(open_dataset(tmp_path / "data" / "train" / "b")) == 2


def test_an_agent_that_lacks_a_moment_is_left_out_of_it_and_reported(tmp_path):
    for stamp in ("000000", "000002"):
        _write_agent(tmp_path / "s" / "1", stamp, [0.0] * 6)
    _write_agent(tmp_path / "s" / "2", "000002", [0.0] * 6)
    dataset = open_dataset(tmp_path)
    assert [list(dataset[i].agents) for i in range(2)] == [["1"], ["1", "2"]]
    assert dataset.info().problems == []
    assert dataset.info(verify=True).problems == ["s/2: 2 of 4 files missing: 000000.pcd, 000000.yaml"]


@pytest.mark.parametrize("ending", ["pcd", "yaml"])
@pytest.mark.parametrize("is_empty", [False, True])
def test_an_agent_with_half_of_its_files_is_left_out_and_the_frame_stays(
    tmp_path, caplog, ending: str, is_empty: bool
):
    """Kind: files of one participant are missing, or empty after an interrupted copy."""
    for agent in ("1", "2", "-1"):
        _write_agent(tmp_path / "s" / agent, "000000", [0.0] * 6, {agent: _vehicle(10, 0)})
    path = tmp_path / "s" / "2" / f"000000.{ending}"
    if is_empty:
        path.write_bytes(b"")
    else:
        path.unlink()
    dataset = open_dataset(tmp_path)
    assert list(dataset[0].agents) == ["1", "-1"]
    note = "1 time an agent is left out of a moment because .pcd or .yaml is missing or empty, first beside"
    assert note in "".join(dataset.info().notes)
    assert note in caplog.text
    assert dataset.info(verify=True).problems == [
        f"s/2: 1 of 2 files missing{' or empty (1)' if is_empty else ''}: 000000.{ending}"
    ]


def test_frames_whose_ego_has_half_of_its_files_are_not_used_and_counted(tmp_path):
    """Kind: as above, of the agent without which there is no frame."""
    for stamp in ("000000", "000002"):
        for agent in ("1", "2"):
            _write_agent(tmp_path / "s" / agent, stamp, [0.0] * 6)
    (tmp_path / "s" / "1" / "000002.yaml").write_bytes(b"")
    dataset = open_dataset(tmp_path)
    assert [dataset[i].frame_id for i in range(len(dataset))] == ["s/000000"]
    assert "1 time" in dataset.info().notes[-1]
    assert dataset.info().notes[-1].endswith("; 1 moment without the ego not used")


FOREIGN = {
    "what looks like a date": ("2021-13-45", "2021-13-45"),
    "a tuple": ("!!python/tuple [0.5, 2]", (0.5, 2)),
    "a tuple as a key": ("{!!python/tuple [1, 2]: 3}", {(1, 2): 3}),
    "an ordered mapping": ("!!python/object/apply:collections.OrderedDict [[[a, 1]]]", {"a": 1}),
    "a number of numpy": (
        "!!python/object/apply:numpy.core.multiarray.scalar\n"
        "- !!python/object/apply:numpy.dtype\n"
        "  args: [f8, false, true]\n"
        "  state: !!python/tuple [3, <, null, null, null, -1, -1, 0]\n"
        "- !!binary |\n  AAAAAAAABEA=\n",
        2.5,
    ),
    "an array of numpy": (
        "!!python/object/apply:numpy._core.multiarray._reconstruct\n"
        "args: [!!python/name:numpy.ndarray '', !!python/tuple [0], !!binary Yg==]\n"
        "state: !!python/tuple\n"
        "- 1\n"
        "- !!python/tuple [2, 1]\n"
        "- !!python/object/apply:numpy.dtype\n"
        "  args: [i4, false, true]\n"
        "  state: !!python/tuple [3, '>', null, null, null, -1, -1, 0]\n"
        "- false\n"
        "- !!binary |\n  AAAABwAAAAg=\n",
        [[7], [8]],
    ),
    "an object that is not known": ("!!python/object:carla.Vector3D {x: 1}", None),
    "a call": ("!!python/object/apply:os.system [touch never]", None),
    "an array of objects": ("!!python/object/apply:numpy.core.multiarray.scalar [1, 2]", None),
    "a tag of nobody": ("!vehicle {x: 1}", None),
}


@pytest.mark.parametrize("given", FOREIGN)
def test_objects_of_python_in_yaml_are_read_as_numbers_or_hurt_only_where_they_are_needed(
    tmp_path, monkeypatch, given: str
):
    """Kind: YAML that PyYAML has dumped with whatever the program had at hand."""
    monkeypatch.chdir(tmp_path)
    text, expected = FOREIGN[given]
    folder = tmp_path / "s" / "1"
    _write_agent(folder, "000000", [1.0, 0, 0, 0, 0, 0], {9: _vehicle(11, 0)})
    path = folder / "000000.yaml"
    indented = text.replace("\n", "\n  ")
    path.write_text(f"predicted_ego_pos: {indented}\n{path.read_text()}")
    assert open_dataset(tmp_path)[0].ground_truth.boxes[0, 0] == 10
    value = read_yaml(path)["predicted_ego_pos"]
    assert value == expected if expected is not None else isinstance(value, Unreadable)
    path.write_text(f"vehicles: {indented}\nlidar_pose: [0, 0, 0, 0, 0, 0]\n")
    if expected is None:
        with pytest.raises(
            CosenseError, match=r"000000\.yaml: 'vehicles' is an object .*; write plain numbers"
        ):
            open_dataset(tmp_path)[0]
    assert not (tmp_path / "never").exists()


def test_what_numpy_and_yaml_really_write_is_read(tmp_path):
    """Kind: as above, with the tags of the numpy that is installed."""
    content = {"a": np.float64(0.1), "b": np.arange(6.0).reshape(2, 3), "c": (1, "x"), "d": np.bool_(True)}
    (tmp_path / "a.yaml").write_text(yaml.dump(content))
    read = read_yaml(tmp_path / "a.yaml")
    assert read == {"a": 0.1, "b": [[0, 1, 2], [3, 4, 5]], "c": (1, "x"), "d": True}


def test_intensities_of_carla_are_zero_and_those_of_our_own_simulator_stay(tmp_path):
    """Kind: a channel that says nothing of what it is named after."""
    frames = make_frames(1)
    write_opv2v(frames, tmp_path / "own")
    (scenario,) = (path for path in (tmp_path / "own").glob("*/*") if path.is_dir())
    for path in (tmp_path / "own", scenario):
        own = open_dataset(path)
        assert own[0].ego.points[:, 3].any()
        assert not own.info().notes
    forget_origin(tmp_path / "own")
    bare = open_dataset(tmp_path / "own")
    assert not any(agent.points[:, 3].any() for agent in bare[0].agents.values())
    assert len(bare[0].ego.points) == len(own[0].ego.points)
    assert "intensities are 0: those of CARLA depend on the range" in bare.info().notes[0]
    _write_agent(tmp_path / "real" / "s" / "0", "000001", np.eye(4).tolist())
    assert open_dataset(tmp_path / "real")[0].ego.points[0, 3] == 0.5


@pytest.mark.parametrize("pose", [[5.0, 1.0, 2.0, 0.0, 0.0, 0.0], None])
def test_a_vehicle_without_a_cloud_is_on_the_road_where_its_file_says_it(tmp_path, pose):
    """Kind: a participant that is lost: its body is there, though it has measured nothing."""
    for agent in ("1", "2", "-1"):
        _write_agent(tmp_path / "s" / agent, "000002", [0.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    for agent in ("2", "-1"):
        (tmp_path / "s" / agent / "000002.pcd").unlink()
        _write_agent(tmp_path / "s" / agent, "000004", [0.0, 0.0, 2.0, 0.0, 0.0, 0.0])
        (tmp_path / "s" / agent / "000002.yaml").write_text(yaml.safe_dump({"lidar_pose": pose}))
    frame = open_dataset(tmp_path)[0]
    assert list(frame.agents) == ["1"]
    # CARLA's y points to the right, ours to the left.
    assert frame.participants == ({"1": (0, 0), "2": (5, -1)} if pose else {"1": (0, 0)})


def test_a_material_keeps_its_value_through_a_recorded_scenario(tmp_path):
    """Kind: a decision per frame; here the second frame is two hundred times brighter than the first."""
    folder = tmp_path / "s" / "0"
    for stamp, brightest in (("000001", 1.0), ("000002", 200.0)):
        _write_agent(folder, stamp, np.eye(4).tolist())
        values = np.array([0.5, brightest], dtype=np.float32)
        columns = [(name, "F4", np.ones(2)) for name in "xyz"] + [("reflectivity", "F4", values)]
        (folder / f"{stamp}.pcd").write_bytes(pcd_bytes(columns))
    for order in ((0, 1), (1, 0)):
        dataset = open_dataset(tmp_path)
        assert [dataset[index].ego.points[0, 3] for index in order] == [np.float32(0.5 / 255)] * 2
    assert dataset.info().notes == [
        "s/0: the intensity is the field 'reflectivity'",
        "s/0: intensities (float32, up to 200) are divided by 255",
    ]


def test_matrix_poses_are_v2v4real(tmp_path):
    pose = np.eye(4)
    pose[:3, 3] = [5, 1, 0]
    ego = {3: _vehicle(10, 2, 90, obj_type="Truck", ass_id=-1), 4: _vehicle(20, 0, ass_id=4)}
    other = {4: _vehicle(15, -1, ass_id=4), 8: _vehicle(30, 0, obj_type="Van", ass_id=-1)}
    _write_agent(tmp_path / "test" / "s" / "0", "000001", np.eye(4).tolist(), ego)
    _write_agent(tmp_path / "test" / "s" / "1", "000001", pose.tolist(), other)
    dataset = open_dataset(tmp_path)
    frame = dataset[0]
    assert dataset.kind == "v2v4real"
    assert frame.ego.stamp_ns == 100_000_000
    np.testing.assert_allclose(frame.ego.points, [[1, 2, 3, 0.5]])
    np.testing.assert_allclose(frame.ego.objects.boxes[0], [10, 2, 0.75, 4, 2, 1.5, np.pi / 2])
    assert list(frame.ground_truth.ids) == ["4", "1:8", "3"] or set(frame.ground_truth.ids) == {
        "3",
        "4",
        "1:8",
    }
    far = frame.ground_truth[frame.ground_truth.ids == "1:8"]
    np.testing.assert_allclose(far.boxes, [[35, 1, 0.75, 4, 2, 1.5, 0]])
    assert list(far.labels) == [ObjectClass.VAN]


def test_bad_trees_are_refused_with_the_file_and_the_cure(tmp_path):
    scenario = tmp_path / "train" / "s"
    _write_agent(scenario / "1", "000000", [0.0] * 6)
    with pytest.raises(CosenseError, match="did you mean 'train'"):
        open_dataset(tmp_path, split="trian")
    with pytest.raises(CosenseError, match="no label set 'complemented'"):
        open_dataset(tmp_path, labels="complemented")
    with pytest.raises(CosenseError, match="does not apply"):
        open_dataset(tmp_path, async_frames=1)
    (scenario / "2").mkdir()
    write_pcd(scenario / "2" / "000000.pcd", np.zeros((1, 4), dtype=np.float32))
    (scenario / "2" / "000000.yaml").write_text("{lidar_pose: [1, 2], vehicles: {}}\n")
    with pytest.raises(CosenseError, match=r"2/000000\.yaml: not as OPV2V"):
        open_dataset(tmp_path)[0]
    (scenario / "2" / "000000.yaml").write_text("lidar_pose: [0, 0, 0, 0, 0, 0]\n")
    with pytest.raises(CosenseError, match=r"2/000000\.yaml: has no 'vehicles'; the file is cut off"):
        open_dataset(tmp_path)[0]
    _write_agent(scenario / "2", "000000", [float("nan"), *[0.0] * 5])
    with pytest.raises(CosenseError, match=r"2/000000\.yaml: not as OPV2V .*lidar_pose is \[nan"):
        open_dataset(tmp_path)[0]
    (scenario / "1" / "000000.yaml").write_text("lidar_pose: 3\n")
    with pytest.raises(CosenseError, match="expected 6 numbers"):
        open_dataset(tmp_path)


def test_an_object_whose_place_is_no_number_is_left_out_like_one_without_extent(tmp_path):
    objects = {8: _vehicle(float("nan"), 0), 9: _vehicle(10, 0), 10: _vehicle(10, 9, extent=[0, 1, 1])}
    _write_agent(tmp_path / "s" / "1", "000000", [0.0] * 6, objects)
    assert open_dataset(tmp_path)[0].ground_truth.ids.tolist() == ["9"]


def test_a_scenario_of_roadside_units_only_is_a_stated_problem(tmp_path):
    _write_agent(tmp_path / "s" / "-1", "000000", [0.0] * 6)
    _write_agent(tmp_path / "t" / "1", "000000", [0.0] * 6)
    dataset = open_dataset(tmp_path)
    assert len(dataset) == 1
    assert any("no vehicle" in line for line in dataset.info().problems)


def test_a_missing_image_is_named_only_when_images_are_wanted(tmp_path):
    _write_agent(tmp_path / "s" / "1", "000000", [0.0] * 6)
    path = tmp_path / "s" / "1" / "000000.yaml"
    content = yaml.safe_load(path.read_text())
    content["camera0"] = {"intrinsic": np.eye(3).tolist(), "extrinsic": np.eye(4).tolist()}
    path.write_text(yaml.safe_dump(content))
    assert open_dataset(tmp_path)[0].ego.cameras == ()
    # Images that were never unpacked are no fault of the frames.
    assert open_dataset(tmp_path, cameras=True)[0].ego.cameras == ()
    (path.parent / "000002_camera0.png").write_bytes(b"an image")
    with pytest.raises(CosenseError, match=r"000000_camera0\.png"):
        open_dataset(tmp_path, cameras=True)[0]
    (path.parent / "000000_camera1.png").write_bytes(b"an image")
    with pytest.raises(
        CosenseError, match=r"000000\.yaml: has no 'camera1', of which 000000_camera1\.png is"
    ):
        open_dataset(tmp_path, cameras=True)[0]
