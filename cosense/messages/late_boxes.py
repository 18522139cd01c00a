"""Late boxes: detections with their velocity as 13 bytes a box, the first part of a FEATURES payload.

Little-endian, no padding; the number of boxes is that of the payload around it. Each box, in the order given:

    offset  size  field
    0       4     x, y of the centre in the sender's frame, 2 x i16, centimetres (within 327.67 m)
    4       1     height of the centre above the ground, u8, 4 cm from -1 m (-1 to 9.2 m)
    5       3     l, w, h, 3 x u8, logarithmic: 0.2 m * 100^(k / 255) (0.2 to 20 m, steps of 1.8 %)
    8       1     yaw, u8, in units of 2 pi / 256
    9       1     score, u8, in units of 1 / 255
    10      1     class, u8, a number of `ObjectClass`
    11      2     velocity over ground along the sender's x and y, 2 x i8, 0.25 m/s (within 31.75 m/s);
                  -128 = not known

The receiver weighs these boxes against its own: half a step of each field is less than detectors differ by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.messages.fields import (
    LARGEST_CENTIMETRES,
    Logarithmic,
    MessageError,
    read_classes,
    read_headings_u8,
    read_velocities,
    to_centimetres,
    write_fractions,
    write_headings_u8,
    write_velocities,
)
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import ObjectClass

# A receiver's merging grows with the square of this: the limit is what keeps a flood of boxes harmless.
MAX_LATE_BOXES = 512

_BOX = np.dtype(
    [
        ("center_cm", "<i2", 2),
        ("height", "u1"),
        ("size", "u1", 3),
        ("yaw", "u1"),
        ("score", "u1"),
        ("label", "u1"),
        ("velocity", "i1", 2),
    ]
)
LATE_BOX_BYTES = _BOX.itemsize
_LOWEST_M, _HEIGHT_UNIT_M = -1.0, 0.04
_SIZES_M = Logarithmic(smallest=0.2, ratio=100.0)
_SCORE_STEPS = 255


@dataclass(frozen=True)
class LateBoxes:
    """Boxes of a sender, and how fast they move.

    Attributes:
        detections: M boxes in the frame of the sender.
        velocities_mps: (M,2) float64 over ground along the sender's x and y axes, NaN where not known.
    """

    detections: Detections
    velocities_mps: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.velocities_mps.shape != (len(self.detections), 2):
            raise ValueError(f"{len(self.detections)} boxes have velocities {self.velocities_mps.shape}")

    def __len__(self) -> int:
        return len(self.detections)

    def __getitem__(self, index: NDArray | slice) -> LateBoxes:
        """Return the boxes that a mask, an index array or a slice selects."""
        return LateBoxes(self.detections[index], self.velocities_mps[index])

    @classmethod
    def empty(cls) -> LateBoxes:
        """Return no boxes."""
        return cls(Detections.empty(), np.zeros((0, 2)))


def encode_late_boxes(boxes: LateBoxes, ground_m: float) -> bytes:
    """Write the boxes in the order given: at most `MAX_LATE_BOXES`, without those outside the ranges above.

    Heights, sizes, scores and velocities are clipped to their ranges.

    Args:
        boxes: boxes in the frame of the sender.
        ground_m: z of the ground in that frame, as the receiver will know it.
    """
    detections = boxes.detections
    center_cm = to_centimetres(detections.boxes[:, :2])
    writable = (
        np.isfinite(detections.boxes).all(1)
        & np.isfinite(detections.scores)
        & (np.abs(center_cm) <= LARGEST_CENTIMETRES).all(1)
    )
    chosen = np.flatnonzero(writable)[:MAX_LATE_BOXES]
    kept = detections[chosen]
    records = np.zeros(len(chosen), dtype=_BOX)
    records["center_cm"] = center_cm[chosen]
    heights = np.round((kept.boxes[:, 2] - ground_m - _LOWEST_M) / _HEIGHT_UNIT_M)
    records["height"] = np.clip(heights, 0, 255)
    records["size"] = _SIZES_M.write(kept.boxes[:, 3:6])
    records["yaw"] = write_headings_u8(kept.boxes[:, 6])
    records["score"] = write_fractions(kept.scores.astype(np.float64), _SCORE_STEPS)
    records["label"] = kept.labels
    records["velocity"] = write_velocities(boxes.velocities_mps[chosen])
    return records.tobytes()


def decode_late_boxes(data: bytes, ground_m: float) -> LateBoxes:
    """Read boxes in the order written, in the frame of the sender; the source is EGO, the sender's own.

    Raises:
        MessageError: wrong length, too many boxes or an unknown class.
    """
    count, rest = divmod(len(data), LATE_BOX_BYTES)
    if rest:
        raise MessageError(
            f"late boxes have {counted(len(data), 'byte')}, expected a multiple of {LATE_BOX_BYTES}"
        )
    if count > MAX_LATE_BOXES:
        raise MessageError(f"{count} late boxes, the limit is {MAX_LATE_BOXES}")
    records = np.frombuffer(data, dtype=_BOX)
    labels = read_classes(records["label"], ObjectClass, "a late box")
    boxes = np.column_stack(
        [
            records["center_cm"] / 100.0,
            ground_m + _LOWEST_M + records["height"] * _HEIGHT_UNIT_M,
            _SIZES_M.read(records["size"]),
            read_headings_u8(records["yaw"]),
        ]
    )
    detections = Detections(
        boxes=boxes,
        scores=(records["score"] / _SCORE_STEPS).astype(np.float32),
        labels=labels,
        sources=np.full(count, Source.EGO, dtype=np.uint8),
    )
    return LateBoxes(detections, read_velocities(records["velocity"]))
