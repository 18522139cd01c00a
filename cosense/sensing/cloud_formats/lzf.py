"""LZF, the compression of `DATA binary_compressed` in PCD files (M. Lehmann's liblzf, format version 1).
from cosense.errors import counted

The stream is a row of tokens. With c the first byte of a token:

    c < 32     a literal run: the next c + 1 bytes are copied from the stream
    c >= 32    a repetition: (c >> 5) + 2 bytes, where 7 means that the next byte is added to the count; they
               are found d + 1 bytes back in the output, d being the low 5 bits of c and then the next byte

A step in Python costs about as much as copying ten bytes, so both directions copy slices token by token, and
the compressor finds the candidates for repetitions in a whole cloud by a single sort.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cosense.errors import counted

_LONGEST_RUN = 32
_LONGEST_REPETITION = 264
_FARTHEST = 8192
_SHORTEST = 3
# A token takes 3 bytes of the stream and yields 264 bytes at most.
MOST_EXPANSION = _LONGEST_REPETITION // 3


def decompress(stream: bytes, expected_bytes: int) -> bytes:
    """Return the decompressed data.

    Args:
        stream: LZF stream.
        expected_bytes: number of bytes of the decompressed data.

    Raises:
        ValueError: the stream ends in a token, points before its start, or yields another number of bytes.
    """
    out = bytearray()
    position, end = 0, len(stream)
    try:
        while position < end and len(out) <= expected_bytes:
            control = stream[position]
            if control < 32:
                following = position + control + 2
                out += stream[position + 1 : following]
            else:
                count, following = (control >> 5) + 2, position + 2
                if count == 9:
                    count += stream[position + 1]
                    following = position + 3
                distance = ((control & 31) << 8) + stream[following - 1] + 1
                start = len(out) - distance
                if start < 0:
                    raise ValueError(f"byte {position} points {counted(-start, 'byte')} before the start")
                if count <= distance:
                    out += out[start : start + count]
                else:
                    repeats = -(-count // distance)
                    out += (out[start:] * repeats)[:count]
            position = following
    except IndexError:
        position = end + 1
    if position > end:
        raise ValueError("the stream ends in the middle of a token")
    if len(out) != expected_bytes:
        raise ValueError(f"the stream yields {len(out)} bytes, not {expected_bytes}")
    return bytes(out)


def compress(data: bytes) -> bytes:
    """Return an LZF stream of `data`; it takes each repetition that it comes to, from its nearest source."""
    out = bytearray()
    position = 0
    for start, source in _candidates(data):
        if start < position:
            continue
        _append_literals(out, data[position:start])
        count = _SHORTEST
        longest = min(_LONGEST_REPETITION, len(data) - start)
        while count < longest and data[source + count] == data[start + count]:
            count += 1
        distance = start - source - 1
        if count < 9:
            out += bytes([(count - 2) << 5 | distance >> 8, distance & 255])
        else:
            out += bytes([7 << 5 | distance >> 8, count - 9, distance & 255])
        position = start + count
    _append_literals(out, data[position:])
    return bytes(out)


def _append_literals(out: bytearray, literals: bytes) -> None:
    for start in range(0, len(literals), _LONGEST_RUN):
        run = literals[start : start + _LONGEST_RUN]
        out.append(len(run) - 1)
        out += run


def _candidates(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (position, nearest earlier position with the same three bytes) wherever that is within reach."""
    values = np.frombuffer(data, dtype=np.uint8).astype(np.int32)
    key = values[:-2] << 16 | values[1:-1] << 8 | values[2:]
    order = np.argsort(key, kind="stable")
    place, earlier = order[1:], order[:-1]
    usable = (key[place] == key[earlier]) & (place - earlier <= _FARTHEST)
    source = np.full(len(values), -1)
    source[place[usable]] = earlier[usable]
    places = np.flatnonzero(source >= 0)
    return zip(places.tolist(), source[places].tolist(), strict=True)
