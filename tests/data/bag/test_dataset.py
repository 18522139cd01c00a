from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from cosense.data import open_dataset
from cosense.data.bag import BagOptions
from cosense.data.bag.file import BagFile
from cosense.data.bag.writer import write_bag
from cosense.errors import CosenseError
from cosense.geometry.transforms import displaced, invert, transform_points
from tests.data.bag.bags import (
    COVARIANCE,
    MS,
    POINTS,
    START_NS,
    T_base_lidar,
    T_map_base,
    T_map_rsu,
    boxes,
    car,
    cloud,
    in_order,
    mount,
    odometry,
    rows_of,
    rsu,
    transform,
    write_rows,
)
from tests.nodes.tiny import write_scene

VISIBLE_M = 1e-9


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """Two sequences whose stamps start from zero each."""
    return write_scene(tmp_path_factory.mktemp("scene") / "scene", frames=8, sequences=2)


@pytest.mark.parametrize("name", ["out.mcap", "folder"])
def test_a_converted_data_set_is_the_same_again(scene, tmp_path, name):
    original = open_dataset(scene, cameras=True)
    frames = [original[index] for index in range(len(original))]
    assert write_bag(frames, tmp_path / name, label_set="simulated", raw_images=True) == len(frames)
    bag = open_dataset(tmp_path / name, cameras=True)
    assert bag.kind == "simulated by cosense (layout of opv2v, converted to ros2-bag)"
    assert (bag.split, bag.label_set, len(bag)) == ("all", "simulated", len(frames))
    for expected, found in zip(frames, bag, strict=True):
        assert (found.frame_id, found.sequence, found.ego_id) == (
            expected.frame_id,
            expected.sequence,
            expected.ego_id,
        )
        assert list(found.agents) == list(expected.agents)
        np.testing.assert_array_equal(found.ground_truth.boxes[:, :6], expected.ground_truth.boxes[:, :6])
        np.testing.assert_allclose(found.ground_truth.boxes, expected.ground_truth.boxes, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(found.ground_truth.labels, expected.ground_truth.labels)
        np.testing.assert_array_equal(found.ground_truth.ids, expected.ground_truth.ids)
        for name, agent in expected.agents.items():
            again = found.agents[name]
            assert (again.kind, again.stamp_ns) == (agent.kind, agent.stamp_ns)
            np.testing.assert_array_equal(again.points, agent.points)
            np.testing.assert_array_equal(again.rings, agent.rings)
            np.testing.assert_allclose(again.T_world_agent, agent.T_world_agent, rtol=0, atol=1e-14)
            np.testing.assert_array_equal(again.pose_covariance, agent.pose_covariance)
            (camera,), (camera_again,) = agent.cameras, again.cameras
            assert (camera_again.name, camera_again.stamp_ns) == (camera.name, camera.stamp_ns)
            np.testing.assert_array_equal(camera_again.image, camera.image)
            np.testing.assert_array_equal(camera_again.K, camera.K)
            np.testing.assert_array_equal(camera_again.T_camera_agent, camera.T_camera_agent)


def test_images_stay_with_the_cloud_that_they_were_given_to(scene, tmp_path):
    """DAIR-V2X pairs clouds with images that were taken a frame later."""
    original = open_dataset(scene, cameras=True)
    frames = []
    for index in range(3):
        frame = original[index]
        (camera,) = frame.ego.cameras
        late = dataclasses.replace(camera, stamp_ns=camera.stamp_ns + 130 * MS)
        ego = dataclasses.replace(frame.ego, cameras=(late,))
        frames.append(dataclasses.replace(frame, agents=frame.agents | {frame.ego_id: ego}))
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated", raw_images=True)
    for expected, found in zip(frames, open_dataset(tmp_path / "bag.mcap", cameras=True), strict=True):
        (camera,), (given,) = found.ego.cameras, expected.ego.cameras
        assert camera.stamp_ns == given.stamp_ns
        np.testing.assert_array_equal(camera.image, given.image)


def test_an_image_knows_how_the_agent_has_moved_since_the_cloud(scene, tmp_path):
    original = open_dataset(scene, cameras=True)
    frames = [original[index] for index in range(3)]
    for index, frame in enumerate(frames):
        (camera,) = frame.ego.cameras
        late = dataclasses.replace(camera, stamp_ns=camera.stamp_ns + 50 * MS)
        there = displaced(frame.ego.T_world_agent, [2.0 * index, 0.0, 0.0])
        ego = dataclasses.replace(frame.ego, cameras=(late,), T_world_agent=there)
        frames[index] = dataclasses.replace(frame, agents=frame.agents | {frame.ego_id: ego})
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated", raw_images=True)
    first, _, last = open_dataset(tmp_path / "bag.mcap", cameras=True)
    half = invert(frames[0].ego.T_world_agent) @ frames[1].ego.T_world_agent
    assert np.linalg.norm(half[:3, 3]) > 1
    np.testing.assert_allclose(first.ego.cameras[0].T_then_agent[:3, 3], -half[:3, 3] / 2, atol=1e-9)
    # The last image is later than the last pose.
    assert last.ego.cameras[0].T_then_agent is None


def test_a_third_party_frame_converts(shared_data, tmp_path):
    original = open_dataset(shared_data / "v2xset_frame")
    write_bag([original[0]], tmp_path / "bag.mcap", label_set=original.label_set)
    bag = open_dataset(tmp_path / "bag.mcap")
    assert bag.label_set == "original"
    assert list(bag[0].agents) == list(original[0].agents)
    for name, agent in original[0].agents.items():
        np.testing.assert_array_equal(bag[0].agents[name].points, agent.points)
        np.testing.assert_allclose(bag[0].agents[name].T_world_agent, agent.T_world_agent, rtol=0, atol=1e-9)
    np.testing.assert_allclose(bag[0].ground_truth.boxes, original[0].ground_truth.boxes, rtol=0, atol=1e-12)


@pytest.fixture
def foreign(tmp_path) -> Path:
    """A car and a roadside unit, recorded by somebody else into SQLite."""
    rows = [mount(), *in_order([*car(), *rsu()])]
    return write_rows(tmp_path / "foreign", rows, StoragePlugin.SQLITE3)


def test_a_bag_of_somebody_else_is_joined_by_time(foreign):
    bag = open_dataset(foreign)
    assert len(bag) == 5
    assert bag.label_set == "none"
    for number, frame in enumerate(bag):
        stamp_ns = START_NS + 100 * MS * number
        assert (frame.ego_id, frame.sequence, frame.ego.stamp_ns) == ("ego", "000", stamp_ns)
        assert {name: agent.kind for name, agent in frame.agents.items()} == {
            "ego": "vehicle",
            "rsu": "infrastructure",
        }
        assert frame.agents["rsu"].stamp_ns == stamp_ns + 20 * MS
        np.testing.assert_allclose(frame.agents["rsu"].T_world_agent, T_map_rsu, atol=1e-12)
        np.testing.assert_allclose(frame.ego.points, POINTS, atol=1e-5)
        # Odometry has no pose of that moment; the truth lies between two, as the car drives straight on.
        expected = T_map_base(stamp_ns) @ T_base_lidar
        np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=VISIBLE_M)
        # An error of the heading of base_link moves the LiDAR on it sideways.
        x, y = (T_map_base(stamp_ns)[:2, :2] @ T_base_lidar[:2, 3]).tolist()
        moves = np.array([[1, 0, -y], [0, 1, x], [0, 0, 1]])
        given = COVARIANCE[np.ix_((0, 1, 5), (0, 1, 5))]
        np.testing.assert_allclose(frame.ego.pose_covariance, moves @ given @ moves.T, atol=1e-9)


