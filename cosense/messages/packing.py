"""How payloads get small: deflate, varints, and integers of a few bits."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosense.messages.envelope import MessageError

MAX_VARINT_BYTES = 3

_RAW, _DEFLATE = 0, 1
# No header and no checksum of its own: the envelope has one.
_WINDOW_BITS = -15


def compact(raw: bytes, strategies: Sequence[int]) -> tuple[int, bytes]:
    """Return the coding, 0 (as it is) or 1 (raw deflate), and the bytes in it, whichever are fewer.

    Args:
        raw: what to write.
        strategies: those of zlib to try.
    """
    streams = []
    for strategy in strategies:
        stream = zlib.compressobj(wbits=_WINDOW_BITS, strategy=strategy)
        streams.append(stream.compress(raw) + stream.flush())
    smallest = min(streams, key=len)
    return (_DEFLATE, smallest) if len(smallest) < len(raw) else (_RAW, raw)


def expand(data: bytes, coding: int, limit_bytes: int, name: str) -> bytes:
    """Undo `compact`; never inflates more than one byte beyond the limit.

    Raises:
        MessageError: an unknown coding, or a stream that does not end with the data and within the limit.
    """
    if coding == _RAW:
        return bytes(data)
    if coding != _DEFLATE:
        raise MessageError(f"coding of the {name} is {coding}, expected {_RAW} or {_DEFLATE}")
    stream = zlib.decompressobj(wbits=_WINDOW_BITS)
    try:
        raw = stream.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise MessageError(f"{name} does not inflate: {error}") from None
    if len(raw) > limit_bytes:
        raise MessageError(f"{name} inflates to more than {limit_bytes} bytes")
    if stream.unused_data or not stream.eof:
        raise MessageError(f"deflate stream of the {name} does not end with its {len(data)} bytes")
    return raw


def write_varints(numbers: NDArray[np.int64]) -> bytes:
    """Write numbers (K,) from 0 to 2^21 - 1 as LEB128."""
    septets = np.column_stack([numbers, numbers >> 7, numbers >> 14])
    follows = np.column_stack([septets[:, 1:] > 0, np.zeros(len(numbers), dtype=np.bool_)])
    used = np.column_stack([np.ones(len(numbers), dtype=np.bool_), follows[:, :-1]])
    return (septets & 0x7F | follows << 7).astype(np.uint8)[used].tobytes()


def read_varints(data: bytes, count: int, name: str) -> NDArray[np.int64]:
    """Read (K,) numbers of at most 3 bytes that fill `data` exactly.

    Raises:
        MessageError: they are not as many as expected, or one is longer.
    """
    octets = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    ends = np.flatnonzero(octets < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(ends) != count or ends[-1] != len(octets) - 1 or np.max(ends - starts) >= MAX_VARINT_BYTES:
        raise MessageError(
            f"{name} has positions in {len(octets)} bytes, "
            f"expected {count} varints of 1 to {MAX_VARINT_BYTES} bytes"
        )
    places = np.arange(len(octets)) - np.repeat(starts, ends - starts + 1)
    return np.asarray(np.add.reduceat((octets & 0x7F) << 7 * places, starts), dtype=np.int64)


def pack_integers(values: NDArray[np.int8], bits: int) -> bytes:
    """Write integers (N,) in two's complement of 2, 4 or 8 bits, the first in the lowest bits of a byte."""
    per_byte = 8 // bits
    fields = np.zeros(-(-len(values) // per_byte) * per_byte, dtype=np.uint8)
    fields[: len(values)] = values.view(np.uint8) & ((1 << bits) - 1)
    packed = np.zeros(len(fields) // per_byte, dtype=np.uint8)
    for place in range(per_byte):
        packed |= fields[place::per_byte] << np.uint8(place * bits)
    return packed.tobytes()


def unpack_integers(data: bytes, bits: int, count: int) -> NDArray[np.int8]:
    """Read the first `count` integers that `pack_integers` wrote."""
    octets = np.frombuffer(data, dtype=np.uint8)
    # Moved up to the sign bit and back down, a number takes its sign along.
    shifts = (8 - bits - bits * np.arange(8 // bits)).astype(np.uint8)
    moved: NDArray[np.int8] = (octets[:, None] << shifts).view(np.int8)
    return (moved >> (8 - bits)).reshape(-1)[:count]
