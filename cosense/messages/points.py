"""The POINTS payload: a point cloud with 7 bytes a point before compression, the early-fusion baseline.

Little-endian. Four bytes with the number of points (u32, at most 200 000), one byte with the codec (0 raw,
1 zlib), then the data: all x, all y, all z (i16, centimetres in the sender's frame), all intensities (u8 in
units of 1/255). Columns next to each other compress better than points; zlib is used where it is smaller.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from cosense.messages.envelope import MessageError

MAX_POINTS = 200_000
POINT_BYTES = 7

_HEADER = struct.Struct("<IB")
HEADER_BYTES = _HEADER.size
_RAW, _ZLIB = 0, 1


def writable_points(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the points (N,4) that the format can hold: finite and within 327.67 m of the sender."""
    centimetres = np.abs(np.round(points[:, :3] * 100))
    return points[np.isfinite(points).all(1) & (centimetres <= 32767).all(1)]


def encode_points(points: NDArray[np.float32]) -> bytes:
    """Write points (N,4) of x, y, z in metres and intensity in [0, 1]; leaves out what is not writable.

    Raises:
        MessageError: more than `MAX_POINTS` points.
    """
    points = writable_points(points)
    if len(points) > MAX_POINTS:
        raise MessageError(f"{len(points)} points, the limit is {MAX_POINTS}")
    xyz_cm = np.round(points[:, :3] * 100).astype("<i2")
    intensity = np.round(np.clip(points[:, 3], 0, 1) * 255).astype(np.uint8)
    raw = xyz_cm.T.tobytes() + intensity.tobytes()
    packed = zlib.compress(raw)
    if len(packed) < len(raw):
        return _HEADER.pack(len(points), _ZLIB) + packed
    return _HEADER.pack(len(points), _RAW) + raw


def decode_points(payload: bytes) -> NDArray[np.float32]:
    """Read points (N,4) in the frame of the sender.

    Raises:
        MessageError: wrong length, too many points, an unknown codec or data that does not unpack to them.
    """
    if len(payload) < HEADER_BYTES:
        raise MessageError(f"points have {len(payload)} bytes, expected at least {HEADER_BYTES}")
    count, codec = _HEADER.unpack_from(payload)
    if count > MAX_POINTS:
        raise MessageError(f"{count} points announced, the limit is {MAX_POINTS}")
    raw = _unpack(payload[HEADER_BYTES:], codec, count * POINT_BYTES)
    xyz_cm = np.frombuffer(raw, dtype="<i2", count=3 * count).reshape(3, count)
    intensity = np.frombuffer(raw, dtype=np.uint8, offset=6 * count)
    return np.column_stack([xyz_cm.T / np.float32(100), intensity / np.float32(255)]).astype(np.float32)


def _unpack(data: bytes, codec: int, expected_bytes: int) -> bytes:
    """Return exactly `expected_bytes`; never inflates more than one byte beyond them."""
    if codec == _RAW:
        raw = data
    elif codec == _ZLIB:
        stream = zlib.decompressobj()
        try:
            raw = stream.decompress(data, expected_bytes + 1)
        except zlib.error as error:
            raise MessageError(f"points do not decompress: {error}") from None
        if stream.unused_data or stream.unconsumed_tail or (len(raw) == expected_bytes and not stream.eof):
            raise MessageError(f"compressed points do not end after {expected_bytes} bytes")
    else:
        raise MessageError(f"codec of the points is {codec}, expected {_RAW} or {_ZLIB}")
    if len(raw) != expected_bytes:
        raise MessageError(f"points unpack to {len(raw)} bytes, expected {expected_bytes}")
    return raw
