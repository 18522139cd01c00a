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

from cosense.geometry.transforms import wrap_angle
from cosense.messages.envelope import MessageError
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
_SMALLEST_M, _LARGEST_M = 0.2, 20.0
_SIZE_RATIO = _LARGEST_M / _SMALLEST_M
_YAW_UNIT_RAD = 2 * np.pi / 256
_SCORE_UNIT = 1 / 255
_VELOCITY_UNIT_MPS = 0.25
_VELOCITY_UNKNOWN = -128


@dataclass(frozen=True)
class LateBoxes:
    """Boxes that a sender tells, and how fast they move.

    Attributes:
        detections: (M,) in the frame of the sender.
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
        return cls(Detections.empty(), np.zeros((0, 2)))


def encode_late_boxes(boxes: LateBoxes, ground_m: float) -> bytes:
    """Write the boxes in the order given: at most `MAX_LATE_BOXES`, without those outside the ranges above.

    Heights, sizes, scores and velocities are clipped to their ranges.

    Args:
        boxes: in the frame of the sender.
        ground_m: z of the ground in that frame, as the receiver will know it.
    """
    detections = boxes.detections
    center_cm = np.round(detections.boxes[:, :2] * 100)
    writable = (
        np.isfinite(detections.boxes).all(1)
        & np.isfinite(detections.scores)
        & (np.abs(center_cm) <= 32767).all(1)
    )
    chosen = np.flatnonzero(writable)[:MAX_LATE_BOXES]
    kept = detections[chosen]
    records = np.zeros(len(chosen), dtype=_BOX)
    records["center_cm"] = center_cm[chosen]
    heights = np.round((kept.boxes[:, 2] - ground_m - _LOWEST_M) / _HEIGHT_UNIT_M)
    records["height"] = np.clip(heights, 0, 255)
    sizes_m = np.clip(kept.boxes[:, 3:6], _SMALLEST_M, _LARGEST_M)
    records["size"] = np.round(255 * np.log(sizes_m / _SMALLEST_M) / np.log(_SIZE_RATIO))
    # Half a unit below a whole turn is nearest to 0 again.
    records["yaw"] = np.round(wrap_angle(kept.boxes[:, 6]) / _YAW_UNIT_RAD).astype(np.int64) % 256
    records["score"] = np.round(np.clip(kept.scores.astype(np.float64), 0, 1) / _SCORE_UNIT)
    records["label"] = kept.labels
    velocities = np.clip(np.round(boxes.velocities_mps[chosen] / _VELOCITY_UNIT_MPS), -127, 127)
    records["velocity"] = np.where(np.isnan(velocities), _VELOCITY_UNKNOWN, velocities)
    return records.tobytes()


def decode_late_boxes(data: bytes, ground_m: float) -> LateBoxes:
    """Read boxes in the order written, in the frame of the sender; the source is EGO, the sender's own.

    Raises:
        MessageError: wrong length, too many boxes or an unknown class.
    """
    count, rest = divmod(len(data), LATE_BOX_BYTES)
    if rest:
        raise MessageError(f"late boxes have {len(data)} bytes, expected a multiple of {LATE_BOX_BYTES}")
    if count > MAX_LATE_BOXES:
        raise MessageError(f"{count} late boxes, the limit is {MAX_LATE_BOXES}")
    records = np.frombuffer(data, dtype=_BOX)
    unknown = records["label"][records["label"] > max(ObjectClass)]
    if len(unknown):
        raise MessageError(f"class of a late box is {unknown[0]}, expected 0 to {int(max(ObjectClass))}")
    boxes = np.column_stack(
        [
            records["center_cm"] / 100.0,
            ground_m + _LOWEST_M + records["height"] * _HEIGHT_UNIT_M,
            _SMALLEST_M * _SIZE_RATIO ** (records["size"] / 255.0),
            wrap_angle(records["yaw"] * _YAW_UNIT_RAD),
        ]
    )
    velocities = records["velocity"] * _VELOCITY_UNIT_MPS
    velocities[records["velocity"] == _VELOCITY_UNKNOWN] = np.nan
    detections = Detections(
        boxes=boxes,
        scores=(records["score"] * _SCORE_UNIT).astype(np.float32),
        labels=records["label"].astype(np.int64),
        sources=np.full(count, Source.EGO, dtype=np.uint8),
    )
    return LateBoxes(detections, velocities)
