"""A pose between two: closed forms, what is refused, and what a covariance becomes."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose, pose_between
from cosense.geometry.transforms import transform_from_planar

MS = 1_000_000
GAP_NS = 1_000 * MS


def at(stamp_ms: float, x: float, y: float = 0.0, yaw: float = 0.0, variance: float = 0.0) -> TimedPose:
    return TimedPose(int(stamp_ms * MS), transform_from_planar(x, y, yaw), variance * np.eye(3))


def between(before: list[TimedPose], after: list[TimedPose], stamp_ms: float) -> TimedPose:
    return pose_between(before, after, int(stamp_ms * MS), GAP_NS, "'/odom'")


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (at(0, 1.0), at(100, 3.0), transform_from_planar(1.5, 0, 0)),
        # The short way over the border at 180 degrees, either way round.
        (at(0, 0, yaw=3.0), at(100, 0, yaw=-3.0), transform_from_planar(0, 0, 3.0 + (2 * np.pi - 6) / 4)),
        (at(0, 0, yaw=-3.0), at(100, 0, yaw=3.0), transform_from_planar(0, 0, -3.0 - (2 * np.pi - 6) / 4)),
        (at(0, 0, yaw=0.2), at(100, 0, 4.0, yaw=-0.2), transform_from_planar(0, 1.0, 0.1)),
    ],
)
def test_a_pose_lies_on_the_straight_way_and_turns_the_short_way(first, last, expected):
    pose = between([first], [last], 25)
    assert pose.stamp_ns == 25 * MS
    np.testing.assert_allclose(pose.T_world_frame, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([], [], "'/odom' has no valid pose"),
        ([at(0, 0)], [], "'/odom' ends at 0.000 s"),
        ([], [at(60, 0)], "'/odom' begins at 0.060 s"),
        (
            [at(0, 0)],
            [at(1001, 0)],
            "'/odom' has nothing between 0.000 s and 1.001 s, 1001 ms, more than pose_gap_ms 1000",
        ),
        (
            [at(0, 0)],
            [at(100, 9.0)],
            "'/odom' jumps by 9.0 m from 0.000 s to 0.100 s: its localisation",
        ),
        ([at(0, 0)], [at(100, 0, yaw=3.0)], "'/odom' jumps by 172 degrees from 0.000 s to 0.100 s"),
        # Two that publish in turn, 3 m apart: nothing drives like that, before a moment or after it.
        ([at(0, 0), at(50, 0.5, 3.0)], [at(100, 1.0)], "'/odom' jumps by 3.0 m from 0.000 s to 0.100 s"),
        ([at(50, 0.5, 3.0)], [at(100, 1.0), at(150, 1.5, 3.0)], "jumps by 3.0 m from 0.050 s to 0.150 s"),
    ],
)
def test_what_is_not_known_is_refused_with_its_stamps(before, after, said):
    """Never carried on, never across a gap, never from one localisation to another."""
    with pytest.raises(CosenseError) as caught:
        between(before, after, 55)
    assert said in str(caught.value)


@pytest.mark.parametrize("stamp_ms", [0, 100, 0.0009, 99.9991])
def test_a_pose_of_the_moment_is_taken_as_it_is(stamp_ms):
    """To the nanosecond, or as rounding leaves floating-point seconds; a jump beside it does not matter."""
    first, last = at(0, 1.0, variance=1.0), at(100, 500.0, variance=2.0)
    nearest = first if stamp_ms < 50 else last
    pose = between([first], [last], stamp_ms)
    np.testing.assert_array_equal(pose.T_world_frame, nearest.T_world_frame)
    np.testing.assert_array_equal(pose.covariance, nearest.covariance)


def test_a_hard_brake_and_noise_are_no_jump():
    brake = [at(0, 0.0), at(100, 3.0)], [at(200, 5.9)]
    assert between(*brake, 150).T_world_frame[0, 3] == pytest.approx(4.45)
    noise = [at(0, 0.0), at(20, 0.6)], [at(40, 0.8)]
    assert between(*noise, 30).T_world_frame[0, 3] == pytest.approx(0.7)
    # Who says that he is uncertain may be.
    unsure = [at(0, 0.0, variance=1.0), at(50, 0.5, 3.0)], [at(100, 1.0)]
    assert between(*unsure, 75).T_world_frame[1, 3] == pytest.approx(1.5)


def test_a_covariance_lies_between_the_two_that_are_known():
    pose = between([at(0, 0, variance=0.1)], [at(100, 0, variance=0.5)], 25)
    np.testing.assert_allclose(pose.covariance, 0.2 * np.eye(3))
    # Zero is unknown, and no certainty to average with.
    np.testing.assert_allclose(
        between([at(0, 0)], [at(100, 0, variance=0.5)], 25).covariance, 0.5 * np.eye(3)
    )
    assert not between([at(0, 0)], [at(100, 0)], 25).covariance.any()


def test_an_error_of_the_heading_moves_what_is_mounted_ahead():
    pose = TimedPose(0, transform_from_planar(50.0, 0, np.pi / 2), np.diag([0.01, 0.02, 0.003]))
    seen = pose.seen_from(transform_from_planar(2.0, 0, 0.3))
    np.testing.assert_allclose(
        seen.T_world_frame, transform_from_planar(50.0, 2.0, np.pi / 2 + 0.3), atol=1e-12
    )
    expected = np.diag([0.01 + 4 * 0.003, 0.02, 0.003])
    expected[0, 2] = expected[2, 0] = -2 * 0.003
    np.testing.assert_allclose(seen.covariance, expected, atol=1e-12)


def test_another_world_turns_a_covariance():
    pose = TimedPose(0, transform_from_planar(1.0, 0, 0), np.diag([0.01, 0.02, 0.003]))
    placed = pose.placed_in(transform_from_planar(5.0, 0, np.pi / 2))
    np.testing.assert_allclose(placed.T_world_frame, transform_from_planar(5.0, 1.0, np.pi / 2), atol=1e-12)
    np.testing.assert_allclose(placed.covariance, np.diag([0.02, 0.01, 0.003]), atol=1e-12)
