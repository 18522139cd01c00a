"""Reads the small files of a data set, and finds out whether all of them are there, and whole.

YAML of other programs may hold objects of Python: tuples and numbers and arrays of numpy, which PyYAML writes
for whoever dumps them as they are. These are read as tuples, numbers and lists, without running anything; an
object of any other kind becomes an `Unreadable`, which hurts only where somebody needs its value.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from cosense.config import YAML_LOADER, load_yaml
from cosense.data.dataset import Dataset, MissingFiles
from cosense.errors import CosenseError, parse_json, read_file
from cosense.sensing.cloud_formats.cloud_files import SUFFIXES, read_raw_cloud


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        CosenseError: the file is missing, not readable or not JSON.
    """
    try:
        return parse_json(read_file(path).decode("utf-8-sig"))
    except ValueError as error:
        raise CosenseError(f"{path}: broken or truncated JSON ({error}); download the file again") from None


def read_yaml(path: Path) -> Any:
    """Read a YAML file that another program has written; see the module for objects of Python.

    Raises:
        CosenseError: the file is missing, not readable or not YAML.
    """
    return load_yaml(path, _ForeignLoader)


@dataclass(frozen=True)
class Unreadable:
    """A value of a YAML file that is an object of another program, by its tag."""

    tag: str


class _ForeignLoader(YAML_LOADER):
    """Reads objects of Python as plain values."""

    def read_object(self, tag: str, node: yaml.Node) -> Any:
        """Return the value of a node with a tag that is not of YAML."""
        if isinstance(node, yaml.SequenceNode):
            values = self.construct_sequence(node, deep=True)
            if tag == "python/tuple":
                # It may be a key.
                return tuple(values)
            if tag == "python/list":
                return values
            if tag.endswith("collections.OrderedDict"):
                return dict(*values)
            if tag.endswith(".scalar"):
                return _numbers(*values)[0].item()
        elif isinstance(node, yaml.MappingNode):
            content = self.construct_mapping(node, deep=True)
            if tag == "python/dict":
                return content
            if tag.endswith("numpy.dtype"):
                return np.dtype(content["args"][0]).newbyteorder(content["state"][1])
            if tag.endswith("._reconstruct"):
                _, shape, dtype, is_fortran, data = content["state"]
                return _numbers(dtype, data).reshape(shape, order="F" if is_fortran else "C").tolist()
        elif tag in ("python/float", "python/int", "python/long"):
            return float(node.value)
        elif tag in ("python/str", "python/unicode"):
            return str(node.value)
        return Unreadable(tag)

    def read_foreign(self, tag: str, node: yaml.Node) -> Any:
        """Return the value of a node with a tag that is not of YAML, whatever it holds."""
        try:
            return self.read_object(tag, node)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return Unreadable(tag)


# What looks like a date may be none, and nobody needs one.
_ForeignLoader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
_ForeignLoader.add_multi_constructor("tag:yaml.org,2002:", _ForeignLoader.read_foreign)
_ForeignLoader.add_multi_constructor("", _ForeignLoader.read_foreign)


def _numbers(dtype: Any, data: bytes) -> NDArray:
    """Return numbers (N,) from their bytes."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError(f"{dtype} is no type of numbers")
    return np.frombuffer(data, dtype)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H,W,3) uint8 RGB.

    Raises:
        CosenseError: the file is missing, not readable or not an image.
    """
    try:
        if not path.exists():
            raise CosenseError(f"{path}: no such image (is that part of the data set unpacked?)")
        if not path.is_file():
            raise CosenseError(f"{path}: cannot be read: it is no file")
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise CosenseError(f"{path}: cannot be read: {error.strerror}") from None
    if is_cut_off(encoded.tobytes()):
        raise CosenseError(f"{path}: the image is cut off; download the file again")
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if image is None:
        raise CosenseError(f"{path}: not readable as an image; download the file again")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8, copy=False)


def is_cut_off(encoded: bytes) -> bool:
    """Return whether the end of a JPEG or PNG is missing; some versions of OpenCV fill the rest with grey."""
    if encoded.startswith(b"\x89PNG"):
        return b"IEND" not in encoded
    return encoded.startswith(b"\xff\xd8") and encoded.rfind(b"\xff\xd9") < encoded.rfind(b"\xff\xda")


_READERS: dict[str, Callable[[Path], Any]] = {
    **dict.fromkeys(SUFFIXES, read_raw_cloud),
    **dict.fromkeys((".png", ".jpg", ".jpeg"), read_image),
    **{".json": read_json, ".yaml": read_yaml},
}


def broken_files(dataset: Dataset, paths: Iterable[Path], listing: Listing) -> list[str]:
    """Read every file and every frame of a data set, and return one line for each that cannot be read.

    Args:
        dataset: the data set.
        paths: its files; what is missing among them is no part of the answer.
        listing: says which are there.
    """
    lines: dict[str, None] = {}
    missing = set()
    for path in dict.fromkeys(paths):
        read = _READERS.get(path.suffix.lower())
        if not listing.has(path):
            missing.add(str(path))
        if read is None or str(path) in missing:
            continue
        try:
            read(path)
            if read is read_yaml and not read_file(path).endswith(b"\n"):
                raise CosenseError(f"{path}: ends within a line, it is cut off; download the file again")
        except CosenseError as error:
            lines[str(error)] = None
    lines.update((line, None) for line in broken_frames(dataset) if line.split(": ")[0] not in missing)
    return list(lines)


def broken_frames(dataset: Dataset) -> Iterator[str]:
    """Read every frame of a data set and yield what is wrong with those that cannot be read."""
    for index in range(len(dataset)):
        try:
            dataset[index]
        except CosenseError as error:
            yield str(error)


class Listing:
    """Says whether files exist, by listing each folder once instead of asking for each file.

    An empty file is what an interrupted copy leaves, and counts as missing.
    """

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}
        self._empty: dict[str, frozenset[str]] = {}

    def names(self, folder: Path | str) -> frozenset[str]:
        """Return the names of the folders and of the files with content in a folder, none if it is none."""
        key = str(folder)
        if key not in self._names:
            names: set[str] = set()
            empty: set[str] = set()
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(key) as entries:
                for entry in entries:
                    # Hidden files are no data: macOS leaves one for each file on other file systems.
                    if entry.name.startswith("."):
                        continue
                    # A link that leads nowhere is no file.
                    with contextlib.suppress(FileNotFoundError):
                        is_full = entry.is_dir() or entry.stat().st_size > 0
                        (names if is_full else empty).add(entry.name)
            self._names[key], self._empty[key] = frozenset(names), frozenset(empty)
        return self._names[key]

    def empty(self, folder: Path | str) -> frozenset[str]:
        """Return the names of the files in a folder that are there, but empty."""
        self.names(folder)
        return self._empty[str(folder)]

    def has(self, path: Path | str) -> bool:
        """Return whether the file, with content, or the folder exists."""
        folder, name = os.path.split(str(path))
        return name in self.names(folder)


def missing_files(root: Path, paths: Iterable[Path | str], listing: Listing) -> list[MissingFiles]:
    """Return the files among `paths` that do not exist or are empty, one entry for each folder."""
    asked: dict[str, set[str]] = {}
    for path in paths:
        folder, name = os.path.split(str(path))
        asked.setdefault(folder, set()).add(name)
    found = []
    for folder, names in sorted(asked.items()):
        absent = tuple(sorted(names - listing.names(folder)))
        if absent:
            empty = len(listing.empty(folder).intersection(absent))
            found.append(MissingFiles(os.path.relpath(folder, root), absent, len(names), empty))
    return found
