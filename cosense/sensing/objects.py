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
