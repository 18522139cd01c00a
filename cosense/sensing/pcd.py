"""Point clouds in PCD files: versions .5 to .7 in ascii, binary and binary_compressed.

Fields are found by name, in any order, type and size, with any padding between them. What the header claims
is checked against the size of the file, so that a broken header causes an error and takes no memory.
VIEWPOINT is not applied: the points stay in the frame in which they are stored, as all readers of DAIR-V2X
leave them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, counted, nearest, read_file
from cosense.sensing import lzf

logger = logging.getLogger(__name__)

Encoding = Literal["binary", "ascii", "binary_compressed"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

_LONGEST_HEADER_BYTES = 1 << 16
_TYPES = {"F": (2, 4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8)}
_INTENSITY_NAMES = ("intensity", "i", "reflectivity")
_COLOR_NAMES = ("rgb", "rgba")
_PADDING = "_"


@dataclass(frozen=True)
class PointCloud:
    """One scan.

    Attributes:
        xyz: (N,3) float32 in metres, all finite.
        intensity: (N,) float32 in [0, 1]; zero if the file has none.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def points(self) -> NDArray[np.float32]:
        """(N,4) float32: x, y, z, intensity."""
        return np.column_stack([self.xyz, self.intensity])


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

    @property
    def point_bytes(self) -> int:
        return sum(field.size_bytes for field in self.fields)

    def find(self, *names: str) -> _Field | None:
        """Return the field with the first of these names that exists, None if none does."""
        by_name = {field.name: field for field in reversed(self.fields)}
        return next((by_name[name] for name in names if name in by_name), None)


class _Broken(Exception):
    """Describes what is wrong with a file, without naming it."""


def read_pcd(path: str | os.PathLike[str]) -> PointCloud:
    """Read a point cloud; points with a coordinate or an intensity that is not finite are dropped.

    The intensity is the field `intensity`, `i` or `reflectivity`, else the red channel of `rgb` (where
    OPV2V stores it), else zero; for its scale see `to_unit_range`.

    Raises:
        CosenseError: the file is missing, is no PCD file, is truncated, or lacks x, y or z.
    """
    content = read_file(Path(path))
    try:
        header = _parse_header(content)
        xyz, intensity = _read_columns(header, memoryview(content)[header.data_start :])
    except _Broken as broken:
        raise CosenseError(f"{path}: {broken}; fetch or write the file again") from None
    return point_cloud(xyz, intensity, path)


def write_pcd(
    path: str | os.PathLike[str],
    points: NDArray[np.floating],
    encoding: Encoding = "binary",
    *,
    comment: str = "",
) -> None:
    """Write a point cloud as PCD v0.7 with float32 fields.

    Args:
        path: path of the file.
        points: (N,4), x, y, z in metres and intensity in [0, 1].
        encoding: one of `ENCODINGS`.
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
    remark = f"# {comment}\n" if comment else ""
    header = (
        f"# .PCD v0.7 - Point Cloud Data file format\n{remark}"
        "VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\n"
        f"TYPE F F F F\nCOUNT 1 1 1 1\nWIDTH {len(points)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {len(points)}\nDATA {encoding}\n"
    )
    if encoding == "ascii":
        # Nine digits identify every float32.
        body = ("%.9g %.9g %.9g %.9g\n" * len(points) % tuple(points.reshape(-1).tolist())).encode()
    elif encoding == "binary":
        body = points.tobytes()
    else:
        plain = points.T.tobytes()
        stream = lzf.compress(plain)
        body = np.array([len(stream), len(plain)], dtype="<u4").tobytes() + stream
    try:
        Path(path).write_bytes(header.encode() + body)
    except OSError as error:
        raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None


def point_cloud(xyz: list[NDArray], intensity: NDArray | None, path: str | os.PathLike[str]) -> PointCloud:
    """Join columns (N,) to a cloud; points that are not finite are dropped, intensities scaled to [0, 1].

    Args:
        xyz: the columns x, y and z in metres.
        intensity: the intensities at their original scale, None for zeros.
        path: the file that they are from, for the log.
    """
    with np.errstate(over="ignore"):
        columns = np.empty((len(xyz[0]), 3), dtype=np.float32)
        for axis, column in enumerate(xyz):
            columns[:, axis] = column
    valid = np.isfinite(columns).all(axis=1)
    if intensity is None:
        return PointCloud(columns[valid], np.zeros(np.count_nonzero(valid), dtype=np.float32))
    valid &= np.isfinite(intensity)
    return PointCloud(columns[valid], to_unit_range(intensity[valid], path))


def to_unit_range(intensity: NDArray, path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Return intensities (N,) in [0, 1].

    Files do not state their scale: in DAIR-V2X it is 0 to 255 on the vehicle and 0 to 1 on the roadside. Real
    numbers up to 1 are taken to be scaled already; integers, and real numbers beyond 1, are divided by 255.

    Args:
        intensity: (N,) intensities of one cloud.
        path: source of the cloud, for the log.
    """
    highest = intensity.max(initial=0)
    if intensity.dtype.kind == "f" and highest <= 1:
        return np.clip(intensity, 0, 1).astype(np.float32)
    logger.info("%s: intensity up to %g divided by 255", path, highest)
    return (np.clip(intensity.astype(np.float64), 0, 255) / 255).astype(np.float32)


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
    if "POINTS" in entries:
        points = _counts(entries, "POINTS", 1, least=0)[0]
    elif "WIDTH" in entries:
        height = _counts(entries, "HEIGHT", 1, least=0)[0] if "HEIGHT" in entries else 1
        points = _counts(entries, "WIDTH", 1, least=0)[0] * height
    else:
        raise _Broken("the header has neither POINTS nor WIDTH")
    return _Header(_parse_fields(entries), points, encoding, start)