def test_a_single_file_opens_too(foreign, tmp_path):
    (file,) = foreign.glob("*.db3")
    shutil.copy(file, tmp_path / "alone.db3")
    assert len(open_dataset(tmp_path / "alone.db3")) == 5


def test_the_pose_may_come_from_transforms_alone(tmp_path):
    rows = [mount(), *in_order([*(cloud(START_NS + 100 * MS * n, "os_sensor") for n in range(3))])]
    times = [START_NS + 20 * MS * n for n in range(-1, 12)]
    # odom lies still in the map, base_link moves in odom.
    rows += [transform("map", "odom", T_map_rsu, t, static=False) for t in times]
    rows += [
        transform("odom", "base_link", invert(T_map_rsu) @ T_map_base(t), t, static=False) for t in times
    ]
    bag = write_rows(tmp_path / "bag", in_order(rows))
    for frame in open_dataset(bag):
        expected = T_map_base(frame.ego.stamp_ns) @ T_base_lidar
        np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=VISIBLE_M)
    frame = open_dataset(bag, bag=BagOptions(world="odom"))[0]
    expected = invert(T_map_rsu) @ T_map_base(frame.ego.stamp_ns) @ T_base_lidar
    np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=VISIBLE_M)


def test_gaps_and_stamps_that_go_back_start_another_sequence(tmp_path):
    moved = [
        (topic, kind, message, log_ns + 3_000 * MS) for topic, kind, message, log_ns in [*car(2), *rsu(2)]
    ]
    later = START_NS + 5_000 * MS
    rows = [mount(), *in_order([*car(3), *rsu(3), *moved, *car(2, later), *rsu(2, later)])]
    bag = open_dataset(write_rows(tmp_path / "bag", in_order(rows)))
    assert [frame.sequence for frame in bag] == ["000"] * 3 + ["001"] * 2 + ["002"] * 2
    assert len({frame.frame_id for frame in bag}) == 7
    assert all(len(frame.agents) == 2 for frame in bag)


