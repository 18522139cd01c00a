"""A pose at a moment between two that were measured.

The way from one pose to the next is taken as straight, the turn as the shortest and at a constant rate. That
is wrong by at most a t^2 / 8 for a vehicle that accelerates by a in the time t between the two: 1 cm at 10 Hz
and 0.5 m at 1 Hz, for 4 m/s^2. Nothing is said of moments before the first pose or after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, interpolated, invert, transform_from_planar, yaw_of

# Largest time between two poses for what is between them to be known: for poses of 1 Hz, some a little late.
DEFAULT_POSE_GAP_MS = 1100.0
# Stamps that were computed as floating-point seconds are off by this much.
SAME_MOMENT_NS = 1_000
# What nothing on a road exceeds, and how far positions scatter even where nothing moves.
_MAX_SPEED_M_S = 70.0
_MAX_ACCELERATION_M_S2 = 10.0
_SCATTER_M = 0.5
# Beyond it the short way round may be the wrong one.
_MAX_TURN_RAD = 2.0


@dataclass(frozen=True)
class TimedPose:
    """Where something is at a moment.

    Attributes:
        stamp_ns: the moment.
        T_world_frame: (4,4) pose.
        covariance: (3,3) covariance of (x, y, yaw) in the world, zero if unknown.
    """

    stamp_ns: int
    T_world_frame: Matrix
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 3)))

    def seen_from(self, T_frame_other: Matrix) -> TimedPose:
        """Return the pose of another frame that is fixed to this one: an error of the heading moves it.

        Args:
            T_frame_other: (4,4) where the other frame is mounted.
        """
        x, y, _ = self.T_world_frame[:3, :3] @ T_frame_other[:3, 3]
        moves = np.array([[1.0, 0.0, -y], [0.0, 1.0, x], [0.0, 0.0, 1.0]])
        covariance = moves @ self.covariance @ moves.T
        return TimedPose(self.stamp_ns, self.T_world_frame @ T_frame_other, covariance)

    def placed_in(self, T_other_world: Matrix) -> TimedPose:
        """Return the same pose in another world.

        Args:
            T_other_world: (4,4) where this world lies in the other one.
        """
        turn = transform_from_planar(0, 0, yaw_of(T_other_world))[:3, :3]
        covariance = turn @ self.covariance @ turn.T
        return TimedPose(self.stamp_ns, T_other_world @ self.T_world_frame, covariance)


def pose_between(
    before: Sequence[TimedPose],
    after: Sequence[TimedPose],
    stamp_ns: int,
    max_gap_ns: int,
    source: str,
) -> TimedPose:
    """Return the pose at a moment by the ones before and after it.

    The covariance lies between those of the two as well, which is the most that it can be, however their
    errors depend on each other; where only one of them is known, it counts.

    Args:
        before: the last poses at the moment or before it, in the order of time. The first one of a stamp
            counts, and the last stamp but one helps to tell a jump.
        after: the first poses at the moment or after it, likewise.
        stamp_ns: the moment.
        max_gap_ns: largest time between two poses for what is between them to be known.
        source: what gives the poses, for the error.

    Raises:
        CosenseError: the moment is before the first pose or after the last, nothing is known of the way
            between the two, or poses contradict each other; the error gives their stamps.
    """
    earlier, later = _by_stamp(before), _by_stamp(after)
    first, last = (earlier[-1][0] if earlier else None), (later[0][0] if later else None)
    for same in (*earlier[-1:], *later[:1]):
        for other in same[1:]:
            _check_way(same[0], other, source)
    for pose in (first, last):
        if pose is not None and abs(pose.stamp_ns - stamp_ns) <= SAME_MOMENT_NS:
            return TimedPose(stamp_ns, pose.T_world_frame, pose.covariance)
    if last is None:
        end = "has no valid pose" if first is None else f"ends at {seconds(first.stamp_ns)}"
        raise CosenseError(f"{source} {end}")
    if first is None:
        raise CosenseError(f"{source} begins at {seconds(last.stamp_ns)}")
    gap_ns = last.stamp_ns - first.stamp_ns
    if gap_ns > max_gap_ns:
        raise CosenseError(
            f"{source} has nothing between {seconds(first.stamp_ns)} and {seconds(last.stamp_ns)}, "
            f"{gap_ns / 1e6:.0f} ms, more than pose_gap_ms {max_gap_ns / 1e6:g}"
        )
    _check_way(first, last, source)
    others = [same[0] for same in (*earlier[-2:-1], *later[1:2])]
    _check_corner(sorted([first, last, *others[:1]], key=lambda pose: pose.stamp_ns), source)
    fraction = (stamp_ns - first.stamp_ns) / gap_ns
    covariances = [pose.covariance for pose in (first, last) if pose.covariance.any()]
    covariance = np.zeros((3, 3))
    if covariances:
        covariance = (1 - fraction) * covariances[0] + fraction * covariances[-1]
    T = interpolated(first.T_world_frame, last.T_world_frame, fraction)
    return TimedPose(stamp_ns, T, covariance)


def _by_stamp(poses: Sequence[TimedPose]) -> list[list[TimedPose]]:
    return [list(same) for _, same in groupby(poses, key=lambda pose: pose.stamp_ns)]


def _check_way(first: TimedPose, second: TimedPose, source: str) -> None:
    """Refuse two poses that nothing can have taken one after the other.

    Raises:
        CosenseError: they are too far apart for the time between them.
    """
    T_first_second = invert(first.T_world_frame) @ second.T_world_frame
    apart_m = float(np.linalg.norm(T_first_second[:3, 3]))
    turn_rad = np.arccos(np.clip((np.trace(T_first_second[:3, :3]) - 1) / 2, -1.0, 1.0))
    gap_s = abs(second.stamp_ns - first.stamp_ns) / 1e9
    if apart_m > _scatter_m(first, second) + _MAX_SPEED_M_S * gap_s:
        raise _jump(source, f"{apart_m:.1f} m", first, second)
    if turn_rad > _MAX_TURN_RAD:
        raise _jump(source, f"{np.rad2deg(turn_rad):.0f} degrees", first, second)


def _check_corner(poses: Sequence[TimedPose], source: str) -> None:
    """Refuse three poses, where there are as many, if the middle one is too far from the way of the others.

    Raises:
        CosenseError: nothing on a road accelerates like that.
    """
    if len(poses) < 3:
        return
    first, middle, last = poses
    to_middle_s = (middle.stamp_ns - first.stamp_ns) / 1e9
    to_last_s = (last.stamp_ns - middle.stamp_ns) / 1e9
    fraction = to_middle_s / (to_middle_s + to_last_s)
    T = interpolated(first.T_world_frame, last.T_world_frame, fraction)
    beside_m = float(np.linalg.norm(middle.T_world_frame[:3, 3] - T[:3, 3]))
    if beside_m > _scatter_m(first, middle, last) + _MAX_ACCELERATION_M_S2 * to_middle_s * to_last_s / 2:
        raise _jump(source, f"{beside_m:.1f} m", first, last)


def _scatter_m(*poses: TimedPose) -> float:
    """Return how far from its true place a pose may be."""
    variance = max(float(np.trace(pose.covariance[:2, :2])) for pose in poses)
    return _SCATTER_M + 3 * max(variance, 0.0) ** 0.5


def _jump(source: str, by: str, first: TimedPose, last: TimedPose) -> CosenseError:
    return CosenseError(
        f"{source} jumps by {by} from {seconds(first.stamp_ns)} to {seconds(last.stamp_ns)}: its "
        "localisation jumps, or two publish"
    )


def seconds(stamp_ns: int) -> str:
    """Return a stamp for people."""
    return f"{stamp_ns / 1e9:.3f} s"