def _parse_fields(entries: dict[str, list[str]]) -> tuple[_Field, ...]:
    """Return the layout of a point; version .5 says COLUMNS and may omit SIZE, TYPE and COUNT of floats."""
    names = entries.get("FIELDS", entries.get("COLUMNS", []))
    if not names:
        raise _Broken("the header names no FIELDS")
    sizes = _counts(entries, "SIZE", len(names), least=1) if "SIZE" in entries else [4] * len(names)
    counts = _counts(entries, "COUNT", len(names), least=1) if "COUNT" in entries else [1] * len(names)
    types = [kind.upper() for kind in entries.get("TYPE", ["F"] * len(names))]
    if len(types) != len(names):
        raise _Broken(f"TYPE has {counted(len(types), 'entry')} for {len(names)} FIELDS")
    fields: list[_Field] = []
    offset_bytes, column = 0, 0
    for name, kind, size, count in zip(names, types, sizes, counts, strict=True):
        if size not in _TYPES.get(kind, ()):
            raise _Broken(f"field '{name}' has TYPE {kind} and SIZE {size}, expected F 4, U 1 or the like")
        fields.append(_Field(name.lower(), np.dtype(f"<{kind.lower()}{size}"), count, offset_bytes, column))
        offset_bytes += size * count
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


def _read_columns(header: _Header, body: memoryview) -> tuple[list[NDArray], NDArray | None]:
    """Return x, y, z and the intensity, each (N,) in the type of its field; no intensity is None."""
    fields = [field for field in map(header.find, "xyz") if field is not None]
    if len(fields) < 3:
        names = " ".join(field.name for field in header.fields)
        raise _Broken(f"FIELDS are '{names}', expected x, y and z among them")
    if header.points == 0:
        return [np.zeros(0, dtype=np.float32)] * 3, None
    intensity = header.find(*_INTENSITY_NAMES)
    color = header.find(*_COLOR_NAMES) if intensity is None else None
    fields += [field for field in (intensity, color) if field is not None]
    read = {"ascii": _read_ascii, "binary": _read_binary, "binary_compressed": _read_compressed}
    columns = read[header.encoding](header, body, fields)
    if color is not None:
        columns[3] = _red(columns[3], color)
    return columns[:3], columns[3] if len(columns) == 4 else None


def _red(color: NDArray, field: _Field) -> NDArray:
    """Return the red channel of packed 0xAARRGGBB, in [0, 1]; a field of floats holds the same bits."""
    if field.dtype.itemsize != 4:
        raise _Broken(f"field '{field.name}' has SIZE {field.dtype.itemsize}, expected 4")
    return (np.ascontiguousarray(color).view(np.uint32) >> 16 & 255).astype(np.float32) / 255


def _read_binary(header: _Header, body: memoryview, wanted: list[_Field]) -> list[NDArray]:
    needed = header.points * header.point_bytes
    if needed > len(body):
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
    words = bytes(body).split()
    per_point = sum(field.count for field in header.fields)
    needed = header.points * per_point
    if needed > len(words) or len(words) % per_point:
        raise _Broken(
            f"POINTS is {header.points}, which takes {needed} numbers in rows of {per_point}, "
            f"but {len(words)} are there"
        )
    try:
        return [_from_text(words[field.column : needed : per_point], field.dtype) for field in wanted]
    except (ValueError, OverflowError) as error:
        raise _Broken(f"a value is no number: {error}") from None


def _from_text(words: list[bytes], dtype: np.dtype) -> NDArray:
    """Return (N,) of `dtype`; integers may be written with a point, and real numbers may be nan."""
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
