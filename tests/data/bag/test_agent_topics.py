"""Whatever is not there, or could be meant twice: one line at the start that says what to give."""

from __future__ import annotations

import re

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.bag import BagOptions, by_agent, message_types
from cosense.data.bag.writer import make
from cosense.errors import CosenseError
from tests.data.bag.bags import (
    MS,
    START_NS,
    T_map_base,
    T_map_rsu,
    boxes,
    car,
    cloud,
    header,
    in_order,
    mount,
    odometry,
    rsu,
    transform,
    write_rows,
)

BOX = (1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0)


def refusal(tmp_path, rows, **options) -> str:
    """Return the one line that opening a bag of these messages gives."""
    path = write_rows(tmp_path / "bag", in_order(rows))
    with pytest.raises(CosenseError) as caught:
        open_dataset(path, bag=BagOptions(**options))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def opened(tmp_path, rows, **options):
    return open_dataset(write_rows(tmp_path / "bag", in_order(rows)), bag=BagOptions(**options))


def test_no_lidar_lists_the_topics(tmp_path):
    message = refusal(tmp_path, [odometry(START_NS, np.eye(4))])
    assert message == ("no topic of sensor_msgs/msg/PointCloud2 with x, y and z of a sensor; topics: /odom")


def test_two_lidars_of_one_agent_are_candidates(tmp_path):
    rows = [mount(), *car(2), cloud(START_NS, "os_sensor", topic="/lidar_left")]
    assert refusal(tmp_path, rows) == (
        "several topics could be the LiDAR of 'ego': /lidar_left, /lidar_top; choose one with "
        "--points ego=TOPIC, and likewise for every other agent"
    )


def test_naming_the_lidar_settles_it_and_names_the_agent(tmp_path):
    rows = [mount(), *car(2), cloud(START_NS, "os_sensor", topic="/lidar_left"), *rsu(2)]
    bag = opened(tmp_path, rows, points={"shuttle": "/lidar_top"}, pose={"shuttle": "/odom"})
    assert list(bag[0].agents) == ["shuttle"]


@pytest.mark.parametrize("topic", ["/lidar_tpo", "/odom"])
def test_a_lidar_that_is_none(tmp_path, topic):
    message = refusal(tmp_path, [mount(), *car(2)], points={"ego": topic})
    assert (
        message
        == {
            "/lidar_tpo": "--points ego=/lidar_tpo: no topic '/lidar_tpo', did you mean '/lidar_top'?",
            "/odom": "--points ego=/odom: topic '/odom' is nav_msgs/msg/Odometry, expected "
            "sensor_msgs/msg/PointCloud2; topics of that type: /lidar_top",
        }[topic]
    )


@pytest.mark.parametrize("argument", ["ego", "pose"])
def test_an_agent_that_is_none(tmp_path, argument):
    value = "shuttel" if argument == "ego" else {"shuttel": "/odom"}
    rows = [mount(), *car(2)]
    message = refusal(tmp_path, rows, points={"shuttle": "/lidar_top"}, **{argument: value})
    assert message == f"--{argument}: no agent 'shuttel', did you mean 'shuttle'?"


def test_a_cloud_without_z(tmp_path):
    topic, kind, message, log_ns = cloud(START_NS, "os_sensor")
    message.fields[2].name = "w"
    rows = [mount(), *(row for row in car(2) if row[0] != topic), (topic, kind, message, log_ns)]
    assert "no topic of sensor_msgs/msg/PointCloud2 with x, y and z" in refusal(tmp_path, rows)
    named = open_error(tmp_path / "bag", points={"ego": topic})
    assert (
        named
        == f"{topic} of {START_NS} ns: cloud has no field 'z', only ['intensity', 'ring', 'w', 'x', 'y']"
    )


def open_error(path, **options) -> str:
    with pytest.raises(CosenseError) as caught:
        open_dataset(path, bag=BagOptions(**options))
    return str(caught.value).removeprefix(f"{path}: ")


def test_boxes_and_maps_are_no_lidars(tmp_path):
    topic, kind, message, log_ns = cloud(START_NS, "os_sensor", topic="/detections")
    message.fields += [
        make("sensor_msgs/msg/PointField", name=name, offset=0, datatype=7, count=1)
        for name in ("l", "w", "h", "yaw")
    ]
    rows = [mount(), *car(2), (topic, kind, message, log_ns), cloud(START_NS, "map", topic="/map/points")]
    assert list(opened(tmp_path, rows)[0].agents) == ["ego"]


