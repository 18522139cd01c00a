from __future__ import annotations

import pytest

from cosense.nodes.pose_join import PoseJoin

MS = 1_000_000


@pytest.fixture
def join() -> PoseJoin[str, str]:
    return PoseJoin(tolerance_ns=50 * MS, max_clouds=3)


def test_equal_stamps_join_in_either_order(join):
    assert join.add_cloud(100 * MS, "cloud 1") == []
    assert join.add_pose(100 * MS, "pose 1") == [("cloud 1", "pose 1")]
    assert join.add_pose(200 * MS, "pose 2") == []
    assert join.add_cloud(200 * MS, "cloud 2") == [("cloud 2", "pose 2")]


def test_another_stamp_waits_for_a_later_pose_and_takes_the_nearest(join):
    join.add_pose(90 * MS, "before")
    assert join.add_cloud(100 * MS, "cloud") == []
    assert join.add_pose(120 * MS, "after") == [("cloud", "before")]


def test_a_cloud_without_a_near_pose_is_dropped_and_counted(join):
    join.add_cloud(100 * MS, "cloud")
    assert join.add_pose(151 * MS, "too late") == []
    assert join.without_pose == 1


def test_waiting_clouds_are_bounded(join):
    for number in range(5):
        join.add_cloud(number * 100 * MS, f"cloud {number}")
    assert join.without_pose == 2
    assert join.add_pose(400 * MS, "pose") == [("cloud 4", "pose")]


def test_several_clouds_become_complete_in_order(join):
    join.add_cloud(100 * MS, "cloud 1")
    join.add_cloud(110 * MS, "cloud 2")
    assert join.add_pose(115 * MS, "pose") == [("cloud 1", "pose"), ("cloud 2", "pose")]


@pytest.mark.parametrize("frames", [1, 2, 30])
@pytest.mark.parametrize("is_cloud_first", [False, True])
def test_a_recording_with_the_same_stamps_gets_its_own_poses(join, frames, is_cloud_first):
    joined = []
    for recording in ("first", "second"):
        for number in range(frames):
            stamp_ns, name = number * 100 * MS, f"{recording} {number}"
            if is_cloud_first:
                joined += join.add_cloud(stamp_ns, name)
            joined += join.add_pose(stamp_ns, name)
            if not is_cloud_first:
                joined += join.add_cloud(stamp_ns, name)
    assert len(joined) == 2 * frames
    assert all(cloud == pose for cloud, pose in joined)


def test_a_recording_that_starts_anew_is_not_joined_with_the_old_poses(join):
    join.add_pose(900_000 * MS, "old")
    assert join.add_cloud(900_000 * MS, "old") == [("old", "old")]
    assert join.add_cloud(100 * MS, "cloud") == []
    assert join.add_pose(100 * MS, "new") == [("cloud", "new")]
    assert join.without_pose == 0
