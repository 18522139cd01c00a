from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cosense.data.bag.file import Entry
from cosense.data.bag.poses import PoseTrack, TransformTree
from cosense.data.bag.timeline import Moment
from cosense.geometry.transforms import invert, transform_from_planar
from tests.data.bag.bags import MS, START_NS, Row, T_base_lidar, T_map_base, T_map_rsu, odometry, transform


def tree_of(*rows: Row) -> TransformTree:
    return TransformTree((message, log_ns, topic == "/tf_static") for topic, _, message, log_ns in rows)


@pytest.fixture
def tree() -> TransformTree:
    """A car that moves in the map with a LiDAR on it, a unit in the map, and somebody else's tree."""
    times = [START_NS + 100 * MS * n for n in range(5)]
    return tree_of(
        *(transform("map", "base_link", T_map_base(t), t, static=False) for t in times),
        transform("base_link", "lidar", T_base_lidar, 0, static=True),
        transform("map", "rsu", T_map_rsu, 0, static=True),
        transform("moon", "rover", np.eye(4), 0, static=True),
    )


def test_frames_and_roots(tree):
    assert tree.frames == ["base_link", "lidar", "map", "moon", "rover", "rsu"]
    assert (tree.root_of("lidar"), tree.root_of("rover"), tree.root_of("nobody")) == ("map", "moon", "nobody")
    assert tree.is_connected("rsu", "lidar")
    assert not tree.is_connected("rsu", "rover")


def test_ways_lead_up_down_and_over_the_common_parent(tree):
    moment = (Moment(START_NS + 130 * MS, START_NS + 130 * MS), 100 * MS)
    T_map_lidar = T_map_base(moment[0].stamp_ns) @ T_base_lidar
    np.testing.assert_allclose(tree.at("map", "lidar", *moment), T_map_lidar, atol=1e-9)
    np.testing.assert_allclose(tree.at("lidar", "map", *moment), invert(T_map_lidar), atol=1e-9)
    np.testing.assert_allclose(tree.at("rsu", "lidar", *moment), invert(T_map_rsu) @ T_map_lidar, atol=1e-9)
    np.testing.assert_array_equal(tree.at("lidar", "lidar", *moment), np.eye(4))
    # As ROS 1 wrote it.
    np.testing.assert_allclose(tree.at("/map", "/lidar", *moment), T_map_lidar, atol=1e-9)


def test_no_way_and_no_moment(tree):
    moment = (Moment(START_NS, START_NS), 50 * MS)
    assert tree.at("map", "rover", *moment) is None
    late = (Moment(START_NS + 451 * MS, START_NS + 451 * MS), 50 * MS)
    assert tree.at("map", "lidar", *late) is None
    assert tree.at("base_link", "lidar", *late) is not None


def test_a_circle_ends():
    tree = tree_of(
        transform("a", "b", np.eye(4), 0, static=True), transform("b", "a", np.eye(4), 0, static=True)
    )
    assert tree.is_connected("a", "a")


def track_of(rows: list[Row]) -> PoseTrack:
    messages: dict[int, Any] = {log_ns: message for _, _, message, log_ns in rows}
    entries = [Entry("/odom", Moment(log_ns, log_ns), 0, None) for log_ns in messages]
    return PoseTrack(entries, lambda entry: messages[entry.stamp_ns])


def test_a_pose_turns_at_a_constant_rate_between_two():
    start, end = transform_from_planar(0, 0, 3.0), transform_from_planar(4, 2, -3.0)
    track = track_of([odometry(START_NS, start), odometry(START_NS + 100 * MS, end)])
    T, _ = track.at(Moment(START_NS + 25 * MS, START_NS + 25 * MS), 100 * MS)
    turn = 2 * np.pi - 6.0
    np.testing.assert_allclose(T, transform_from_planar(1.0, 0.5, 3.0 + turn / 4), atol=1e-12)


def test_a_pose_that_is_not_valid_is_none():
    broken = odometry(START_NS, np.eye(4))
    broken[2].pose.pose.orientation.w = 0.0
    assert track_of([broken]).at(Moment(START_NS, START_NS), 0) is None
    assert track_of([odometry(START_NS, np.eye(4))]).at(Moment(START_NS + 1, START_NS), 0) is None


def test_a_transform_that_is_not_valid_is_left_out():
    broken = transform("map", "rsu", T_map_rsu, 0, static=True)
    broken[2].transforms[0].transform.rotation.w += 1.0
    assert tree_of(broken).frames == []
