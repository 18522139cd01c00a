"""Point clouds in PCD files: versions .5 to .7 in ascii, binary and binary_compressed.

Fields are found by name, in any order, type and size, with any padding between them. What the header claims
is checked against the size of the file, so that a broken header causes an error and takes no memory. A COUNT
of 0 is a field that takes no room; where the size of the file says that it takes one place, as some writers
mean it, it does. VIEWPOINT is not applied: the points stay in the frame in which they are stored, as all
readers of DAIR-V2X leave them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, counted, nearest, read_file
from cosense.sensing.cloud import PointCloud, RawCloud, find_fields, read_alone, to_records
from cosense.sensing.cloud_formats import lzf

Encoding = Literal["binary", "ascii", "binary_compressed"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

_LONGEST_HEADER_BYTES = 1 << 16
_TYPES = {"F": (2, 4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}
_PADDING = "_"
# How programs on Windows write what is no number.
_WINDOWS_NAN = re.compile(rb"-?(nan\(\w+\)|1\.#(QNAN|SNAN|IND)\d*)", re.IGNORECASE)
_NO_VIEWPOINT = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Field:
    """One entry of FIELDS; it starts at `offset_bytes` in a binary point and at `column` in an ascii row."""

    name: str
    dtype: np.dtype
    count: int
    offset_bytes: int
    column: int

    @property
    def size_bytes(self) -> int:
        return self.dtype.itemsize * self.count


@dataclass(frozen=True)
class _Header:
    fields: tuple[_Field, ...]
    points: int
    encoding: str
    data_start: int
    announced: int | None
    remarks: tuple[str, ...]

    @property
    def point_bytes(self) -> int:
        return sum(field.size_bytes for field in self.fields)

    @property
    def point_words(self) -> int:
        return sum(field.count for field in self.fields)

    def with_room(self) -> _Header:
        """Return the header as writers mean it whose fields with a COUNT of 0 take one place."""
        counts = [max(1, field.count) for field in self.fields]
        kinds = [(field.name, field.dtype, count) for field, count in zip(self.fields, counts, strict=True)]
        return replace(self, fields=_laid_out(kinds))


class _Broken(Exception):
    """Describes what is wrong with a file, without naming it."""


def read_pcd(path: str | os.PathLike[str]) -> PointCloud:
    """Read a point cloud by itself; points with a coordinate or an intensity that is not finite are dropped.

    Raises:
        CosenseError: as `read_raw_pcd`, or the coordinates are no metres.
    """
    return read_alone(read_raw_pcd(path))


def read_raw_pcd(path: str | os.PathLike[str]) -> RawCloud:
    """Read a point cloud as it is stored.

    Raises:
        CosenseError: the file is missing, is no PCD file, is truncated, or lacks x, y or z.
    """
    content = read_file(Path(path))
    try:
        header = _parse_header(content)
        return _read_cloud(header, memoryview(content)[header.data_start :], str(path))
    except _Broken as broken:
        raise CosenseError(f"{path}: {broken}; fetch or write the file again") from None


def write_pcd(
    path: str | os.PathLike[str],
    points: NDArray[np.floating],
    encoding: Encoding = "binary",
    *,
    rings: NDArray[np.int16] | None = None,
    comment: str = "",
) -> None:
    """Write a point cloud as PCD v0.7 with float32 fields, and the rings in two bytes where there are any.

    Args:
        path: path of the file.
        points: (N,4), x, y, z in metres and intensity in [0, 1].
        encoding: one of `ENCODINGS`.
        rings: (N,) number of the beam of each point, None where nothing says it.
        comment: a line for the header, which readers pass over.

    Raises:
        CosenseError: unknown encoding, or the file cannot be written.
        ValueError: the points have another shape, or an intensity is out of range.
    """
    if encoding not in ENCODINGS:
        raise CosenseError(f"{path}: unknown encoding '{encoding}', {nearest(encoding, ENCODINGS)}")
    points = np.ascontiguousarray(points, dtype="<f4")
    if points.ndim != 2 or points.shape[1] != 4:
        raise ValueError(f"points have shape {points.shape}, expected (N, 4)")
    if ((points[:, 3] < 0) | (points[:, 3] > 1)).any():
        raise ValueError("an intensity is outside of [0, 1], and would be read back as another one")
    records = to_records(points, rings)
    names = records.dtype.names or ()
    more = ("", "", "") if rings is None else (" 2", " U", " 1")
    remark = f"# {comment}\n" if comment else ""
    header = (
        f"# .PCD v0.7 - Point Cloud Data file format\n{remark}"
        f"VERSION 0.7\nFIELDS {' '.join(names)}\nSIZE 4 4 4 4{more[0]}\nTYPE F F F F{more[1]}\n"
        f"COUNT 1 1 1 1{more[2]}\nWIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {len(points)}\nDATA {encoding}\n"
    )
    if encoding == "ascii":
        # Nine digits identify every float32.
        line = " ".join("%.9g" for _ in names) + "\n"
        numbers = (number for record in records.tolist() for number in record)
        body = (line * len(points) % tuple(numbers)).encode()
    elif encoding == "binary":
        body = records.tobytes()
    else:
        plain = b"".join(records[name].tobytes() for name in names)
        stream = lzf.compress(plain)
        body = np.array([len(stream), len(plain)], dtype="<u4").tobytes() + stream
    try:
        Path(path).write_bytes(header.encode() + body)
    except OSError as error:
        raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None


def _parse_header(content: bytes) -> _Header:
    """Read the lines up to DATA."""
    entries: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in entries:
        end = content.find(b"\n", start, start + _LONGEST_HEADER_BYTES)
        if end < 0 or end > _LONGEST_HEADER_BYTES:
            raise _Broken("no PCD header that ends with a line 'DATA ascii|binary|binary_compressed'")
        words = content[start:end].decode("ascii", errors="replace").split()
        start = end + 1
        if words and not words[0].startswith("#"):
            entries[words[0].upper()] = words[1:]
    encoding = " ".join(entries["DATA"]).lower()
    if encoding not in ENCODINGS:
        raise _Broken(f"DATA is '{encoding}', {nearest(encoding, ENCODINGS)}")
    announced = None
    if "WIDTH" in entries:
        height = _counts(entries, "HEIGHT", 1, least=0)[0] if "HEIGHT" in entries else 1
        announced = _counts(entries, "WIDTH", 1, least=0)[0] * height
    if "POINTS" in entries:
        points = _counts(entries, "POINTS", 1, least=0)[0]
    elif announced is not None:
        points = announced
    else:
        raise _Broken("the header has neither POINTS nor WIDTH")
    return _Header(_parse_fields(entries), points, encoding, start, announced, _remarks(entries))


def _remarks(entries: dict[str, list[str]]) -> tuple[str, ...]:
    """Return what has to be said of a VIEWPOINT that is not the origin."""
    words = entries.get("VIEWPOINT", [])
    try:
        is_origin = tuple(map(float, words)) in ((), _NO_VIEWPOINT)
    except ValueError:
        is_origin = False
    if is_origin:
        return ()
    return (f"VIEWPOINT is {' '.join(words)} and not applied: the points are taken as they are stored",)


def _parse_fields(entries: dict[str, list[str]]) -> tuple[_Field, ...]:
    """Return the layout of a point; version .5 says COLUMNS and may omit SIZE, TYPE and COUNT of floats."""
    names = entries.get("FIELDS", entries.get("COLUMNS", []))
    if not names:
        raise _Broken("the header names no FIELDS")
    sizes = _counts(entries, "SIZE", len(names), least=1) if "SIZE" in entries else [4] * len(names)
    counts = _counts(entries, "COUNT", len(names), least=0) if "COUNT" in entries else [1] * len(names)
    types = [kind.upper() for kind in entries.get("TYPE", ["F"] * len(names))]
    if len(types) != len(names):
        raise _Broken(f"TYPE has {counted(len(types), 'entry')} for {len(names)} FIELDS")
    kinds = []
    for name, kind, size, count in zip(names, types, sizes, counts, strict=True):
        if size not in _TYPES.get(kind, ()):
            raise _Broken(f"field '{name}' has TYPE {kind} and SIZE {size}, expected F 4, U 1 or the like")
        kinds.append((name.lower(), np.dtype(f"<{kind.lower()}{size}"), count))
    return _laid_out(kinds)


def _laid_out(kinds: list[tuple[str, np.dtype, int]]) -> tuple[_Field, ...]:
    """Return the fields of these names, types and counts, one after the other."""
    fields: list[_Field] = []
    offset_bytes, column = 0, 0
    for name, dtype, count in kinds:
        fields.append(_Field(name, dtype, count, offset_bytes, column))
        offset_bytes += dtype.itemsize * count
        column += count
    return tuple(fields)


def _counts(entries: dict[str, list[str]], key: str, length: int, least: int) -> list[int]:
    """Return the integers of one header line."""
    words = entries[key]
    if len(words) != length:
        raise _Broken(f"{key} has {counted(len(words), 'entry')}, expected {length}")
    for word in words:
        # Eighteen digits exceed every real count, and do not yet overflow 64 bits.
        if not (word.isdecimal() and word.isascii() and len(word) <= 18 and int(word) >= least):
            raise _Broken(f"{key} is '{word}', expected a whole number of at least {least}")
    return [int(word) for word in words]


def _read_cloud(header: _Header, body: memoryview, source: str) -> RawCloud:
    """Return the cloud in the body of a file."""
    if header.announced is not None and header.announced > header.points:
        whole = replace(header, points=header.announced)
        if _fits(whole, body):
            said = f"POINTS is {header.points}, and WIDTH times HEIGHT {whole.points}, as many as are there"
            header = replace(whole, remarks=(*header.remarks, said))
    if any(field.count == 0 for field in header.fields) and _fits(header.with_room(), body):
        header = header.with_room()
    with_room = [field for field in header.fields if field.count]
    found = find_fields([field.name for field in with_room])
    if found is None:
        names = " ".join(field.name for field in with_room)
        raise _Broken(f"FIELDS with content are '{names}', expected x, y and z among them")
    fields = [with_room[position] for position in found.wanted]
    if header.points == 0 and _is_blank(body):
        return found.assembled(source, [np.zeros(0, field.dtype) for field in fields], header.remarks)
    read = {"ascii": _read_ascii, "binary": _read_binary, "binary_compressed": _read_compressed}
    return found.assembled(source, read[header.encoding](header, body, fields), header.remarks)


def _is_blank(body: memoryview) -> bool:
    """Return whether nothing is there; who writes in pages fills the last one with zeros."""
    return not bytes(body).strip(b"\0\r\n ")


def _fits(header: _Header, body: memoryview) -> bool:
    """Return whether the body has exactly the size that a header claims."""
    if header.encoding == "ascii":
        return len(bytes(body).split()) == header.points * header.point_words
    if header.encoding == "binary":
        return len(body) == header.points * header.point_bytes
    return len(body) >= 8 and int(np.frombuffer(body[4:8], "<u4")[0]) == header.points * header.point_bytes


def _read_binary(header: _Header, body: memoryview, wanted: list[_Field]) -> list[NDArray]:
    needed = header.points * header.point_bytes
    # Whole points behind the last one are no rubbish.
    is_more = (len(body) - needed) % header.point_bytes == 0 and not _is_blank(body[needed:])
    if needed > len(body) or is_more:
        raise _Broken(f"POINTS is {header.points}, which takes {needed} bytes, but {len(body)} are there")
    return [
        np.ndarray(header.points, field.dtype, body, field.offset_bytes, (header.point_bytes,))
        for field in wanted
    ]


def _read_compressed(header: _Header, body: memoryview, wanted: list[_Field]) -> list[NDArray]:
    """Decompress the columns, which lie one after the other; PCL leaves the padding out."""
    if len(body) < 8:
        raise _Broken("the file ends before the sizes of the compressed data")
    compressed, plain = (int(size) for size in np.frombuffer(body[:8], dtype="<u4"))
    if compressed > len(body) - 8:
        raise _Broken(f"the compressed data take {compressed} bytes, but {len(body) - 8} are there")
    stored = header.fields
    if plain != header.points * header.point_bytes:
        stored = tuple(field for field in stored if field.name != _PADDING)
    expected = header.points * sum(field.size_bytes for field in stored)
    if plain != expected or plain > compressed * lzf.MOST_EXPANSION:
        raise _Broken(
            f"POINTS is {header.points}, which takes {expected} bytes, "
            f"but {compressed} compressed bytes are said to hold {plain}"
        )
    try:
        data = lzf.decompress(bytes(body[8 : 8 + compressed]), plain)
    except ValueError as error:
        raise _Broken(f"the compressed data are broken: {error}") from None
    starts = np.cumsum([0] + [header.points * field.size_bytes for field in stored])
    return [
        np.ndarray(header.points, field.dtype, data, int(starts[stored.index(field)]), (field.size_bytes,))
        for field in wanted
    ]


def _read_ascii(header: _Header, body: memoryview, wanted: list[_Field]) -> list[NDArray]:
    text = bytes(body)
    words = text.split()
    per_point = header.point_words
    row = text.lstrip().partition(b"\n")[0].split()
    if len(row) != per_point and len(row) < len(words):
        raise _Broken(f"a row has {counted(len(row), 'number')}, and FIELDS and COUNT name {per_point}")
    needed = header.points * per_point
    if needed != len(words):
        raise _Broken(
            f"POINTS is {header.points}, which takes {needed} numbers in rows of {per_point}, "
            f"but {len(words)} are there"
        )
    try:
        return [from_text(words[field.column :: per_point], field.dtype) for field in wanted]
    except (ValueError, OverflowError) as error:
        raise _Broken(f"a value is no number: {error}") from None


def from_text(words: list[bytes], dtype: np.dtype) -> NDArray:
    """Return (N,) of `dtype`; integers may be written with a point, and real numbers may be nan.

    Raises:
        ValueError, OverflowError: a word is no number, or none of this type.
    """
    try:
        values = np.fromiter(map(float, words), dtype=np.float64, count=len(words))
    except ValueError:
        words = [_WINDOWS_NAN.sub(b"nan", word) for word in words]
        values = np.fromiter(map(float, words), dtype=np.float64, count=len(words))
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    if not ((values >= limits.min) & (values <= limits.max)).all():
        raise ValueError(
            f"some do not fit into {counted(dtype.itemsize, 'byte')} of type {dtype.kind.upper()}"
        )
    return values.astype(dtype)
