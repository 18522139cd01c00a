"""Joins clouds with the poses at which they were measured; the two come on different topics, in any order."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

Cloud = TypeVar("Cloud")
Pose = TypeVar("Pose")

_POSES_KEPT = 200
# A jump back of the stamps by more than this is the start of another recording.
_RESTART_NS = 1_000_000_000


class PoseJoin(Generic[Cloud, Pose]):
    """Keeps what waits for its other half.

    A pose with the very stamp of the cloud is taken at once. Otherwise the cloud waits until a later pose has
    come and takes the nearest, if that is within the tolerance; else the cloud is dropped.

    Attributes:
        without_pose: how many clouds were dropped because no pose fitted.
    """

    def __init__(self, tolerance_ns: int, max_clouds: int) -> None:
        self.without_pose = 0
        self._tolerance_ns = tolerance_ns
        self._max_clouds = max_clouds
        self._clouds: deque[tuple[int, Cloud]] = deque()
        self._poses: deque[tuple[int, Pose]] = deque(maxlen=_POSES_KEPT)

    def add_cloud(self, stamp_ns: int, cloud: Cloud) -> list[tuple[Cloud, Pose]]:
        """Take a cloud and return all that are complete now, oldest first."""
        self._forget_an_earlier_recording(stamp_ns)
        self._clouds.append((stamp_ns, cloud))
        complete = self._complete()
        while len(self._clouds) > self._max_clouds:
            self._clouds.popleft()
            self.without_pose += 1
        return complete

    def add_pose(self, stamp_ns: int, pose: Pose) -> list[tuple[Cloud, Pose]]:
        """Take a pose and return all clouds that are complete now, oldest first."""
        self._forget_an_earlier_recording(stamp_ns)
        self._poses.append((stamp_ns, pose))
        return self._complete()

    def _forget_an_earlier_recording(self, stamp_ns: int) -> None:
        for waiting in (self._clouds, self._poses):
            while waiting and waiting[-1][0] > stamp_ns + _RESTART_NS:
                waiting.pop()

    def _complete(self) -> list[tuple[Cloud, Pose]]:
        complete: list[tuple[Cloud, Pose]] = []
        waiting: deque[tuple[int, Cloud]] = deque()
        for cloud_ns, cloud in self._clouds:
            nearest = min(self._poses, key=lambda pose: abs(pose[0] - cloud_ns), default=None)
            is_final = nearest is not None and (
                nearest[0] == cloud_ns or max(stamp_ns for stamp_ns, _ in self._poses) > cloud_ns
            )
            if nearest is None or not is_final:
                waiting.append((cloud_ns, cloud))
            elif abs(nearest[0] - cloud_ns) <= self._tolerance_ns:
                complete.append((cloud, nearest[1]))
            else:
                self.without_pose += 1
        self._clouds = waiting
        return complete
