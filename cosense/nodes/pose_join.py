"""Gives each cloud the pose of its moment; the two have topics of their own, in any order."""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from cosense.errors import CosenseError
from cosense.geometry.timed_pose import SAME_MOMENT_NS, TimedPose, pose_between, seconds

C = TypeVar("C")

# Poses that are kept: more than come in the time between two that may be interpolated.
_KEPT = 2000
# Poses around a cloud that are looked at: two stamps, and what comes twice.
_NEAR = 8
# No pose is overtaken by one that was measured so much later.
_JUMP_NS = 1_000_000_000
# So many poses go on behind clouds that have gone back only if the clouds' clock was set.
_ANOTHER_CLOCK = 3
# Whoever is farther behind has another clock.
_ONE_CLOCK_NS = 10_000_000_000
_STARTED_AGAIN = "the recording starts again before its pose has come"


@dataclass(frozen=True)
class Placed(Generic[C]):
    """What became of a cloud.

    Attributes:
        cloud: the cloud.
        stamp_ns: when it was measured.
        pose: where, None if that is not known.
        reason: why the pose is not known, "" if it is.
    """

    cloud: C
    stamp_ns: int
    pose: TimedPose | None
    reason: str = ""


class PoseJoin(Generic[C]):
    """Interpolates between the poses around each cloud.

    A cloud with the very stamp of a pose is taken at once. Otherwise it waits for a later pose. Where no pose
    is known for it, it is dropped, and the reason gives both stamps.

    Poses that come twice or late are put in order. Another recording has begun where both clouds and poses
    have gone back, or two poses by a second or more: clouds are never joined with poses of the recording
    before, whose stamps may be the same. A cloud that alone goes back is dropped, one that comes twice is
    passed over.

    Attributes:
        repeated: how many clouds came twice.
    """

    def __init__(self, source: str, max_gap_ns: int, max_waiting: int) -> None:
        """Start without any message.

        Args:
            source: what gives the poses, for the reasons.
            max_gap_ns: largest time between two poses for what is between them to be known.
            max_waiting: clouds that may wait at a time; the oldest makes room.
        """
        self.repeated = 0
        self._source = source
        self._max_gap_ns = max_gap_ns
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, C]] = deque()
        self._newest: tuple[int, C] | None = None
        # Clouds that have gone back, while the poses have not.
        self._held: deque[tuple[int, C]] = deque()
        # How many poses in a row have gone on meanwhile.
        self._went_on = 0
        self._poses: list[TimedPose] = []
        # Poses that have gone back, while the clouds have not.
        self._behind: list[TimedPose] = []
        # The poses are of the next recording already, the clouds are not.
        self._poses_lead = False

    def add_cloud(self, stamp_ns: int, cloud: C) -> list[Placed[C]]:
        """Take a cloud and return what became of all that need not wait any longer, oldest first."""
        if self._newest is not None and stamp_ns <= self._newest[0]:
            if (stamp_ns, cloud) == self._newest:
                self.repeated += 1
                return []
            self._held.append((stamp_ns, cloud))
            if self._behind or self._poses_lead:
                return self._start_again()
            excess = max(0, len(self._held) - self._max_waiting)
            return [self._out_of_order(*self._held.popleft()) for _ in range(excess)]
        self._newest = stamp_ns, cloud
        self._went_on = 0
        self._waiting.append((stamp_ns, cloud))
        done = self._complete()
        excess = max(0, len(self._waiting) - self._max_waiting)
        return [*done, *(self._placed(*self._waiting.popleft()) for _ in range(excess))]

    def add_pose(self, pose: TimedPose) -> list[Placed[C]]:
        """Take a pose and return what became of all clouds that need not wait any longer, oldest first."""
        newest = self._poses[-1] if self._poses else None
        if newest is None or pose.stamp_ns > newest.stamp_ns:
            for late in self._behind:
                bisect.insort(self._poses, late, key=_stamp_ns)
            self._behind.clear()
            self._poses.append(pose)
            del self._poses[:-_KEPT]
            return [*self._drop_held(), *self._complete()]
        if pose.stamp_ns == newest.stamp_ns and _are_equal(pose, newest):
            return []
        self._behind.append(pose)
        if self._held:
            return self._start_again()
        if len(self._behind) > 1 and newest.stamp_ns - pose.stamp_ns >= _JUMP_NS:
            self._poses, self._behind = sorted(self._behind, key=_stamp_ns), []
            self._poses_lead = True
        return self._complete()

    def _start_again(self) -> list[Placed[C]]:
        """Forget what belongs to the recording that both have left."""
        dropped = [self._dropped(*item, _STARTED_AGAIN) for item in self._waiting]
        if not self._poses_lead:
            self._poses, self._behind = sorted(self._behind, key=_stamp_ns), []
        self._poses_lead = False
        self._went_on = 0
        self._waiting, self._held = self._held, deque()
        self._newest = self._waiting[-1]
        return [*dropped, *self._complete()]

    def _complete(self) -> list[Placed[C]]:
        done: list[Placed[C]] = []
        waiting: deque[tuple[int, C]] = deque()
        for stamp_ns, cloud in self._waiting:
            # A pose a rounding error before the cloud is of the same moment.
            if self._poses and self._poses[-1].stamp_ns >= stamp_ns - SAME_MOMENT_NS:
                done.append(self._placed(stamp_ns, cloud))
            else:
                waiting.append((stamp_ns, cloud))
        self._waiting = waiting
        if any(placed.pose is not None for placed in done):
            self._poses_lead = False
        return done

    def _drop_held(self) -> list[Placed[C]]:
        """Drop clouds that have gone back, since the poses go on; in the long run their clock was set."""
        if not self._held:
            return []
        dropped = [self._out_of_order(*item) for item in self._held]
        self._went_on += 1
        if self._went_on == _ANOTHER_CLOCK:
            self._newest = self._held[-1]
        self._held.clear()
        return dropped

    def _placed(self, stamp_ns: int, cloud: C) -> Placed[C]:
        first = bisect.bisect_left(self._poses, stamp_ns, key=_stamp_ns)
        last = bisect.bisect_right(self._poses, stamp_ns, key=_stamp_ns)
        before, after = self._poses[max(0, last - _NEAR) : last], self._poses[first : first + _NEAR]
        try:
            pose = pose_between(before, after, stamp_ns, self._max_gap_ns, self._source)
        except CosenseError as error:
            near = (abs(other.stamp_ns - stamp_ns) <= _ONE_CLOCK_NS for other in (*before, *after))
            clocks = "" if not self._poses or any(near) else "; do clouds and poses have one clock?"
            return self._dropped(stamp_ns, cloud, f"{error}{clocks}")
        return Placed(cloud, stamp_ns, pose)

    def _dropped(self, stamp_ns: int, cloud: C, reason: str) -> Placed[C]:
        return Placed(cloud, stamp_ns, None, f"cloud of {seconds(stamp_ns)}: {reason}")

    def _out_of_order(self, stamp_ns: int, cloud: C) -> Placed[C]:
        assert self._newest is not None, "a cloud has gone back behind another one"
        end = f"at {seconds(self._poses[-1].stamp_ns)}" if self._poses else "without any pose"
        return self._dropped(
            stamp_ns,
            cloud,
            f"it came after that of {seconds(self._newest[0])}, and {self._source} has not gone back, it is "
            f"{end}: a clock that was set, or two sensors on one topic",
        )


def _stamp_ns(pose: TimedPose) -> int:
    return pose.stamp_ns


def _are_equal(first: TimedPose, second: TimedPose) -> bool:
    return np.array_equal(first.T_world_frame, second.T_world_frame)