def test_no_pose_lists_topics_and_frames(tmp_path):
    rows = [mount(), *(row for row in car(2) if row[0] != "/odom"), *rsu(2)]
    rows = [row for row in rows if row[0] != "/tf_static"]
    assert refusal(tmp_path, rows) == (
        "there is no topic and no transform for the pose of 'ego' (cloud in frame 'os_sensor'); topics of "
        "poses: none; frames: none. Choose with --pose ego=TOPIC or --pose ego=tf"
    )


def test_two_topics_of_poses_are_candidates(tmp_path):
    rows = [mount(), *car(3), odometry(START_NS, np.eye(4), topic="/odom_raw")]
    message = refusal(tmp_path, rows)
    assert "several topics could be the pose of 'ego'" in message
    assert "topics of poses: /odom, /odom_raw; frames: base_link, os_sensor" in message
    assert len(open_dataset(tmp_path / "bag", bag=BagOptions(pose={"ego": "/odom"}))) == 3


def test_odometry_of_a_frame_that_the_lidar_is_not_mounted_on(tmp_path):
    rows = [mount(), *car(2), *(odometry(START_NS, np.eye(4), "imu", "/imu_odom"),)]
    message = refusal(tmp_path, rows, pose={"ego": "/imu_odom"})
    assert message == (
        "'/imu_odom' is the pose of frame 'imu', and no transform leads from there to 'os_sensor' of "
        "'/lidar_top': record /tf_static too, choose another topic with --pose ego=TOPIC, or say "
        "--pose ego=/imu_odom@os_sensor if it is its pose"
    )


def test_a_world_that_leads_nowhere(tmp_path):
    rows = [*rsu(2)]
    message = refusal(tmp_path, rows, world="utm")
    assert message == (
        "no transform leads from --world 'utm' to 'rsu_lidar' of 'rsu'; frames: map, rsu_lidar"
    )


def test_transforms_that_do_not_exist(tmp_path):
    rows = [row for row in car(2) if row[0] != "/tf_static"]
    message = refusal(tmp_path, rows, pose={"ego": "tf"})
    assert message == "--pose ego=tf: no transform leads to 'os_sensor'; frames: none"


def test_agents_in_two_worlds(tmp_path):
    place = transform("site", "rsu_lidar", T_map_rsu, 0, static=True, log_ns=START_NS)
    rows = [mount(), place, *car(2), *(row for row in rsu(2) if row[0] != "/tf_static")]
    message = refusal(tmp_path, rows)
    assert "Static transforms to 'site' only say where it is mounted." in message
    assert open_error(tmp_path / "bag", pose={"rsu": "tf"}).startswith(
        "the poses of the agents are not in one frame: 'ego' in 'map', 'rsu' in 'site'; choose other poses"
    )


def test_two_ground_truths_are_candidates(tmp_path):
    rows = [
        mount(),
        *car(2),
        boxes(START_NS, "map", BOX),
        boxes(START_NS, "map", BOX, topic="/ego/ground_truth"),
    ]
    assert refusal(tmp_path, rows) == (
        "several topics could be the ground truth: /ego/ground_truth, /labels; choose one with "
        "--ground-truth TOPIC"
    )
    assert len(open_dataset(tmp_path / "bag", bag=BagOptions(ground_truth="/labels"))) == 1


def test_detections_are_no_ground_truth(tmp_path):
    rows = [mount(), *car(2), boxes(START_NS, "map", BOX, topic="/detections/boxes")]
    assert opened(tmp_path, rows).label_set == "none"


def test_ground_truth_of_an_unknown_class_or_frame(tmp_path):
    rows = [mount(), *car(2)]
    message = refusal(tmp_path, [*rows, boxes(START_NS, "map", BOX, name="lorry")])
    assert message.startswith(f"/labels of {START_NS} ns: a box has the class 'lorry', known: barrow, ")
    path = write_rows(tmp_path / "other", in_order([*rows, boxes(START_NS, "moon", BOX)]))
    assert open_error(path) == (
        f"/labels of {START_NS} ns: the ground truth is in frame 'moon': no transform from 'moon' to "
        "'os_sensor'"
    )


def test_one_topic_with_two_types(tmp_path):
    text = make(message_types.STRING, data="?")
    rows = [mount(), *car(2), ("/odom", message_types.STRING, text, START_NS)]
    assert re.match(r"topic '/odom' has two types", refusal(tmp_path, rows))


