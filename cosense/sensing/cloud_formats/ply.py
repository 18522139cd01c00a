"""Point clouds in PLY files (Turk, 1994): ascii and binary of either byte order.

Only the element `vertex` is read, its properties by name. Elements after it do not matter; one with lists
before it is refused in binary files, whose points would have to be searched for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosense.errors import CosenseError, counted, nearest, read_file
from cosense.sensing.cloud import RawCloud, find_fields
from cosense.sensing.cloud_formats.pcd import from_text

_LONGEST_HEADER_BYTES = 1 << 16
_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"}
_TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_TYPES |= {"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"}
_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


class _Broken(Exception):
    """Describes what is wrong with a file, without naming it."""


@dataclass
class _Element:
    """One kind of things in the file, in the order of the header.

    Attributes:
        names: names of the properties.
        types: types of the properties in the notation of numpy, None for a list.
    """

    name: str
    count: int
    names: list[str]
    types: list[str | None]

    def dtype(self, order: str) -> np.dtype:
        """Return the layout of one thing in a binary file."""
        kinds = [order + kind for kind in self.types if kind is not None]
        if len(kinds) < len(self.types):
            raise _Broken(f"element '{self.name}' has lists, and only files without can be read")
        return np.dtype({"names": [f"{index}" for index in range(len(kinds))], "formats": kinds})


def read_raw_ply(path: str | os.PathLike[str]) -> RawCloud:
    """Read a point cloud as it is stored.

    Raises:
        CosenseError: the file is missing, is no PLY file, is truncated, or lacks x, y or z.
    """
    content = read_file(Path(path))
    try:
        return _read_cloud(content, str(path))
    except _Broken as broken:
        raise CosenseError(f"{path}: {broken}; fetch or write the file again") from None


def _read_cloud(content: bytes, source: str) -> RawCloud:
    encoding, elements, start = _parse_header(content)
    place = next((i for i, element in enumerate(elements) if element.name == "vertex"), None)
    if place is None:
        raise _Broken("the header has no element 'vertex'")
    vertex, before, after = elements[place], elements[:place], elements[place + 1 :]
    found = find_fields(vertex.names)
    if found is None:
        raise _Broken(f"a vertex has '{' '.join(vertex.names)}', expected x, y and z among them")
    if encoding == "ascii":
        skipped = sum(element.count for element in before)
        lines = [line for line in content[start:].splitlines() if line.strip()]
        columns = _read_ascii(lines[skipped:], vertex, found.wanted, is_last=not after)
    else:
        order = _ORDERS[encoding]
        start += sum(element.count * element.dtype(order).itemsize for element in before)
        dtype = vertex.dtype(order)
        needed = vertex.count * dtype.itemsize
        # Whole points behind the last one are no rubbish.
        rest = content[start + needed :]
        is_more = not after and len(rest) % dtype.itemsize == 0 and rest.strip(b"\0")
        if needed > len(content) - start or is_more:
            raise _Broken(
                f"{vertex.count} vertices take {needed} bytes, but {max(0, len(content) - start)} are there"
            )
        rows = np.frombuffer(content, dtype, vertex.count, start) if vertex.count else np.zeros(0, dtype)
        columns = [rows[f"{position}"] for position in found.wanted]
    return found.assembled(source, columns)


def _read_ascii(
    lines: list[bytes], vertex: _Element, wanted: tuple[int, ...], *, is_last: bool
) -> list[np.ndarray]:
    """Return the wanted columns (N,) of the vertices; no line may follow the last element."""
    lines = lines if is_last else lines[: vertex.count]
    if len(lines) != vertex.count:
        raise _Broken(f"the header names {vertex.count} vertices, but {len(lines)} are there")
    dtype = vertex.dtype("=")
    rows = [line.split() for line in lines]
    short = next((row for row in rows if len(row) != len(vertex.names)), None)
    if short is not None:
        raise _Broken(f"a vertex has {counted(len(short), 'number')}, expected {len(vertex.names)}")
    try:
        return [from_text([row[position] for row in rows], dtype[position]) for position in wanted]
    except (ValueError, OverflowError) as error:
        raise _Broken(f"a value is no number: {error}") from None


def _parse_header(content: bytes) -> tuple[str, list[_Element], int]:
    """Return the encoding, the elements, and where their data start."""
    end = content.find(b"end_header", 0, _LONGEST_HEADER_BYTES)
    after = content.find(b"\n", end)
    if not content.startswith(b"ply") or end < 0 or after < 0:
        raise _Broken("no PLY header from 'ply' to 'end_header'")
    encoding, elements = "", list[_Element]()
    for line in content[:end].decode("ascii", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["format"]:
            encoding = words[1] if len(words) > 1 else ""
        elif words[:1] == ["element"]:
            if len(words) != 3 or not (words[2].isdecimal() and words[2].isascii() and len(words[2]) <= 18):
                raise _Broken(f"'{line.strip()}' is no element with a name and a number")
            elements.append(_Element(words[1], int(words[2]), [], []))
        elif words[:1] == ["property"]:
            _add_property(elements, words)
    if encoding not in _ORDERS:
        raise _Broken(f"format is '{encoding}', {nearest(encoding, _ORDERS)}")
    return encoding, elements, after + 1


def _add_property(elements: list[_Element], words: list[str]) -> None:
    """Add a line "property TYPE NAME" or "property list TYPE TYPE NAME" to the last element."""
    is_list = words[1:2] == ["list"]
    if not elements or len(words) != (5 if is_list else 3) or (not is_list and words[1] not in _TYPES):
        raise _Broken(f"'{' '.join(words)}' is no property with a type and a name")
    elements[-1].names.append(words[-1])
    elements[-1].types.append(None if is_list else _TYPES[words[1]])
