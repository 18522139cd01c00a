"""How fast the objects are that a sender sees: its own boxes followed from frame to frame.

A receiver that gets a message late can then put each box where it is by now. Constant velocity over half a
second, nearest neighbours that choose each other; a vehicle moves along its own axis, which halves the noise.
What is slower than the noise counts as standing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cosense.geometry.transforms import transform_points
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import VEHICLES

# A pause longer than this starts over: who stands where another one stood is not known any more.
_LONGEST_GAP_NS = 500_000_000
_HISTORY = 6
# From one frame to the next an object is at most so far from where it was expected.
_GATE_M = 2.0
_STANDING_MPS = 1.0


@dataclass
class _Track:
    label: int
    track_id: int
    stamps_ns: list[int] = field(default_factory=list)
    places_m: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, stamp_ns: int, place_m: NDArray[np.float64]) -> None:
        self.stamps_ns, self.places_m = (
            [*self.stamps_ns, stamp_ns][-_HISTORY:],
            [*self.places_m, place_m][-_HISTORY:],
        )

    @property
    def velocity_mps(self) -> NDArray[np.float64]:
        """(2,) in the world; NaN after a single sight."""
        if len(self.stamps_ns) < 2:
            return np.full(2, np.nan)
        elapsed_s = (self.stamps_ns[-1] - self.stamps_ns[0]) / 1e9
        return (self.places_m[-1] - self.places_m[0]) / elapsed_s

    def expected_m(self, stamp_ns: int) -> NDArray[np.float64]:
        """(2,) where it should be by then."""
        velocity = np.nan_to_num(self.velocity_mps)
        return self.places_m[-1] + velocity * (stamp_ns - self.stamps_ns[-1]) / 1e9


class MotionTracker:
    """Follows the boxes of one agent; call `velocities` once a frame."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._started = 0

    @property
    def track_ids(self) -> NDArray[np.int64]:
        """(M,) of the detections given last, counted from 0: an object has the same id in each frame."""
        return np.array([track.track_id for track in self._tracks], dtype=np.int64)

    def velocities(self, frame: AgentFrame, detections: Detections) -> NDArray[np.float64]:
        """Return (M,2) over ground along the agent's x and y axes, m/s; NaN where not known yet.

        Args:
            frame: whose stamp and pose the detections have.
            detections: in the agent frame.
        """
        places = transform_points(frame.T_steady_agent, detections.boxes[:, :3])[:, :2]
        self._forget(frame.stamp_ns)
        followed = self._matches(frame.stamp_ns, places, detections.labels)
        tracks = []
        for index, place in enumerate(places):
            track = followed.get(index)
            if track is None:
                track = _Track(int(detections.labels[index]), self._started)
                self._started += 1
            track.add(frame.stamp_ns, place)
            tracks.append(track)
        self._tracks = tracks
        if not tracks:
            return np.zeros((0, 2))
        in_world = np.array([track.velocity_mps for track in tracks])
        return _plausible(in_world @ frame.T_steady_agent[:2, :2], detections)

    def _forget(self, stamp_ns: int) -> None:
        """Drop everything after a pause or a step back in time."""
        newest = max((track.stamps_ns[-1] for track in self._tracks), default=stamp_ns)
        if not 0 < stamp_ns - newest <= _LONGEST_GAP_NS:
            self._tracks = []

    def _matches(
        self, stamp_ns: int, places: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> dict[int, _Track]:
        """Return the track of each box that has one: box and track are each other's nearest."""
        if not self._tracks or not len(places):
            return {}
        expected = np.array([track.expected_m(stamp_ns) for track in self._tracks])
        distance = cdist(places, expected)
        distance[labels[:, None] != np.array([track.label for track in self._tracks])] = np.inf
        of_box, of_track = distance.argmin(axis=1), distance.argmin(axis=0)
        return {
            box: self._tracks[track]
            for box, track in enumerate(of_box)
            if of_track[track] == box and distance[box, track] <= _GATE_M
        }


def _plausible(velocities: NDArray[np.float64], detections: Detections) -> NDArray[np.float64]:
    """Keep of a vehicle's velocity what lies along its axis, and nothing of what is within the noise."""
    yaw = detections.boxes[:, 6]
    axis = np.column_stack([np.cos(yaw), np.sin(yaw)])
    along = (velocities * axis).sum(axis=1, keepdims=True) * axis
    kept = np.where(np.isin(detections.labels, VEHICLES)[:, None], along, velocities)
    kept[np.linalg.norm(kept, axis=1) < _STANDING_MPS] = 0.0
    return kept
