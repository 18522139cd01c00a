from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cosense.data.bag.file import Entry
from cosense.data.bag.poses import PoseTrack, TransformTree
from cosense.data.bag.timeline import Moment
from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import invert, transform_from_planar
from cosense.sensing.cloud_formats.ros_messages import PLANAR
from tests.data.bag.bags import MS, START_NS, Row, T_base_lidar, T_map_base, T_map_rsu, odometry, transform

GAP_NS = 100 * MS


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
    moment = (Moment(START_NS + 130 * MS, START_NS + 130 * MS), GAP_NS)
    T_map_lidar = T_map_base(moment[0].stamp_ns) @ T_base_lidar
    np.testing.assert_allclose(tree.at("map", "lidar", *moment), T_map_lidar, atol=1e-9)
    np.testing.assert_allclose(tree.at("lidar", "map", *moment), invert(T_map_lidar), atol=1e-9)
    np.testing.assert_allclose(tree.at("rsu", "lidar", *moment), invert(T_map_rsu) @ T_map_lidar, atol=1e-9)
    np.testing.assert_array_equal(tree.at("lidar", "lidar", *moment), np.eye(4))
    # As ROS 1 wrote it.
    np.testing.assert_allclose(tree.at("/map", "/lidar", *moment), T_map_lidar, atol=1e-9)


def test_no_way_and_no_moment(tree):
    moment = (Moment(START_NS, START_NS), GAP_NS)
    with pytest.raises(CosenseError, match="no transform from 'rover' to 'map'"):
        tree.at("map", "rover", *moment)
    late = (Moment(START_NS + 401 * MS, START_NS + 401 * MS), GAP_NS)
    with pytest.raises(CosenseError, match=r"transform 'map' -> 'base_link' ends at 1700000000.400 s"):
        tree.at("map", "lidar", *late)
    np.testing.assert_allclose(tree.at("base_link", "lidar", *late), T_base_lidar, atol=1e-12)


def test_a_circle_ends():
    tree = tree_of(
        transform("a", "b", np.eye(4), 0, static=True), transform("b", "a", np.eye(4), 0, static=True)
    )
    assert tree.is_connected("a", "a")


def track_of(rows: list[Row]) -> PoseTrack:
    messages: dict[int, Any] = {log_ns: message for _, _, message, log_ns in rows}
    entries = [Entry("/odom", Moment(log_ns, log_ns), 0, None) for log_ns in messages]
    return PoseTrack("/odom", entries, lambda entry: messages[entry.stamp_ns])


def pose_at(track: PoseTrack, stamp_ns: int, max_gap_ns: int = GAP_NS) -> TimedPose:
    return track.at(Moment(stamp_ns, stamp_ns), max_gap_ns)


def test_a_pose_turns_at_a_constant_rate_between_two():
    start, end = transform_from_planar(0, 0, 3.0), transform_from_planar(4, 2, -3.0)
    track = track_of([odometry(START_NS, start), odometry(START_NS + 100 * MS, end)])
    pose = pose_at(track, START_NS + 25 * MS)
    turn = 2 * np.pi - 6.0
    expected = transform_from_planar(1.0, 0.5, 3.0 + turn / 4)
    np.testing.assert_allclose(pose.T_world_frame, expected, atol=1e-12)


def odometry_without_orientation() -> Row:
    row = odometry(START_NS, np.eye(4))
    row[2].pose.pose.orientation.w = 0.0
    return row


def test_a_pose_that_is_not_valid_does_not_count():
    """Before a localisation has converged, or where it diverges: the poses around it are used."""
    rows = [odometry(START_NS + 20 * MS * n, T_map_base(START_NS + 20 * MS * n)) for n in range(4)]
    for row, value in zip(rows[:2], (0.0, np.nan), strict=True):
        row[2].pose.pose.orientation.w = value
    with pytest.raises(CosenseError, match=r"'/odom' has no valid pose \(pose .*\] is not valid\)"):
        pose_at(track_of(rows[:2]), START_NS)
    with pytest.raises(
        CosenseError, match=r"'/odom' has no valid pose \(.* is not valid: no orientation is set"
    ):
        pose_at(track_of([odometry_without_orientation()]), START_NS)
    with pytest.raises(CosenseError, match=r"'/odom' begins at 1700000000.040 s"):
        pose_at(track_of(rows), START_NS)
    rows = [odometry(START_NS - 20 * MS, T_map_base(START_NS - 20 * MS)), *rows]
    pose = pose_at(track_of(rows), START_NS)
    np.testing.assert_allclose(pose.T_world_frame, T_map_base(START_NS), atol=1e-9)


def test_a_transform_that_is_not_valid_is_left_out():
    broken = transform("map", "rsu", T_map_rsu, 0, static=True)
    broken[2].transforms[0].transform.rotation.w += 1.0
    tree = tree_of(broken)
    assert tree.frames == []
    (line,) = tree.doubts["rsu"]
    assert line.startswith("a transform 'map' -> 'rsu' is not used: pose with position [30.0, -6.0, 5.0] and")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (np.diag([0.1, 0.2, 0.3]), np.diag([0.1, 0.2, 0.3])),
        # Unknown, as drivers write it.
        (np.full((3, 3), np.nan), np.zeros((3, 3))),
        (np.diag([-1.0, 0.2, 0.3]), np.zeros((3, 3))),
        # No covariance: x and y cannot vary together more than each by itself.
        (np.array([[0.1, 9.0, 0], [9.0, 0.2, 0], [0, 0, 0.3]]), np.diag([0.1, 0.2, 0.3])),
    ],
)
def test_a_covariance_that_is_none_is_not_sent_on(given, read):
    """What no message could carry, and every cloud would fail for."""
    row = odometry(START_NS, np.eye(4))
    row[2].pose.covariance.reshape(6, 6)[PLANAR] = given
    np.testing.assert_array_equal(pose_at(track_of([row]), START_NS).covariance, read)


def test_calibrations_that_contradict_each_other_are_doubted_and_others_are_not():
    """Kind: a mounting that is published twice: by two programs, or again after it was measured anew."""
    far = transform_from_planar(691_234.5, 5_334_567.8, 0.0)
    moved = transform_from_planar(0.1, 0.0, 0.0) @ far
    first = transform("map", "rsu", far, 0, static=True)
    assert tree_of(first, first).doubts == {}
    tree = tree_of(first, transform("map", "rsu", moved, 1, static=True), first)
    assert tree.doubts == {"rsu": ["'map' -> 'rsu' is said in several ways, the last one counts"]}


def test_a_rotation_is_one_as_tf2_has_it():
    """Kind: quaternions that were rounded to two digits; tf2 takes them, and so do we."""
    row = odometry(START_NS, transform_from_planar(1.0, 2.0, 0.9))
    turn = row[2].pose.pose.orientation
    turn.z, turn.w = round(turn.z, 2), round(turn.w, 2)
    assert abs(np.hypot(turn.z, turn.w) - 1) > 1e-3
    T = pose_at(track_of([row]), START_NS).T_world_frame
    np.testing.assert_allclose(T, transform_from_planar(1.0, 2.0, 0.9), atol=0.01)
    np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-12)
