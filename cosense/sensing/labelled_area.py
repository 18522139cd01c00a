"""Where labels say what there is: in some directions from a sensor, and not on what they leave open.

Labels of recorded frames often cover the view of one camera. What is found elsewhere is neither right nor
wrong, and counts neither way; nor does what is found on an object whose class is left open ("ignore").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, as_boxes, footprints_contain, transform_boxes
from cosense.geometry.transforms import Matrix, transform_points, yaw_of
from cosense.sensing.objects import Objects

# How far from the footprint of an object that is left open the centre of a detection of it may be.
_MARGIN_M = 0.5
_TURN_RAD = 2 * np.pi


@dataclass(frozen=True)
class Sector:
    """Directions from a place, counter-clockwise from the first one.

    Attributes:
        x, y: the place, in metres.
        first_rad: angle of the first direction to the x axis.
        span_rad: angle from the first direction to the last one, 2 pi for all of them.
    """

    x: float
    y: float
    first_rad: float
    span_rad: float

    @classmethod
    def of_degrees(cls, first_deg: float, last_deg: float) -> Sector:
        """Return the directions from the origin between two azimuths, the first one on the right.

        Raises:
            ValueError: no angles from -360 to 360, or the last one is not on the left of the first.
        """
        if not (-360 <= first_deg < last_deg <= 360 and last_deg - first_deg <= 360):
            raise ValueError(
                f"azimuths {first_deg:g} and {last_deg:g}: expected degrees of the first direction, on the "
                "right, and of the last, as -38 and 38"
            )
        return cls(0.0, 0.0, float(np.deg2rad(first_deg)), float(np.deg2rad(last_deg - first_deg)))

    def contains(self, xy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (M,): which points (M,2) are in one of the directions."""
        angle = np.arctan2(xy[:, 1] - self.y, xy[:, 0] - self.x)
        return (angle - self.first_rad) % _TURN_RAD <= self.span_rad

    def transformed(self, T_dst_src: Matrix) -> Sector:
        """Return the same directions in frame `dst`."""
        x, y = transform_points(T_dst_src, np.array([[self.x, self.y, 0.0]]))[0, :2].tolist()
        return Sector(x, y, self.first_rad + yaw_of(T_dst_src), self.span_rad)


@dataclass(frozen=True, eq=False)
class LabelledArea:
    """What the labels of a frame say something of.

    Attributes:
        sectors: where all objects are labelled, in any of these, at least one; None for everywhere.
        ignored: (K,7) objects that are labelled and left open.
    """

    sectors: tuple[Sector, ...] | None = None
    ignored: Boxes = field(default_factory=lambda: as_boxes([]))

    def covers(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Return (M,): which boxes (M,7) have their centre where objects are labelled."""
        if self.sectors is None:
            return np.ones(len(boxes), dtype=bool)
        return np.any([sector.contains(boxes[:, :2]) for sector in self.sectors], axis=0)

    def leaves_open(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Return (M,): of which boxes (M,7) the labels say nothing.

        These are outside of what is labelled, or on an object that is left open: the centre of one of the
        two is within the footprint of the other.
        """
        on_ignored = footprints_contain(self.ignored, boxes[:, :2], _MARGIN_M).any(axis=0)
        around = footprints_contain(boxes, self.ignored[:, :2]).any(axis=1)
        return ~self.covers(boxes) | on_ignored | around

    def divided(self, objects: Objects) -> tuple[Objects, LabelledArea]:
        """Return the objects that are where all are labelled, and the area with the others left open.

        Elsewhere nobody has looked for all of them: those that are known are there by chance.
        """
        inside = self.covers(objects.boxes)
        return objects[inside], self.with_ignored(objects.boxes[~inside])

    def with_ignored(self, boxes: Boxes) -> LabelledArea:
        """Return the area with boxes (M,7) left open too."""
        return replace(self, ignored=np.concatenate([self.ignored, boxes]))

    def transformed(self, T_dst_src: Matrix) -> LabelledArea:
        """Return the same area in frame `dst`."""
        sectors = self.sectors and tuple(sector.transformed(T_dst_src) for sector in self.sectors)
        return LabelledArea(sectors, transform_boxes(T_dst_src, self.ignored))

    def joined(self, other: LabelledArea) -> LabelledArea:
        """Return what this area or another one in the same frame says something of."""
        both = self.sectors and other.sectors and (*self.sectors, *other.sectors)
        return LabelledArea(both, np.concatenate([self.ignored, other.ignored]))

    def to_lists(self) -> dict[str, Any]:
        """Return everything as lists, ready for JSON."""
        sectors = self.sectors
        return {
            "sectors": None if sectors is None else [[s.x, s.y, s.first_rad, s.span_rad] for s in sectors],
            "ignored": self.ignored.tolist(),
        }

    @classmethod
    def from_lists(cls, values: Mapping[str, Sequence[Sequence[float]] | None]) -> LabelledArea:
        """Return the area that `to_lists` has written."""
        sectors = values["sectors"]
        return cls(
            None if sectors is None else tuple(Sector(*numbers) for numbers in sectors),
            as_boxes(values["ignored"] or []),
        )


EVERYWHERE = LabelledArea()
