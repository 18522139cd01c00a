from __future__ import annotations

import pytest

from cosense.nodes.stream_join import StreamJoin

MS = 1_000_000


@pytest.fixture
def join() -> StreamJoin:
    return StreamJoin("cloud", {"pose": 50 * MS}, max_waiting=3)


def moment(cloud: str, pose: str) -> dict[str, str]:
    return {"cloud": cloud, "pose": pose}


def test_equal_stamps_join_in_either_order(join):
    assert join.add("cloud", 100 * MS, "cloud 1") == []
    assert join.add("pose", 100 * MS, "pose 1") == [moment("cloud 1", "pose 1")]
    assert join.add("pose", 200 * MS, "pose 2") == []
    assert join.add("cloud", 200 * MS, "cloud 2") == [moment("cloud 2", "pose 2")]


def test_another_stamp_waits_for_a_later_pose_and_takes_the_nearest(join):
    join.add("pose", 90 * MS, "before")
    assert join.add("cloud", 100 * MS, "cloud") == []
    assert join.add("pose", 120 * MS, "after") == [moment("cloud", "before")]


def test_a_cloud_without_a_near_pose_is_dropped_and_counted(join):
    join.add("cloud", 100 * MS, "cloud")
    assert join.add("pose", 151 * MS, "too late") == []
    assert join.dropped == {"pose": 1}


def test_waiting_clouds_are_bounded(join):
    for number in range(5):
        join.add("cloud", number * 100 * MS, f"cloud {number}")
    assert join.dropped == {"pose": 2}
    assert join.add("pose", 400 * MS, "pose") == [moment("cloud 4", "pose")]


def test_several_clouds_become_complete_in_order(join):
    join.add("cloud", 100 * MS, "cloud 1")
    join.add("cloud", 110 * MS, "cloud 2")
    assert join.add("pose", 115 * MS, "pose") == [moment("cloud 1", "pose"), moment("cloud 2", "pose")]


@pytest.mark.parametrize("frames", [1, 2, 30])
@pytest.mark.parametrize("order", [("cloud", "pose"), ("pose", "cloud")])
def test_a_recording_with_the_same_stamps_gets_its_own_poses(join, frames, order):
    joined = []
    for recording in ("first", "second"):
        for number in range(frames):
            for stream in order:
                joined += join.add(stream, number * 100 * MS, f"{recording} {number}")
    assert len(joined) == 2 * frames
    assert all(each["cloud"] == each["pose"] for each in joined)


def test_a_recording_that_starts_anew_is_not_joined_with_the_old_poses(join):
    join.add("pose", 900_000 * MS, "old")
    assert join.add("cloud", 900_000 * MS, "old") == [moment("old", "old")]
    assert join.add("cloud", 100 * MS, "cloud") == []
    assert join.add("pose", 100 * MS, "new") == [moment("cloud", "new")]
    assert join.dropped == {"pose": 0}


@pytest.fixture
def join_of_three() -> StreamJoin:
    return StreamJoin("cloud", {"pose": 50 * MS, "camera": 20 * MS}, max_waiting=3)


def test_a_moment_has_a_message_of_every_stream_within_its_own_tolerance(join_of_three):
    join = join_of_three
    assert join.add("camera", 95 * MS, "image") == []
    assert join.add("cloud", 100 * MS, "cloud") == []
    assert join.add("pose", 100 * MS, "pose") == []
    complete = join.add("camera", 145 * MS, "next image")
    assert complete == [{"cloud": "cloud", "pose": "pose", "camera": "image"}]


def test_the_stream_that_was_missing_is_the_one_that_is_counted(join_of_three):
    join = join_of_three
    join.add("cloud", 100 * MS, "cloud")
    join.add("pose", 130 * MS, "pose")
    # Near enough for a pose, too far for an image.
    assert join.add("camera", 130 * MS, "image") == []
    assert join.dropped == {"pose": 0, "camera": 1}


@pytest.mark.parametrize("frames", [1, 2, 30])
@pytest.mark.parametrize("order", [("cloud", "pose", "camera"), ("camera", "cloud", "pose")])
def test_every_stream_follows_into_the_next_recording(join_of_three, frames, order):
    joined = []
    for recording in ("first", "second"):
        for number in range(frames):
            for stream in order:
                joined += join_of_three.add(stream, number * 100 * MS, f"{recording} {number}")
    assert len(joined) == 2 * frames
    assert all(len(set(each.values())) == 1 for each in joined)
