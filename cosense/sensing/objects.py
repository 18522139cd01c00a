"""Labelled objects: their classes, those of DAIR-V2X, and the arrays that describe them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, as_boxes, transform_boxes
from cosense.geometry.transforms import Matrix


class ObjectClass(IntEnum):
    """The ten classes of DAIR-V2X; the numbers are written into messages and never change."""

    CAR = 0
    VAN = 1
    TRUCK = 2
    BUS = 3
    PEDESTRIAN = 4
    CYCLIST = 5
    TRICYCLIST = 6
    MOTORCYCLIST = 7
    BARROW = 8
    TRAFFIC_CONE = 9


# A detector or a protocol with a single class of vehicles means these four, and labels all of them CAR.
VEHICLES = (ObjectClass.CAR, ObjectClass.VAN, ObjectClass.TRUCK, ObjectClass.BUS)
# With a single class of riders it means these three, and labels all of them CYCLIST.
RIDERS = (ObjectClass.CYCLIST, ObjectClass.TRICYCLIST, ObjectClass.MOTORCYCLIST)

# Length, width and height in metres and speed in m/s that no object of a class exceeds, not even in the eyes
# of a poor detector: articulated buses have 18.75 m (Directive 96/53/EC).
_OF_VEHICLES, _OF_RIDERS, _OF_OTHERS = (21.0, 4.5, 5.5, 70.0), (5.0, 3.0, 3.0, 40.0), (3.0, 3.0, 3.0, 12.0)
_LARGEST = np.array(
    [
        _OF_VEHICLES if label in VEHICLES else _OF_RIDERS if label in RIDERS else _OF_OTHERS
        for label in ObjectClass
    ]
)


def are_possible(
    boxes: Boxes, labels: NDArray[np.int64], velocities_mps: NDArray[np.float64] | None = None
) -> NDArray[np.bool_]:
    """Return (M,): which boxes (M,7) are no larger and, as far as known, no faster than their class can be.

    Args:
        boxes: in any frame.
        labels: (M,) values of `ObjectClass`.
        velocities_mps: (M,2) over ground, NaN where not known; None where nothing is.
    """
    values = np.zeros((len(boxes), 4))
    values[:, :3] = boxes[:, 3:6]
    if velocities_mps is not None:
        values[:, 3] = np.nan_to_num(np.linalg.norm(velocities_mps, axis=1))
    return np.asarray((values <= _LARGEST[labels]).all(axis=1))


@dataclass(frozen=True)
class Objects:
    """Labelled objects of one frame.

    Attributes:
        boxes: (M,7) float64, in the frame that the owner of the struct names.
        labels: (M,) int64, values of `ObjectClass`.
        ids: (M,) str, constant over time for each object if the data set has tracks, else unique.
    """

    boxes: Boxes
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    def __post_init__(self) -> None:
        if not len(self.boxes) == len(self.labels) == len(self.ids):
            raise ValueError(f"{len(self.boxes)} boxes, {len(self.labels)} labels, {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: NDArray | slice) -> Objects:
        """Return the objects that a mask, an index array or a slice selects."""
        return Objects(self.boxes[index], self.labels[index], self.ids[index])

    @classmethod
    def empty(cls) -> Objects:
        return cls(as_boxes([]), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.str_))

    def transformed(self, T_dst_src: Matrix) -> Objects:
        """Return the same objects with their boxes in frame `dst`."""
        return Objects(transform_boxes(T_dst_src, self.boxes), self.labels, self.ids)
