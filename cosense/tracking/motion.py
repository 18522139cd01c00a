"""Estimates the velocity of objects by tracking an agent's own boxes from frame to frame.

With it, the receiver of a late message can move each box to where it is by then. The model is constant
velocity over half a second; a box and a track are matched if each is the other's nearest. A vehicle moves
along its own axis, which halves the noise. An object slower than the noise counts as static.
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

# Tracks end after a longer pause: an object may by then stand where another one stood.
_LONGEST_GAP_NS = 500_000_000
_HISTORY = 6
# Largest distance of an object from where it was expected, one frame later.
_GATE_M = 2.0
_STATIC_MPS = 1.0


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
        """Velocity (2,) in the world, NaN after a single observation."""
        if len(self.stamps_ns) < 2:
            return np.full(2, np.nan)
        elapsed_s = (self.stamps_ns[-1] - self.stamps_ns[0]) / 1e9
        return (self.places_m[-1] - self.places_m[0]) / elapsed_s

    def expected_m(self, stamp_ns: int) -> NDArray[np.float64]:
        """Return the place (2,) where the object should be at a moment."""
        velocity = np.nan_to_num(self.velocity_mps)
        return self.places_m[-1] + velocity * (stamp_ns - self.stamps_ns[-1]) / 1e9


class MotionTracker:
    """Tracks the boxes of one agent; call `velocities` once for each frame."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._started = 0

    @property
    def track_ids(self) -> NDArray[np.int64]:
        """Ids (M,) of the latest detections, counted from 0: an object keeps its id over frames."""
        return np.array([track.track_id for track in self._tracks], dtype=np.int64)

    def velocities(self, frame: AgentFrame, detections: Detections) -> NDArray[np.float64]:
        """Return velocities (M,2) over ground along the agent's x and y axes, in m/s; NaN if not known yet.

        Args:
            frame: the frame in which the objects were detected; its stamp and pose are used.
            detections: the detections, in the agent frame.
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
        """Drop all tracks after a pause or a step back in time."""
        newest = max((track.stamps_ns[-1] for track in self._tracks), default=stamp_ns)
        if not 0 < stamp_ns - newest <= _LONGEST_GAP_NS:
            self._tracks = []

    def _matches(
        self, stamp_ns: int, places: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> dict[int, _Track]:
        """Return the track of each box that has one; box and track are each other's nearest."""
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
    """Keep only the component along a vehicle's axis, and set velocities within the noise to zero."""
    yaw = detections.boxes[:, 6]
    axis = np.column_stack([np.cos(yaw), np.sin(yaw)])
    along = (velocities * axis).sum(axis=1, keepdims=True) * axis
    kept = np.where(np.isin(detections.labels, VEHICLES)[:, None], along, velocities)
    kept[np.linalg.norm(kept, axis=1) < _STATIC_MPS] = 0.0
    return kept
