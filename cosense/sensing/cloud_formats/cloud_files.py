"""Reads a point cloud from a file of any format, which its ending names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cosense.errors import CosenseError, open_file
from cosense.sensing.cloud import PointCloud, RawCloud, read_alone
from cosense.sensing.cloud_formats.number_tables import read_raw_bin, read_raw_npy
from cosense.sensing.cloud_formats.pcd import read_raw_pcd
from cosense.sensing.cloud_formats.ply import read_raw_ply

_TABLES = {".bin": read_raw_bin, ".npy": read_raw_npy}
_NAMED = {".pcd": read_raw_pcd, ".ply": read_raw_ply}
SUFFIXES = (*_NAMED, *_TABLES)
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"BZh": "bunzip2",
    b"PK\x03\x04": "unzip",
}
_LFS_POINTER = b"version https://git-lfs"


def read_cloud(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> PointCloud:
    """Read a cloud that belongs to no sequence.

    Raises:
        CosenseError: as `read_raw_cloud`, or the coordinates are no metres.
    """
    return read_alone(read_raw_cloud(path, columns))


def read_raw_cloud(path: str | os.PathLike[str], columns: Sequence[str] = ()) -> RawCloud:
    """Read a cloud as it is stored.

    Args:
        path: a file with one of `SUFFIXES`.
        columns: names of the columns of a table; none to tell them by the values.

    Raises:
        CosenseError: the file cannot be read as its ending says, or the columns of a file are named that has
            names of its own.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    with open_file(path) as stream:
        start = stream.read(len(_LFS_POINTER))
    if not start:
        raise CosenseError(f"{path}: the file is empty; fetch or write it again")
    if start == _LFS_POINTER:
        raise CosenseError(f"{path}: is a pointer of Git LFS; fetch the cloud itself with `git lfs pull`")
    for magic, tool in _COMPRESSED.items():
        if start.startswith(magic):
            raise CosenseError(f"{path}: is compressed; unpack it first, as with `{tool} {path.name}`")
    if suffix in _TABLES:
        return _TABLES[suffix](path, columns)
    if suffix not in _NAMED:
        raise CosenseError(f"{path}: no file of a cloud; expected one that ends in {', '.join(SUFFIXES)}")
    if columns:
        raise CosenseError(f"{path}: names its fields itself; leave out the names of the columns")
    return _NAMED[suffix](path)
