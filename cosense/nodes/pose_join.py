"""Joins clouds with the poses at which they were measured; the two come on different topics, in any order."""

from __future__ import annotations

from collections import deque
from typing import Generic, Literal, TypeVar

Cloud = TypeVar("Cloud")
Pose = TypeVar("Pose")

_POSES_KEPT = 200


class PoseJoin(Generic[Cloud, Pose]):
    """Keeps what waits for its other half.

    A pose with the very stamp of the cloud is taken at once. Otherwise the cloud waits until a later pose has
    come and takes the nearest, if that is within the tolerance; else the cloud is dropped.

    Stamps that go back or stand still start another recording: its clouds never take poses of the one before,
    whose stamps may be the same.

    Attributes:
        without_pose: how many clouds were dropped because no pose fitted.
    """

    def __init__(self, tolerance_ns: int, max_clouds: int) -> None:
        self.without_pose = 0
        self._tolerance_ns = tolerance_ns
        self._max_clouds = max_clouds
        self._clouds: deque[tuple[int, Cloud]] = deque()
        self._poses: deque[tuple[int, Pose]] = deque(maxlen=_POSES_KEPT)
        self._newest_cloud_ns: int | None = None
        self._newest_pose_ns: int | None = None
        # Which of the two is of the next recording already, while the other is not.
        self._ahead: Literal["clouds", "poses"] | None = None

    def add_cloud(self, stamp_ns: int, cloud: Cloud) -> list[tuple[Cloud, Pose]]:
        """Take a cloud and return all that are complete now, oldest first."""
        if self._newest_cloud_ns is not None and stamp_ns <= self._newest_cloud_ns:
            self.without_pose += len(self._clouds)
            self._clouds.clear()
            if self._ahead == "poses":
                self._ahead = None
            else:
                self._poses.clear()
                self._ahead = "clouds"
        self._newest_cloud_ns = stamp_ns
        self._clouds.append((stamp_ns, cloud))
        complete = self._complete()
        while len(self._clouds) > self._max_clouds:
            self._clouds.popleft()
            self.without_pose += 1
        return complete

    def add_pose(self, stamp_ns: int, pose: Pose) -> list[tuple[Cloud, Pose]]:
        """Take a pose and return all clouds that are complete now, oldest first."""
        if self._newest_pose_ns is not None and stamp_ns <= self._newest_pose_ns:
            self._poses.clear()
            self._ahead = None if self._ahead == "clouds" else "poses"
        self._newest_pose_ns = stamp_ns
        self._poses.append((stamp_ns, pose))
        return self._complete()

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
                self._ahead = None
            else:
                self.without_pose += 1
        self._clouds = waiting
        return complete
