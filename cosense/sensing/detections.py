"""The boxes that a detector or the fusion reports for one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, as_boxes, transform_boxes
from cosense.geometry.transforms import Matrix


class Source(IntEnum):
    """How the ego came to know a box.

    It was detected by the ego itself, received as a late box or fused from features; or it was received or
    fused, and neither what the ego sees itself nor a second sender confirms it.
    """

    EGO = 0
    LATE = 1
    FUSED = 2
    UNCONFIRMED = 3


@dataclass(frozen=True)
class Detections:
    """Boxes with scores, best first.

    Attributes:
        boxes: (M,7) float64, in the frame of the agent that reports them.
        scores: (M,) float32 in [0, 1].
        labels: (M,) int64, values of `ObjectClass`; CAR stands for every vehicle.
        sources: (M,) uint8, values of `Source`.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    sources: NDArray[np.uint8]

    def __post_init__(self) -> None:
        if not len(self.boxes) == len(self.scores) == len(self.labels) == len(self.sources):
            raise ValueError("boxes, scores, labels and sources differ in length")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: NDArray | slice) -> Detections:
        """Return the detections that a mask, an index array or a slice selects."""
        return Detections(self.boxes[index], self.scores[index], self.labels[index], self.sources[index])

    @classmethod
    def empty(cls) -> Detections:
        return cls(as_boxes([]), np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.uint8))

    @classmethod
    def concatenate(cls, parts: list[Detections]) -> Detections:
        """Join several sets of detections, best score first; equal scores stay in order."""
        if not parts:
            return cls.empty()
        joined = cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.sources for part in parts]),
        )
        return joined[np.argsort(-joined.scores, kind="stable")]

    @classmethod
    def from_lists(cls, values: Mapping[str, Sequence]) -> Detections:
        """Return the detections that `to_lists` has written."""
        return cls(
            as_boxes(values["boxes"]),
            np.array(values["scores"], dtype=np.float32),
            np.array(values["labels"], dtype=np.int64),
            np.array(values["sources"], dtype=np.uint8),
        )

    def to_lists(self) -> dict[str, list]:
        """Return all arrays by name as lists, ready for JSON; no bit gets lost."""
        return {
            "boxes": self.boxes.tolist(),
            "scores": self.scores.tolist(),
            "labels": self.labels.tolist(),
            "sources": self.sources.tolist(),
        }

    def transformed(self, T_dst_src: Matrix, source: Source | None = None) -> Detections:
        """Return the same detections in frame `dst`, marked as coming from `source` where one is given."""
        sources = self.sources if source is None else np.full(len(self), source, dtype=np.uint8)
        return Detections(transform_boxes(T_dst_src, self.boxes), self.scores, self.labels, sources)
