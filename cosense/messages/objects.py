"""The OBJECTS payload: detections as 17 bytes a box.

Little-endian, no padding. Two bytes with the number of boxes (u16, at most 512), then each box, best first:

    offset  size  field
    0       6     x, y, z of the centre in the sender's frame, 3 x i16, centimetres (within 327.67 m)
    6       6     l, w, h, 3 x u16, centimetres (0.01 to 655.35 m)
    12      2     yaw, i16, in units of pi / 32768
    14      2     score, u16, in units of 1 / 65535
    16      1     class, u8, a number of `ObjectClass`

One centimetre is well below what any detector here resolves. What does not fit these ranges is not written:
a box further away than 327 m is beyond every LiDAR that sends, and one odd box must not cost all the others.
"""

from __future__ import annotations

import struct

import numpy as np

from cosense.geometry.transforms import wrap_angle
from cosense.messages.envelope import MessageError
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import ObjectClass

# A receiver's merging grows with the square of this: the limit is what keeps a flood of boxes harmless.
MAX_OBJECTS = 512
COUNT_BYTES = 2

_BOX = np.dtype(
    [
        ("center_cm", "<i2", 3),
        ("size_cm", "<u2", 3),
        ("yaw", "<i2"),
        ("score", "<u2"),
        ("label", "u1"),
    ]
)
BOX_BYTES = _BOX.itemsize
_YAW_UNIT_RAD = np.pi / 32768
_SCORE_UNIT = 1 / 65535


def encode_objects(detections: Detections) -> bytes:
    """Write the detections, best first: at most `MAX_OBJECTS`, without those outside the ranges above."""
    center_cm = np.round(detections.boxes[:, :3] * 100)
    size_cm = np.maximum(np.round(detections.boxes[:, 3:6] * 100), 1)
    writable = (
        np.isfinite(detections.boxes).all(1)
        & np.isfinite(detections.scores)
        & (np.abs(center_cm) <= 32767).all(1)
        & (size_cm <= 65535).all(1)
    )
    best_first = np.argsort(-detections.scores, kind="stable")
    chosen = best_first[writable[best_first]][:MAX_OBJECTS]
    records = np.zeros(len(chosen), dtype=_BOX)
    records["center_cm"] = center_cm[chosen]
    records["size_cm"] = size_cm[chosen]
    turns = np.round(wrap_angle(detections.boxes[chosen, 6]) / _YAW_UNIT_RAD)
    records["yaw"] = np.where(turns > 32767, -32768, turns)
    records["score"] = np.round(np.clip(detections.scores[chosen].astype(np.float64), 0, 1) / _SCORE_UNIT)
    records["label"] = detections.labels[chosen]
    return struct.pack("<H", len(chosen)) + records.tobytes()


def decode_objects(payload: bytes) -> Detections:
    """Read detections, best first, in the frame of the sender; the source is EGO, the sender's own.

    Raises:
        MessageError: wrong length, too many boxes, a box without extent or an unknown class.
    """
    if len(payload) < COUNT_BYTES:
        raise MessageError(f"objects have {len(payload)} bytes, expected at least {COUNT_BYTES}")
    (count,) = struct.unpack_from("<H", payload)
    if count > MAX_OBJECTS:
        raise MessageError(f"{count} objects announced, the limit is {MAX_OBJECTS}")
    if len(payload) != COUNT_BYTES + count * BOX_BYTES:
        raise MessageError(
            f"{count} objects need {COUNT_BYTES + count * BOX_BYTES} bytes, the payload has {len(payload)}"
        )
    records = np.frombuffer(payload, dtype=_BOX, offset=COUNT_BYTES)
    unknown = records["label"][records["label"] > max(ObjectClass)]
    if len(unknown):
        raise MessageError(f"class is {unknown[0]}, expected 0 to {int(max(ObjectClass))}")
    if (records["size_cm"] == 0).any():
        raise MessageError("a box has length, width or height 0")
    boxes = np.column_stack(
        [records["center_cm"] / 100.0, records["size_cm"] / 100.0, records["yaw"] * _YAW_UNIT_RAD]
    )
    scores = (records["score"] * _SCORE_UNIT).astype(np.float32)
    labels = records["label"].astype(np.int64)
    sources = np.full(count, Source.EGO, dtype=np.uint8)
    return Detections.concatenate([Detections(boxes, scores, labels, sources)])