def test_something_else_on_the_topic_of_our_records(tmp_path):
    rows = [
        mount(),
        *car(2),
        ("/cosense/frame", message_types.STRING, make(message_types.STRING, data="{}"), START_NS),
    ]
    assert refusal(tmp_path, rows) == "/cosense/frame: missing key 'frame_id'"


def test_a_pose_stamped_is_the_pose_of_the_lidar(tmp_path):
    pose = make("geometry_msgs/msg/Pose", position=make("geometry_msgs/msg/Point", x=3.0))
    message = make("geometry_msgs/msg/PoseStamped", header=header(START_NS, "map"), pose=pose)
    rows = [cloud(START_NS, "os_sensor"), ("/pose", "geometry_msgs/msg/PoseStamped", message, START_NS)]
    frame = opened(tmp_path, rows)[0]
    assert frame.ego.T_world_agent[0, 3] == 3.0
    assert not frame.ego.pose_covariance.any()


def test_words_of_the_command_line():
    assert by_agent("", "--points ") == {}
    assert by_agent("vehicle=/lidar_top,rsu=/rsu/points", "--points ") == {
        "vehicle": "/lidar_top",
        "rsu": "/rsu/points",
    }
    with pytest.raises(CosenseError, match="points:=/lidar_top: expected AGENT=TOPIC"):
        by_agent("/lidar_top", "points:=")


@pytest.mark.parametrize("joined", [False, True], ids=["odometry", "odometry and transforms"])
def test_points_that_are_placed_already_are_no_sensor(tmp_path, joined):
    """Kind: clouds of LiDAR odometry, in the frame in which its poses are; the vehicle stood still."""
    times = [START_NS + 100 * MS * n for n in range(4)]
    rows = [cloud(t, "camera_init", topic="/cloud_registered") for t in times]
    rows += [odometry(t, T_map_base(t), "body", "/Odometry", "camera_init") for t in times]
    if joined:
        rows += [transform("camera_init", "body", T_map_base(t), t, static=False) for t in times]
    assert refusal(tmp_path, rows).endswith(
        "The points of /cloud_registered are placed in 'camera_init' already: record those of the sensor "
        "itself"
    )
    message = open_error(tmp_path / "bag", points={"car": "/cloud_registered"}, pose={"car": "/Odometry"})
    assert message == (
        "'/cloud_registered' is in frame 'camera_init', in which '/Odometry' gives poses: its points are "
        "placed already; choose the cloud of the sensor with --points car=TOPIC, or say "
        "--pose car=/Odometry@camera_init if these are the poses of that frame"
    )
    # Beside those of the sensor they do not matter.
    more = [*rows, *(cloud(t, "body", topic="/livox/lidar") for t in times)]
    for frame in open_dataset(write_rows(tmp_path / "both", in_order(more))):
        np.testing.assert_allclose(frame.ego.T_world_agent, T_map_base(frame.ego.stamp_ns), atol=1e-9)


def test_a_cloud_without_a_frame_has_the_pose_that_the_user_gives_it(tmp_path):
    """Kind: drivers that leave frame_id empty; the cure that the error names is one."""
    rows = [cloud(START_NS, ""), odometry(START_NS, T_map_rsu)]
    assert refusal(tmp_path, rows).endswith("or say --pose ego=/odom@ if it is its pose")
    bag = open_dataset(tmp_path / "bag", bag=BagOptions(pose={"ego": "/odom@"}))
    np.testing.assert_allclose(bag[0].ego.T_world_agent, T_map_rsu, atol=1e-9)


def test_what_is_wrong_with_the_transforms_is_said_where_one_is_missing(tmp_path):
    """Kind: transforms of a robot with a namespace, mountings that are the wrong way round, or broken."""
    moving = transform("odom", "base_link", T_map_rsu, START_NS, static=False)
    rows = [cloud(START_NS, "lidar", topic="/r1/points"), (f"/r1{moving[0]}", *moving[1:])]
    assert refusal(tmp_path, rows).endswith(
        "Only /tf and /tf_static are read, not /r1/tf: record it again from `ros2 bag play "
        f"{tmp_path / 'bag'} --remap /r1/tf:=/tf`"
    )
    wrong = transform("lidar", "base_link", T_map_rsu, 0, static=True, log_ns=START_NS - 1)
    path = write_rows(tmp_path / "wrong", in_order([rows[0], moving, wrong]))
    assert open_error(path).endswith(
        "Frame 'base_link' has several parents: 'odom', which was recorded last, counts, not 'lidar'"
    )
