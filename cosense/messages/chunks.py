"""Chunks of a FEATURES payload: quantised cells of one layer each, best first.

Little-endian, no padding. Layers are numbered as in the model's specs; a chunk has K cells of a layer with C
channels of b bits:

    offset  size  field
    0       1     layer, u8
    1       1     coding: 0 = the body as below, 1 = raw deflate of it
    2       2     K, u16 (>= 1)
    4       2     B, u16
    6       B     body: positions (not in a dense layer), then ceil(K C b / 8) bytes with the values

Positions are K varints (LEB128, at most 3 bytes) with the flat cell indices in ascending order: the first
index, then each distance to the one before minus 1. Values are all K of the first channel, then of the second
and so on: 2 and 4 bits in two's complement, first value in the lowest bits, the last byte filled with zeros;
8 bits as i8; 16 bits as float16. A dense layer is one chunk with all its cells. The cells of a sparse layer
are written in the order of their rank, in chunks of 32, 64, 128 ... up to 4096.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.messages.fields import MessageError, compact, expand

MAX_LAYERS = 256
MAX_CHANNELS = 1024

_HEADER = struct.Struct("<BBHH")
_MAX_U16 = 65535
_MAX_VARINT_BYTES = 3
_MAX_CELL = (1 << 7 * _MAX_VARINT_BYTES) - 1
_FIRST_CHUNK_CELLS, _LARGEST_CHUNK_CELLS = 32, 4096
# Quantised features hardly repeat but are mostly small: on them Huffman codes alone are both smaller and five
# times faster than a search for matches; run lengths win where most values are 0.
_STRATEGIES = (zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE)


@dataclass(frozen=True)
class LayerSpec:
    """How the cells of one layer are written; sender and receiver know it from the model.

    Attributes:
        stride: pillars per cell along one edge; the map has ceil(H / stride) x ceil(W / stride) cells.
        channels: values per cell, 1 to 1024.
        bits: bits per value: 2, 4 or 8 (two's complement integers) or 16 (float16).
        dense: whether every cell is sent, without positions.
    """

    stride: int
    channels: int
    bits: int
    dense: bool = False

    def __post_init__(self) -> None:
        if self.stride < 1 or not 1 <= self.channels <= MAX_CHANNELS or self.bits not in (2, 4, 8, 16):
            raise ValueError(f"{self} needs stride >= 1, channels 1 to {MAX_CHANNELS} and bits 2, 4, 8 or 16")

    @property
    def dtype(self) -> type[np.int8] | type[np.float16]:
        """Type of the values before they are packed."""
        return np.float16 if self.bits == 16 else np.int8

    def cells(self, shape: tuple[int, int]) -> int:
        """Return how many cells the layer has on a pillar grid of (H, W)."""
        return -(-shape[0] // self.stride) * -(-shape[1] // self.stride)

    def values_bytes(self, count: int) -> int:
        """Return how many bytes the values of `count` cells take before deflate."""
        return (count * self.channels * self.bits + 7) // 8

    @property
    def fewest_cells(self) -> int:
        """Cells of the smallest chunk that a sparse section begins with, where it has as many."""
        return min(_FIRST_CHUNK_CELLS, _MAX_U16 // (_MAX_VARINT_BYTES + self.values_bytes(1)))


@dataclass(frozen=True)
class Section:
    """Cells of one layer that a sender offers; no cell may occur twice in a message.

    Attributes:
        layer: index into the specs.
        cells: (K,) int64 flat indices in the layer's map, best first; 0 to H W - 1 in a dense layer.
        values: (K,C) int8, or float16 where the spec has 16 bits.
    """

    layer: int
    cells: NDArray[np.int64]
    values: NDArray


@dataclass(frozen=True)
class ReceivedLayer:
    """All chunks of one layer joined, in the order received: cells and values as those of `Section`."""

    cells: NDArray[np.int64]
    values: NDArray


@dataclass(frozen=True)
class ChunkPlace:
    """Header of a chunk, and where its body starts and ends among the bytes of all chunks."""

    layer: int
    coding: int
    count: int
    start: int
    end: int


def write_section(section: Section, specs: Sequence[LayerSpec], room_bytes: int) -> bytes:
    """Return the chunks of a section that fit: a dense one whole or not at all, else the best cells.

    Raises:
        MessageError: the section does not suit its spec, or a dense one takes more than a chunk can hold.
    """
    spec = _checked_spec(section, specs)
    if not len(section.cells):
        return b""
    if spec.dense:
        chunk = _chunk(section, spec, 0, len(section.cells))
        return chunk if len(chunk) <= room_bytes else b""
    return _write_sparse(section, spec, room_bytes)


def split_chunks(chunks: bytes) -> Iterator[ChunkPlace]:
    """Find the chunks of a payload, one after the other.

    Raises:
        MessageError: the last one does not end with the bytes.
    """
    start = 0
    while start < len(chunks):
        body = start + _HEADER.size
        if body > len(chunks):
            raise MessageError(
                f"chunk at byte {start} behind the boxes has {counted(len(chunks) - start, 'byte')}, "
                f"a header takes {_HEADER.size}"
            )
        layer, coding, count, body_bytes = _HEADER.unpack_from(chunks, start)
        if body + body_bytes > len(chunks):
            raise MessageError(
                f"chunk of layer {layer} is said to have {counted(body_bytes, 'byte')}, "
                f"{len(chunks) - body} are left"
            )
        yield ChunkPlace(layer, coding, count, body, body + body_bytes)
        start = body + body_bytes


def read_chunk(chunks: bytes, place: ChunkPlace, spec: LayerSpec, layer_cells: int) -> ReceivedLayer:
    """Read one chunk of at least one cell; its layer has `layer_cells`.

    Raises:
        MessageError: the body does not unpack to the cells announced, or one is outside of the layer.
    """
    name, count = f"chunk of layer {place.layer}", place.count
    values_bytes = spec.values_bytes(count)
    most_bytes = values_bytes + (0 if spec.dense else _MAX_VARINT_BYTES * count)
    raw = expand(chunks[place.start : place.end], place.coding, most_bytes, name)
    position_bytes = len(raw) - values_bytes
    if spec.dense:
        if count != layer_cells or position_bytes:
            raise MessageError(
                f"{name} has {counted(count, 'cell')} in {counted(len(raw), 'byte')}, "
                f"expected all {layer_cells} in {values_bytes}"
            )
        cells = np.arange(count, dtype=np.int64)
    else:
        if not count <= position_bytes <= _MAX_VARINT_BYTES * count:
            raise MessageError(
                f"{name} has {counted(count, 'cell')} in {counted(len(raw), 'byte')}, "
                f"expected {values_bytes + count} to {most_bytes}"
            )
        cells = np.cumsum(_read_varints(raw[:position_bytes], count, name) + 1) - 1
        if cells[-1] >= layer_cells:
            raise MessageError(f"{name} has a cell at {cells[-1]}, the layer has {layer_cells}")
    return ReceivedLayer(cells, _unpacked(raw[position_bytes:], count, spec, name))


def join_chunks(chunks: list[ReceivedLayer], spec: LayerSpec) -> ReceivedLayer:
    """Return the chunks of one layer as one; of a cell that came twice the first counts."""
    if not chunks:
        return ReceivedLayer(np.zeros(0, np.int64), np.zeros((0, spec.channels), spec.dtype))
    cells = np.concatenate([chunk.cells for chunk in chunks])
    values = np.concatenate([chunk.values for chunk in chunks])
    first = np.sort(np.unique(cells, return_index=True)[1])
    return ReceivedLayer(cells[first], values[first])


def _checked_spec(section: Section, specs: Sequence[LayerSpec]) -> LayerSpec:
    """Return the spec of a section, which must suit it."""
    if not 0 <= section.layer < min(len(specs), MAX_LAYERS):
        raise MessageError(f"layer is {section.layer}, the model has {len(specs)}, the limit is {MAX_LAYERS}")
    spec, name = specs[section.layer], f"section of layer {section.layer}"
    if section.values.shape != (len(section.cells), spec.channels) or section.values.dtype != spec.dtype:
        raise MessageError(
            f"{name} has {section.values.dtype} values {section.values.shape}, "
            f"expected {np.dtype(spec.dtype)} {(len(section.cells), spec.channels)}"
        )
    limit = 1 << (spec.bits - 1)
    if spec.bits == 16 and not np.isfinite(section.values).all():
        raise MessageError(f"{name} has values that are not finite")
    if spec.bits < 8 and len(section.cells) and not _within(section.values, -limit, limit - 1):
        raise MessageError(f"{name} has values outside of {-limit} to {limit - 1}")
    if spec.dense:
        if len(section.cells) > _MAX_U16 or not np.array_equal(section.cells, np.arange(len(section.cells))):
            raise MessageError(f"{name} is dense, expected the cells 0 to at most {_MAX_U16} in order")
    elif len(section.cells):
        ascending = np.sort(section.cells)
        if not _within(ascending, 0, _MAX_CELL) or not np.diff(ascending).all():
            raise MessageError(f"{name} has a cell twice, below 0 or above {_MAX_CELL}")
    return spec


def _within(numbers: NDArray, low: int, high: int) -> bool:
    """Say whether all of at least one number are within the limits, both included."""
    return bool(numbers.min() >= low and numbers.max() <= high)


def _write_sparse(section: Section, spec: LayerSpec, room_bytes: int) -> bytes:
    """Return chunks of doubling size with as many of the best cells as fit."""
    written = bytearray()
    largest = min(_LARGEST_CHUNK_CELLS, _MAX_U16 // (_MAX_VARINT_BYTES + spec.values_bytes(1)))
    start, size = 0, _FIRST_CHUNK_CELLS
    while start < len(section.cells):
        size = min(size, largest, len(section.cells) - start)
        chunk = _chunk(section, spec, start, size)
        if len(written) + len(chunk) > room_bytes:
            room_left = room_bytes - len(written)
            return bytes(written) + _shrunk(section, spec, start, size, len(chunk), room_left)
        written += chunk
        start, size = start + size, 2 * size
    return bytes(written)


def _shrunk(
    section: Section, spec: LayerSpec, start: int, size: int, chunk_bytes: int, room_bytes: int
) -> bytes:
    """Return a chunk with about as many of the `size` cells as fit, where all take `chunk_bytes`.

    Its length is nearly proportional to the cells: each try takes what the one before suggests. It aims a
    little lower each time, because the length may jump by a few bytes from one cell to the next.
    """
    # So many fit even if deflate gains nothing.
    fitting = max(room_bytes - _HEADER.size, 0) // (_MAX_VARINT_BYTES + spec.values_bytes(1))
    best, too_many = b"", size
    cells, length = size, chunk_bytes
    for attempt in range(4):
        bytes_per_cell = (length - _HEADER.size) / cells
        guess = int((room_bytes - _HEADER.size) * (1 - 0.003 * attempt) / bytes_per_cell)
        cells = min(max(guess, fitting + 1), too_many - 1)
        if cells <= fitting:
            break
        chunk = _chunk(section, spec, start, cells)
        length = len(chunk)
        if length > room_bytes:
            too_many = cells
            continue
        best, fitting = chunk, cells
        if room_bytes - length < max(bytes_per_cell, 0.01 * room_bytes):
            break
    return best or (_chunk(section, spec, start, fitting) if fitting else b"")


def _chunk(section: Section, spec: LayerSpec, start: int, size: int) -> bytes:
    """Write cells of a section, from the one of rank `start` on, as one chunk in the smaller coding."""
    cells, values = section.cells[start : start + size], section.values[start : start + size]
    positions = b""
    if not spec.dense:
        order = np.argsort(cells)
        cells, values = cells[order], values[order]
        positions = _write_varints(np.diff(cells, prepend=-1) - 1)
    coding, body = compact(positions + _packed(values, spec), _STRATEGIES)
    if len(body) > _MAX_U16:
        raise MessageError(
            f"layer {section.layer} takes {counted(len(body), 'byte')} in one chunk, the limit is {_MAX_U16}"
        )
    return _HEADER.pack(section.layer, coding, size, len(body)) + body


def _packed(values: NDArray, spec: LayerSpec) -> bytes:
    """Write values (K,C) channel by channel with the bits of the spec."""
    flat = np.ascontiguousarray(values.T).reshape(-1)
    return flat.astype("<f2").tobytes() if spec.bits == 16 else _pack_integers(flat, spec.bits)


def _unpacked(data: bytes, count: int, spec: LayerSpec, name: str) -> NDArray:
    """Read values (K,C) that fill `data` exactly."""
    if spec.bits < 16:
        flat: NDArray = _unpack_integers(data, spec.bits, count * spec.channels)
    else:
        flat = np.frombuffer(data, dtype="<f2").astype(np.float16)
        if not np.isfinite(flat).all():
            raise MessageError(f"{name} has values that are not finite")
    return flat.reshape(spec.channels, count).T


def _write_varints(numbers: NDArray[np.int64]) -> bytes:
    """Write numbers (K,) from 0 to 2^21 - 1 as LEB128."""
    septets = np.column_stack([numbers, numbers >> 7, numbers >> 14])
    follows = np.column_stack([septets[:, 1:] > 0, np.zeros(len(numbers), dtype=np.bool_)])
    used = np.column_stack([np.ones(len(numbers), dtype=np.bool_), follows[:, :-1]])
    return (septets & 0x7F | follows << 7).astype(np.uint8)[used].tobytes()


def _read_varints(data: bytes, count: int, name: str) -> NDArray[np.int64]:
    """Read (K,) numbers of at most 3 bytes that fill `data` exactly.

    Raises:
        MessageError: they are not as many as expected, or one is longer.
    """
    octets = np.frombuffer(data, dtype=np.uint8).astype(np.int64)
    ends = np.flatnonzero(octets < 0x80)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(ends) != count or ends[-1] != len(octets) - 1 or np.max(ends - starts) >= _MAX_VARINT_BYTES:
        raise MessageError(
            f"{name} has positions in {counted(len(octets), 'byte')}, "
            f"expected {count} varints of 1 to {_MAX_VARINT_BYTES} bytes"
        )
    places = np.arange(len(octets)) - np.repeat(starts, ends - starts + 1)
    return np.asarray(np.add.reduceat((octets & 0x7F) << 7 * places, starts), dtype=np.int64)


def _pack_integers(values: NDArray[np.int8], bits: int) -> bytes:
    """Write integers (N,) in two's complement of 2, 4 or 8 bits, the first in the lowest bits of a byte."""
    per_byte = 8 // bits
    fields = np.zeros(-(-len(values) // per_byte) * per_byte, dtype=np.uint8)
    fields[: len(values)] = values.view(np.uint8) & ((1 << bits) - 1)
    packed = np.zeros(len(fields) // per_byte, dtype=np.uint8)
    for place in range(per_byte):
        packed |= fields[place::per_byte] << np.uint8(place * bits)
    return packed.tobytes()


def _unpack_integers(data: bytes, bits: int, count: int) -> NDArray[np.int8]:
    """Read the first `count` integers that `_pack_integers` wrote."""
    octets = np.frombuffer(data, dtype=np.uint8)
    # Moved up to the sign bit and back down, a number takes its sign along.
    shifts = (8 - bits - bits * np.arange(8 // bits)).astype(np.uint8)
    moved: NDArray[np.int8] = (octets[:, None] << shifts).view(np.int8)
    return (moved >> (8 - bits)).reshape(-1)[:count]