def test_who_is_not_there_in_time_is_missing_from_the_frame(tmp_path):
    rows = [mount(), *in_order([*car(4), *rsu(2, late_ns=49 * MS)])]
    bag = open_dataset(write_rows(tmp_path / "bag", rows))
    assert [len(frame.agents) for frame in bag] == [2, 2, 1, 1]
    assert bag.agents == {"ego": "vehicle", "rsu": "infrastructure"}
    exact = open_dataset(bag.path, bag=BagOptions(tolerance_ms=48.0))
    assert [len(frame.agents) for frame in exact] == [1, 1, 1, 1]


def test_clouds_without_a_pose_are_left_out_and_counted(tmp_path):
    rows = [mount(), *in_order([*car(3), cloud(START_NS - 500 * MS, "os_sensor")])]
    bag = open_dataset(write_rows(tmp_path / "bag", rows))
    assert len(bag) == 3
    assert bag.info().notes == [
        "not used: 1 of 4 clouds of 'ego' without a pose, the first of 1699999999.500 s: '/odom' begins at "
        "1699999999.987 s"
    ]


def test_who_is_never_there_in_time_or_place_is_told(tmp_path):
    late = write_rows(tmp_path / "late", in_order([mount(), *car(3), *rsu(3, late_ns=-2_000 * MS)]))
    never = "'rsu' is in 0 of 3 frames: it has no cloud with a pose within tolerance_ms 50 of the ego's in "
    assert open_dataset(late).info().notes == [
        f"{never}the others; its clouds are of 1699999998.000 s to 1699999998.200 s, the ego's of "
        "1700000000.000 s to 1700000000.200 s"
    ]
    lost = [row for row in rsu(3) if row[0] != "/tf_static"]
    place = transform("map", "rsu_lidar", T_map_rsu, START_NS - 1_000 * MS, static=False)
    nowhere = write_rows(tmp_path / "nowhere", in_order([mount(), *car(3), *lost, place]))
    without_pose, absent = open_dataset(nowhere).info().notes
    assert without_pose == (
        "not used: 3 of 3 clouds of 'rsu' without a pose, the first of 1700000000.020 s: transform 'map' -> "
        "'rsu_lidar' ends at 1699999999.000 s"
    )
    assert absent.startswith(never)


def test_no_pose_at_any_time_is_one_line(tmp_path):
    rows = [
        mount(),
        *(row for row in car(3) if row[0] != "/odom"),
        odometry(START_NS - 1_000 * MS, T_map_rsu),
    ]
    with pytest.raises(
        CosenseError, match=r"has no frame that can be used .not used: 3 of 3 clouds of 'ego' without a pose"
    ):
        open_dataset(write_rows(tmp_path / "bag", in_order(rows)))


def test_somebody_else_may_be_the_ego(foreign):
    frame = open_dataset(foreign, bag=BagOptions(ego="rsu"))[0]
    assert list(frame.agents) == ["rsu", "ego"]


def test_a_converted_bag_may_be_seen_by_another_agent(scene, tmp_path):
    original = open_dataset(scene)
    write_bag([original[0]], tmp_path / "bag.mcap", label_set="simulated")
    frame = open_dataset(tmp_path / "bag.mcap", bag=BagOptions(ego="-1"))[0]
    assert list(frame.agents) == ["-1", "1"]
    assert frame.ego.kind == "infrastructure"
    by_vehicle = original[0].ground_truth.transformed(original[0].ego.T_world_agent)
    by_unit = frame.ground_truth.transformed(frame.ego.T_world_agent)
    np.testing.assert_allclose(by_unit.boxes, by_vehicle.boxes, atol=1e-9)


@pytest.mark.parametrize("frame_id", ["map", "os_sensor", "rsu_lidar", "base_link"])
def test_ground_truth_may_be_in_any_frame(tmp_path, frame_id):
    box = np.array([12.0, 3.0, 0.75, 4.5, 1.8, 1.5, 0.4])
    times = [START_NS, START_NS + 200 * MS]
    rows = [mount(), *in_order([*car(3), *rsu(3), *(boxes(t, frame_id, box) for t in times)])]
    bag = open_dataset(write_rows(tmp_path / "bag", rows))
    assert (bag.label_set, bag.split, len(bag)) == ("recorded", "labelled", 2)
    assert bag.info().frames_per_split == {"all": 3, "labelled": 2}
    for frame in bag:
        T_map_given = {
            "map": np.eye(4),
            "os_sensor": frame.ego.T_world_agent,
            "rsu_lidar": T_map_rsu,
            "base_link": T_map_base(frame.ego.stamp_ns),
        }[frame_id]
        truth = frame.ground_truth
        assert (list(truth.ids), list(truth.labels)) == (["17"], [0])
        centre = transform_points(invert(frame.ego.T_world_agent) @ T_map_given, box[None, :3])
        np.testing.assert_allclose(truth.boxes[:, :3], centre, atol=1e-9)
    every = open_dataset(bag.path, split="all")
    assert [len(frame.ground_truth) for frame in every] == [1, 0, 1]


