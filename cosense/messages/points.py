"""The POINTS payload: a point cloud with 7 bytes a point before compression, the early-fusion baseline.

Little-endian. Four bytes with the number of points (u32, at most 200 000), one byte with the coding (0 raw,
1 zlib), then the data: all x, all y, all z (i16, centimetres in the sender's frame), all intensities (u8 in
units of 1/255). Columns next to each other compress better than points; zlib is used where it is smaller.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.messages.envelope import Codec, PayloadKind, register
from cosense.messages.fields import (
    LARGEST_CENTIMETRES,
    WITH_HEADER,
    MessageError,
    compact,
    expand,
    to_centimetres,
    write_fractions,
)

MAX_POINTS = 200_000
POINT_BYTES = 7

_HEADER = struct.Struct("<IB")
HEADER_BYTES = _HEADER.size
_INTENSITY_STEPS = 255


def writable_points(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the points (N,4) that the format can hold: finite and within 327.67 m of the sender."""
    is_near = (np.abs(to_centimetres(points[:, :3])) <= LARGEST_CENTIMETRES).all(1)
    return points[np.isfinite(points).all(1) & is_near]


def encode_points(points: NDArray[np.float32]) -> bytes:
    """Write points (N,4) of x, y, z in metres and intensity in [0, 1]; leaves out what is not writable.

    Raises:
        MessageError: more than `MAX_POINTS` points.
    """
    points = writable_points(points)
    if len(points) > MAX_POINTS:
        raise MessageError(f"{counted(len(points), 'point')}, the limit is {MAX_POINTS}")
    xyz_cm = to_centimetres(points[:, :3]).astype("<i2")
    intensity = write_fractions(points[:, 3], _INTENSITY_STEPS).astype(np.uint8)
    raw = xyz_cm.T.tobytes() + intensity.tobytes()
    coding, data = compact(raw, [zlib.Z_DEFAULT_STRATEGY], WITH_HEADER)
    return _HEADER.pack(len(points), coding) + data


def decode_points(payload: bytes) -> NDArray[np.float32]:
    """Read points (N,4) in the frame of the sender.

    Raises:
        MessageError: wrong length, too many points, an unknown coding or data that does not unpack to them.
    """
    if len(payload) < HEADER_BYTES:
        raise MessageError(f"points have {counted(len(payload), 'byte')}, expected at least {HEADER_BYTES}")
    count, coding = _HEADER.unpack_from(payload)
    if count > MAX_POINTS:
        raise MessageError(f"{count} points announced, the limit is {MAX_POINTS}")
    expected_bytes = count * POINT_BYTES
    raw = expand(payload[HEADER_BYTES:], coding, expected_bytes, "cloud", WITH_HEADER)
    if len(raw) != expected_bytes:
        raise MessageError(
            f"{counted(count, 'point')} in {counted(len(raw), 'byte')}, expected {expected_bytes}"
        )
    xyz_cm = np.frombuffer(raw, dtype="<i2", count=3 * count).reshape(3, count)
    intensity = np.frombuffer(raw, dtype=np.uint8, offset=6 * count)
    return np.column_stack([xyz_cm.T / np.float32(100), intensity / np.float32(255)]).astype(np.float32)


register(
    PayloadKind.POINTS,
    Codec(
        encode_points,
        lambda message: decode_points(message.payload),
        max_bytes=HEADER_BYTES + MAX_POINTS * POINT_BYTES,
    ),
)
