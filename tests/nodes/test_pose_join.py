"""Clouds and poses as they come: beside each other, twice, late, from two publishers, in a loop."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import transform_from_planar
from cosense.nodes.pose_join import Placed, PoseJoin

MS = 1_000_000
SPEED_M_S = 10.0
# A cloud is its stamp and the recording that it is of; there the car is so far along y.
Cloud = tuple[float, float]


@pytest.fixture
def join() -> PoseJoin[Cloud]:
    return PoseJoin("/pose", 1_000 * MS, max_waiting=4)


def pose(stamp_ms: float, y: float = 0.0) -> TimedPose:
    return TimedPose(int(stamp_ms * MS), transform_from_planar(SPEED_M_S * stamp_ms / 1e3, y, 0.0))


def played(join: PoseJoin[Cloud], messages: Iterable[tuple[str, float, float]]) -> list[Placed[Cloud]]:
    """Return what becomes of the clouds: ("cloud" | "pose", stamp in ms, y of the recording)."""
    placed: list[Placed[Cloud]] = []
    for stream, stamp_ms, y in messages:
        if stream == "cloud":
            placed += join.add_cloud(int(stamp_ms * MS), (stamp_ms, y))
        else:
            placed += join.add_pose(pose(stamp_ms, y))
    return placed


def errors_m(placed: Iterable[Placed[Cloud]]) -> list[float]:
    """How far each cloud that has a pose is from where the car was in its own recording."""
    return [
        float(
            np.hypot(
                p.pose.T_world_frame[0, 3] - SPEED_M_S * p.cloud[0] / 1e3,
                p.pose.T_world_frame[1, 3] - p.cloud[1],
            )
        )
        for p in placed
        if p.pose is not None
    ]


def in_time(*streams: tuple[str, Iterable[float], float]) -> list[tuple[str, float, float]]:
    """Return messages in the order of their stamps: (stream, stamps in ms, how much later they come)."""
    rows = [
        (stamp_ms + late_ms, stream, stamp_ms) for stream, stamps, late_ms in streams for stamp_ms in stamps
    ]
    return [(stream, stamp_ms, 0.0) for _, stream, stamp_ms in sorted(rows)]


def test_a_pose_of_the_moment_is_taken_at_once_in_either_order(join):
    assert played(join, [("cloud", 100, 0)]) == []
    (placed,) = played(join, [("pose", 100, 0)])
    assert (placed.cloud, placed.stamp_ns, placed.reason) == ((100, 0), 100 * MS, "")
    assert played(join, [("pose", 200, 0)]) == []
    assert errors_m(played(join, [("cloud", 200, 0)])) == [0.0]


@pytest.mark.parametrize("hertz", [1, 2, 5, 10, 50])
@pytest.mark.parametrize("offset_ms", [7, 33, 60])
def test_poses_beside_the_clouds_are_interpolated_and_no_cloud_is_lost(hertz, offset_ms):
    """Poses of 5 Hz lost half of the clouds, and those of 10 Hz were up to half a metre off."""
    join: PoseJoin[Cloud] = PoseJoin("/pose", 1_000 * MS, max_waiting=16)
    poses = range(offset_ms - 1000, 2000, 1000 // hertz)
    placed = played(join, in_time(("cloud", range(0, 900, 100), 0), ("pose", poses, 0)))
    assert [p.cloud[0] for p in placed] == list(range(0, 900, 100))
    assert max(errors_m(placed)) < 1e-9
    assert len(errors_m(placed)) == 9


@pytest.mark.parametrize("late_ms", [0, 30, 150])
def test_poses_that_come_twice_or_late_lose_no_cloud(join, late_ms):
    """TF_REPEATED_DATA, two publishers of one localisation: only a real jump back is another recording."""
    poses = range(-100, 900, 50)
    messages = in_time(("cloud", range(0, 600, 100), 0), ("pose", poses, 0), ("pose", poses, late_ms))
    placed = played(join, messages)
    assert len(placed) == len(errors_m(placed)) == 6
    assert max(errors_m(placed)) < 1e-9


def test_an_overtaken_pose_counts(join):
    (placed,) = played(
        join, [("pose", 0, 0), ("pose", 40, 0), ("pose", 20, 0), ("cloud", 50, 0), ("pose", 60, 0)]
    )
    assert errors_m([placed]) == [0.0]


def test_two_localisations_place_no_cloud(join):
    """Two publishers that contradict each other, at one stamp or in turn."""
    at_once = [("pose", 0, 0), ("pose", 100, 0), ("pose", 100, 5), ("cloud", 150, 0), ("pose", 200, 0)]
    in_turn = [("pose", 250, 5), ("pose", 300, 0), ("cloud", 310, 0), ("pose", 350, 5)]
    placed = played(join, [*at_once, *in_turn])
    assert [p.pose for p in placed] == [None, None]
    assert placed[0].reason.startswith("cloud of 0.150 s: /pose jumps by 5.0 m from 0.100 s to 0.100 s: ")


def test_what_has_no_pose_is_dropped_with_both_stamps(join):
    """Never carried on, never across a gap."""
    messages = [("cloud", 0, 0), ("pose", 20, 0), ("cloud", 100, 0), ("pose", 1021, 0)]
    messages += [("cloud", 1100 + 100 * n, 0) for n in range(5)]
    placed = played(join, messages)
    assert [p.reason for p in placed] == [
        "cloud of 0.000 s: /pose begins at 0.020 s",
        "cloud of 0.100 s: /pose has nothing between 0.020 s and 1.021 s, 1001 ms, more than pose_gap_ms "
        "1000",
        "cloud of 1.100 s: /pose ends at 1.021 s",
    ]


def test_without_any_pose_the_oldest_cloud_makes_room(join):
    placed = played(join, [("cloud", 100 * n, 0) for n in range(5)])
    assert [p.reason for p in placed] == ["cloud of 0.000 s: /pose has no valid pose"]


@pytest.mark.parametrize("frames", [2, 3, 30])
@pytest.mark.parametrize("order", [("cloud", "pose"), ("pose", "cloud")])
def test_a_recording_with_the_same_stamps_gets_its_own_poses(join, frames, order):
    """A loop, or two recordings that count from zero: the same stamps, 50 m beside."""
    messages = [
        (stream, 100 * number, y) for y in (0, 50, 100) for number in range(frames) for stream in order
    ]
    placed = played(join, messages)
    assert errors_m(placed) == [0.0] * 3 * frames


def test_a_loop_of_the_very_same_bag_is_placed_again(join):
    messages = [(stream, 100 * n, 0) for _ in range(3) for n in range(20) for stream in ("pose", "cloud")]
    assert errors_m(played(join, messages)) == [0.0] * 60


@pytest.mark.parametrize("poses_first_ms", [-250, 250])
def test_in_a_loop_poses_may_run_ahead_of_the_clouds_or_behind_them(join, poses_first_ms):
    """Neither stream waits for the other at the seam, and none is joined with the recording before."""
    streams = {"cloud": 0, "pose": -poses_first_ms}
    rows = [
        (3000 * y + stamp_ms + streams[stream], stream, stamp_ms, 50.0 * y)
        for y in range(3)
        for stream, step_ms in (("cloud", 100), ("pose", 40))
        for stamp_ms in range(0, 3000, step_ms)
    ]
    placed = played(join, [(stream, stamp_ms, y) for _, stream, stamp_ms, y in sorted(rows)])
    assert max(errors_m(placed)) < 1e-9
    assert len(errors_m(placed)) >= 3 * 26


def test_a_recording_that_starts_before_the_first_cloud_is_the_one_that_counts(join):
    old = [("pose", 900_000 + 20 * n, 50) for n in range(3)]
    placed = played(join, [*old, ("pose", 0, 0), ("pose", 20, 0), ("cloud", 30, 0), ("pose", 40, 0)])
    assert errors_m(placed) == pytest.approx([0.0])


def test_a_cloud_that_comes_twice_is_passed_over(join):
    placed = played(
        join, [("pose", 0, 0), ("cloud", 0, 0), ("cloud", 0, 0), ("pose", 100, 0), ("cloud", 100, 0)]
    )
    assert errors_m(placed) == [0.0, 0.0]
    assert join.repeated == 1


def test_clouds_that_alone_go_back_are_dropped_until_they_go_on(join):
    """Two sensors on one topic, or a clock of the LiDAR that is set: with the stamps, and not for ever."""
    messages = in_time(("cloud", range(0, 500, 100), 0), ("pose", range(-20, 2000, 20), 0))
    late = [("cloud", 140, 1), ("cloud", 145, 2)]
    placed = played(join, [*messages[:-60], *late, *messages[-60:-50]])
    reasons = [p.reason for p in placed if p.pose is None]
    assert len(reasons) == 2
    assert reasons[0].startswith(
        "cloud of 0.140 s: it came after that of 0.400 s, and /pose has not gone back"
    )
    ahead: PoseJoin[Cloud] = PoseJoin("/pose", 1_000 * MS, max_waiting=4)
    messages = in_time(("cloud", range(0, 1000, 100), 0), ("pose", range(-20, 1200, 20), 0))
    placed = played(ahead, [("pose", -40, 0), ("cloud", 500_000, 0), *messages])
    assert [p.cloud[0] for p in placed if p.pose is not None] == list(range(300, 1000, 100))
    assert max(errors_m(placed)) < 1e-9


@pytest.mark.parametrize("apart_s", [1_700_000_000, -1_700_000_000])
def test_two_clocks_are_named_with_both_stamps(join, apart_s):
    """A LiDAR that counts from its boot: every cloud is dropped, and the reason has a stamp of each clock."""
    messages = [
        m
        for n in range(6)
        for m in (("cloud", 2e12 + 100 * n, 0), ("pose", 2e12 + apart_s * 1e3 + 100 * n, 0))
    ]
    placed = played(join, messages)
    assert placed
    assert all(p.pose is None for p in placed)
    edge = "begins at 3700000000.000 s" if apart_s > 0 else "ends at 300000000.300 s"
    assert f"{edge}; do clouds and poses have one clock?" in placed[0].reason
    assert placed[0].reason.startswith("cloud of 2000000000.000 s: /pose ")