def test_a_bag_that_lacks_a_cloud_of_its_own_frames_says_so(scene, tmp_path):
    original = open_dataset(scene)
    write_bag([original[index] for index in range(3)], tmp_path / "bag.mcap", label_set="simulated")
    rows = rows_of(BagFile(tmp_path / "bag.mcap"))
    lost = [row for row in rows if row[0] == "/agent_minus_1/points"][1]
    rows = [row for row in rows if row is not lost]
    bag = open_dataset(write_rows(tmp_path / "cut", rows))
    assert [len(frame.agents) for frame in bag] == [2, 1, 2]
    assert bag.info().notes == [
        "not in the bag: 1 cloud that /cosense/frame names, or the pose",
    ]


def test_a_recorder_that_was_short_of_time_mixes_nothing(scene, tmp_path):
    """One topic was written down seconds after the others, when the next sequence was already going on."""
    original = open_dataset(scene)
    frames = [original[index] for index in range(len(original))]
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated")
    late = ("/ground_truth/boxes", "/agent_1/pose", "/agent_minus_1/points")
    rows = [
        (topic, kind, message, log_ns + 1_200 * MS * (late.index(topic) + 1 if topic in late else 0))
        for topic, kind, message, log_ns in rows_of(BagFile(tmp_path / "bag.mcap"))
    ]
    bag = open_dataset(write_rows(tmp_path / "late", in_order(rows)))
    for expected, found in zip(frames, bag, strict=True):
        assert (found.frame_id, list(found.agents)) == (expected.frame_id, list(expected.agents))
        np.testing.assert_allclose(found.ground_truth.boxes, expected.ground_truth.boxes, atol=1e-12)
        for name, agent in expected.agents.items():
            np.testing.assert_array_equal(found.agents[name].points, agent.points)
            np.testing.assert_allclose(found.agents[name].T_world_agent, agent.T_world_agent, atol=1e-12)


def test_verifying_reads_every_frame(tmp_path):
    rows = [mount(), *car(3)]
    third = [row for row in rows if row[0] == "/lidar_top"][2]
    third[2].data = third[2].data[:-17]
    info = open_dataset(write_rows(tmp_path / "bag", in_order(rows))).info(verify=True)
    (problem,) = info.problems
    assert "/lidar_top" in problem
    assert "95 bytes" in problem


def test_a_wrong_split_or_label_set_names_the_right_one(foreign):
    with pytest.raises(CosenseError, match="unknown split 'train', known: all"):
        open_dataset(foreign, split="train")
    with pytest.raises(CosenseError, match="no label set 'original'"):
        open_dataset(foreign, labels="original")
    with pytest.raises(CosenseError, match="async_frames=1 does not apply to bag"):
        open_dataset(foreign, async_frames=1)


def test_options_of_bags_are_refused_elsewhere(scene):
    with pytest.raises(CosenseError, match="a choice of topics does not apply to opv2v, only to bag"):
        open_dataset(scene, bag=BagOptions(ego="-1"))


def test_poses_of_two_passes_are_not_mixed(tmp_path):
    """A bag in a loop: the second time the car is elsewhere at the same stamps."""
    away = T_map_rsu
    second = [
        (topic, kind, message, log_ns + 600 * MS)
        for topic, kind, message, log_ns in in_order(
            [
                *(cloud(START_NS + 100 * MS * n, "os_sensor") for n in range(3)),
                *(odometry(START_NS + 20 * MS * n, away) for n in range(-1, 15)),
            ]
        )
    ]
    bag = open_dataset(write_rows(tmp_path / "bag", in_order([mount(), *car(3), *second])))
    first, again = bag[1], bag[4]
    assert first.ego.stamp_ns == again.ego.stamp_ns
    np.testing.assert_allclose(
        first.ego.T_world_agent, T_map_base(first.ego.stamp_ns) @ T_base_lidar, atol=1e-9
    )
    np.testing.assert_allclose(again.ego.T_world_agent, away @ T_base_lidar, atol=1e-9)
