"""The OBJECTS payload: detections as 17 bytes a box.

Little-endian, no padding. A header, then each box, best first:

    offset  size  field
    0       2     number of boxes, u16 (at most 512)
    2       4     slopes of the ground along x and y of the sender's sensor, 2 x i16, in units of 1 / 10 000

    offset  size  field
    0       6     x, y, z of the centre in the sender's frame, 3 x i16, centimetres (within 327.67 m)
    6       6     l, w, h, 3 x u16, centimetres (0.01 to 655.35 m)
    12      2     yaw, i16, in units of pi / 32768
    14      2     score, u16, in units of 1 / 65535
    16      1     class, u8, a number of `ObjectClass`

The sender's frame is levelled, and the slopes say how its sensor lies in it: whoever wants the boxes as the
sensor sees them, as the ego does of its own, turns them back (`transform_from_slopes`).

One centimetre is well below what any detector here resolves. What does not fit these ranges is not written:
a box further away than 327 m is beyond every LiDAR that sends, and one odd box must not cost all the others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from cosense.errors import counted
from cosense.messages.envelope import Codec, PayloadKind, register
from cosense.messages.fields import (
    LARGEST_CENTIMETRES,
    MessageError,
    read_classes,
    read_headings_i16,
    to_centimetres,
    write_fractions,
    write_headings_i16,
)
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import ObjectClass

# A receiver's merging grows with the square of this: the limit is what keeps a flood of boxes harmless.
MAX_OBJECTS = 512
_HEADER = struct.Struct("<Hhh")
HEADER_BYTES = _HEADER.size
_SLOPE_STEPS = 10_000
_STEEPEST = 32767 / _SLOPE_STEPS

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
_SCORE_STEPS = 65535


@dataclass(frozen=True)
class ObjectsPayload:
    """Content of an OBJECTS message.

    Attributes:
        detections: boxes in the levelled frame of the sender, best first.
        slopes: rise of the ground per metre along x and y of its sensor.
    """

    detections: Detections
    slopes: tuple[float, float]


def encode_objects(detections: Detections, slopes: tuple[float, float] = (0.0, 0.0)) -> bytes:
    """Write the detections, best first: at most `MAX_OBJECTS`, without those outside the ranges above.

    Args:
        detections: boxes in the levelled frame of the sender.
        slopes: rise of the ground per metre along x and y of its sensor.

    Raises:
        MessageError: a slope is outside its range.
    """
    if not (np.abs(slopes) <= _STEEPEST).all():
        raise MessageError(f"slopes of the ground are {slopes}, expected within {_STEEPEST}")
    center_cm = to_centimetres(detections.boxes[:, :3])
    size_cm = np.maximum(to_centimetres(detections.boxes[:, 3:6]), 1)
    writable = (
        np.isfinite(detections.boxes).all(1)
        & np.isfinite(detections.scores)
        & (np.abs(center_cm) <= LARGEST_CENTIMETRES).all(1)
        & (size_cm <= 65535).all(1)
    )
    best_first = np.argsort(-detections.scores, kind="stable")
    chosen = best_first[writable[best_first]][:MAX_OBJECTS]
    records = np.zeros(len(chosen), dtype=_BOX)
    records["center_cm"] = center_cm[chosen]
    records["size_cm"] = size_cm[chosen]
    records["yaw"] = write_headings_i16(detections.boxes[chosen, 6])
    records["score"] = write_fractions(detections.scores[chosen].astype(np.float64), _SCORE_STEPS)
    records["label"] = detections.labels[chosen]
    steps = (round(slope * _SLOPE_STEPS) for slope in slopes)
    return _HEADER.pack(len(chosen), *steps) + records.tobytes()


def decode_objects(payload: bytes) -> Detections:
    """Read detections, best first, in the levelled frame of the sender; the source is EGO, the sender's own.

    Raises:
        MessageError: wrong length, too many boxes, a box without extent or an unknown class.
    """
    if len(payload) < HEADER_BYTES:
        raise MessageError(f"objects have {counted(len(payload), 'byte')}, expected at least {HEADER_BYTES}")
    count, *_ = _HEADER.unpack_from(payload)
    if count > MAX_OBJECTS:
        raise MessageError(f"{counted(count, 'object')} announced, the limit is {MAX_OBJECTS}")
    if len(payload) != HEADER_BYTES + count * BOX_BYTES:
        raise MessageError(
            f"payload has {counted(len(payload), 'byte')}, expected {HEADER_BYTES + count * BOX_BYTES} "
            f"for {counted(count, 'object')}"
        )
    records = np.frombuffer(payload, dtype=_BOX, offset=HEADER_BYTES)
    labels = read_classes(records["label"], ObjectClass, "a box")
    if (records["size_cm"] == 0).any():
        raise MessageError("a box has length, width or height 0")
    boxes = np.column_stack(
        [records["center_cm"] / 100.0, records["size_cm"] / 100.0, read_headings_i16(records["yaw"])]
    )
    scores = (records["score"] / _SCORE_STEPS).astype(np.float32)
    sources = np.full(count, Source.EGO, dtype=np.uint8)
    return Detections.concatenate([Detections(boxes, scores, labels, sources)])


def slopes_of(payload: bytes) -> tuple[float, float]:
    """Return the rise of the ground per metre along x and y of the sender's sensor.

    Raises:
        MessageError: wrong length.
    """
    if len(payload) < HEADER_BYTES:
        raise MessageError(f"objects have {counted(len(payload), 'byte')}, expected at least {HEADER_BYTES}")
    _, slope_x, slope_y = _HEADER.unpack_from(payload)
    return slope_x / _SLOPE_STEPS, slope_y / _SLOPE_STEPS


register(
    PayloadKind.OBJECTS,
    Codec(
        lambda content: encode_objects(content.detections, content.slopes),
        lambda message: ObjectsPayload(decode_objects(message.payload), slopes_of(message.payload)),
        max_bytes=HEADER_BYTES + MAX_OBJECTS * BOX_BYTES,
    ),
)
