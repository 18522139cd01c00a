"""Two frames of one drive that stand for two agents: real cooperation without a cooperative data set.

The ego is the vehicle at one moment, the second agent the same vehicle further on, as if both measured at the
time of the ego. That holds for what stands still: the ground truth is the labelled vehicles that stand at one
place, within 0.8 m, in at least three frames of the drive, also those that only the second agent sees, each
by its label nearest in time to the ego's frame, as far as they are where one of the two frames is labelled.
Everything else that is labelled in one of them (people, vehicles that move) is left open. Poses are those of
the drive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.data.bare_clouds import BareClouds
from cosense.data.dataset import NO_LABELS, CooperativeFrame, Dataset, DatasetInfo
from cosense.errors import CosenseError, counted
from cosense.geometry.boxes import as_boxes
from cosense.geometry.transforms import invert
from cosense.sensing.frame import AgentKind
from cosense.sensing.objects import VEHICLES, Objects

SECOND = "second"
# Name of these labels.
STANDING = "standing"
_STANDS_WITHIN_M, _STANDS_IN_FRAMES = 0.8, 3
_GAP = re.compile(r"(\d+)|(\d+(?:\.\d*)?) ?m")


@dataclass
class _Place:
    """A place where a vehicle was labelled: frames of the drive, and boxes in the world."""

    frames: list[int] = field(default_factory=list)
    boxes: list[NDArray[np.float64]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def distance_m(self, box: NDArray[np.float64]) -> float:
        return float(np.hypot(*(np.mean(self.boxes, axis=0) - box)[:2]))


class FramePairs(Dataset):
    """The pairs of a drive; see the module.

    Attributes:
        pairs: for each pair the frames of ego and second agent in the drive.
    """

    def __init__(self, drive: BareClouds, gap: int | str) -> None:
        """Pair the frames of a drive.

        Args:
            drive: clouds with poses.
            gap: how far apart the frames of a pair are, in frames by the numbers in their names, as 20 or
                "20", or at least so many metres, as "20m".

        Raises:
            CosenseError: no poses, no gap, or no two frames so far apart.
        """
        if not drive.has_poses:
            raise CosenseError(
                f"{drive.path}: pairs of frames need the poses of the drive: put poses.json beside the "
                "clouds, or leave out pair_gap"
            )
        found = _GAP.fullmatch(str(gap).strip())
        if not found or not float(found[1] or found[2]):
            raise CosenseError(f"pair_gap '{gap}': expected a number of frames, as 20, or metres, as 20m")
        self._drive = drive
        self._gap = f"{int(found[1])} frames" if found[1] else f"{float(found[2]):g} m"
        self.pairs = self._by_number(int(found[1])) if found[1] else self._by_metres(float(found[2]))
        self.path, self.split = drive.path, drive.split
        self.label_set = NO_LABELS if drive.label_set == NO_LABELS else STANDING
        self.without_labels = drive.without_labels
        self.has_same_lidars = drive.has_same_lidars
        self._change = f"two frames of one drive, {self._gap} apart, as two agents"
        self.kind = str(drive.provenance.changed(self._change))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> CooperativeFrame:
        first, second = (self._drive[frame] for frame in self.pairs[index])
        other = replace(second.ego, agent_id=SECOND, stamp_ns=first.ego.stamp_ns)
        T_ego_second = invert(first.ego.T_world_agent) @ second.ego.T_world_agent
        areas = [
            self._drive.labels_of(number)[1].with_ignored(self._moving(number))
            for number in self.pairs[index]
        ]
        truth = self._truth(self.pairs[index][0]).transformed(invert(first.ego.T_world_agent))
        standing, area = areas[0].joined(areas[1].transformed(T_ego_second)).divided(truth)
        return CooperativeFrame(
            f"{first.frame_id}+{second.frame_id}",
            first.sequence,
            first.ego_id,
            {first.ego_id: first.ego, SECOND: other},
            standing,
            is_labelled=first.is_labelled and second.is_labelled,
            provenance=first.provenance.changed(self._change),
            labelled=area,
        )

    @property
    def agents(self) -> dict[str, AgentKind]:
        """See `Dataset.agents`."""
        return {**self._drive.agents, SECOND: "vehicle"}

    def description(self) -> dict[str, Any]:
        """See `Dataset.description`; says too how far apart the frames of a pair are."""
        return {**self._drive.description(), **super().description(), "pair_gap": self._gap}

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`."""
        info = self._drive.info(verify=verify)
        standing = f"vehicles of the drive that stand still and are to be found: {len(self._standing)}"
        return replace(
            info,
            kind=self.kind,
            label_set=self.label_set,
            frames_per_split={self.split: len(self)},
            agents=dict(self.agents),
            notes=[*info.notes, standing],
        )

    def _by_number(self, gap: int) -> list[tuple[int, int]]:
        """Return the pairs of frames whose names are so far apart in number."""
        numbers = {}
        for index, name in enumerate(self._drive.names):
            digits = re.findall(r"\d+", name)
            if not digits:
                raise CosenseError(
                    f"{self._drive.path}: cloud {name} has no number in its name; give pair_gap in metres, "
                    "as 20m"
                )
            numbers[int(digits[-1])] = index
        pairs = [(index, numbers[n + gap]) for n, index in numbers.items() if n + gap in numbers]
        if not pairs:
            steps = np.diff(sorted(numbers))
            by = f" by {steps.min()}" if len(steps) else ""
            raise CosenseError(
                f"{self._drive.path}: no two clouds are {counted(gap, 'frame')} apart, their numbers go from "
                f"{min(numbers)} to {max(numbers)}{by}; choose another pair_gap"
            )
        return pairs

    def _by_metres(self, gap_m: float) -> list[tuple[int, int]]:
        """Return each frame with the first later one that is so far away."""
        places = np.array([self._drive.T_world_agent(index)[:2, 3] for index in range(len(self._drive))])
        pairs = []
        for index, place in enumerate(places):
            far = np.flatnonzero(np.hypot(*(places[index:] - place).T) >= gap_m)
            if len(far):
                pairs.append((index, index + int(far[0])))
        if not pairs:
            reach_m = np.hypot(*(places - places[0]).T).max()
            raise CosenseError(
                f"{self._drive.path}: no two clouds are {gap_m:g} m apart, the drive goes {reach_m:.0f} m "
                "away from its begin; choose another pair_gap"
            )
        return pairs

    @cached_property
    def _standing(self) -> list[_Place]:
        """Vehicles that stand still."""
        places: list[_Place] = []
        for frame in range(len(self._drive)):
            objects = self._vehicles(frame)
            for box, label in zip(objects.boxes, objects.labels.tolist(), strict=True):
                near = [place for place in places if place.distance_m(box) < _STANDS_WITHIN_M]
                place = min(near, key=lambda other: other.distance_m(box), default=_Place())
                if not place.frames:
                    places.append(place)
                place.frames.append(frame)
                place.boxes.append(box)
                place.labels.append(label)
        return [place for place in places if len(set(place.frames)) >= _STANDS_IN_FRAMES]

    def _vehicles(self, frame: int) -> Objects:
        """Return the labelled vehicles of a frame of the drive, in the world."""
        objects = self._drive.labels_of(frame)[0] or Objects.empty()
        vehicles = objects[np.isin(objects.labels, VEHICLES)]
        return vehicles.transformed(self._drive.T_world_agent(frame))

    def _truth(self, frame: int) -> Objects:
        """Return the vehicles that stand still in the world, each by its label nearest to a frame."""
        boxes, labels = [], []
        for place in self._standing:
            nearest = int(np.argmin(np.abs(np.array(place.frames) - frame)))
            boxes.append(place.boxes[nearest])
            labels.append(place.labels[nearest])
        ids = np.array([str(number) for number in range(len(boxes))], dtype=np.str_)
        return Objects(as_boxes(boxes), np.array(labels, dtype=np.int64), ids)

    def _moving(self, frame: int) -> NDArray[np.float64]:
        """Return the boxes of a frame of the drive that belong to nothing that stands still, in its frame."""
        objects = self._drive.labels_of(frame)[0] or Objects.empty()
        in_world = objects.transformed(self._drive.T_world_agent(frame))
        standing = [
            place.boxes[place.frames.index(frame)] for place in self._standing if frame in place.frames
        ]
        moves = [not any(np.array_equal(box, other) for other in standing) for box in in_world.boxes]
        return objects.boxes[np.array(moves, dtype=bool)]
