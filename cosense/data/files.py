"""Reads the small files of a data set, and finds out quickly whether the large ones are there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import MissingFiles
from cosense.errors import CosenseError, read_file


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        CosenseError: the file is missing, not readable or not JSON.
    """
    try:
        return json.loads(read_file(path).decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CosenseError(f"{path}: broken or truncated JSON ({error}); download the file again") from None


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H,W,3) uint8 RGB.

    Raises:
        CosenseError: the file is missing, not readable or not an image.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise CosenseError(f"{path}: no such image (is that part of the data set unpacked?)") from None
    except OSError as error:
        raise CosenseError(f"{path}: cannot be read: {error.strerror}") from None
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if len(encoded) else None
    if image is None:
        raise CosenseError(f"{path}: not readable as an image; download the file again")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8, copy=False)


class Listing:
    """Says whether files exist, by listing each folder once instead of asking for each file."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def names(self, folder: Path | str) -> frozenset[str]:
        """Return the names in a folder, none if there is no such folder."""
        key = str(folder)
        if key not in self._names:
            try:
                self._names[key] = frozenset(os.listdir(key))
            except (FileNotFoundError, NotADirectoryError):
                self._names[key] = frozenset()
        return self._names[key]

    def has(self, path: Path | str) -> bool:
        """Return whether the file or folder exists."""
        folder, name = os.path.split(str(path))
        return name in self.names(folder)


def missing_files(root: Path, paths: Iterable[Path | str], listing: Listing) -> list[MissingFiles]:
    """Return the files among `paths` that do not exist, one entry for each folder."""
    asked: dict[str, set[str]] = {}
    for path in paths:
        folder, name = os.path.split(str(path))
        asked.setdefault(folder, set()).add(name)
    found = []
    for folder, names in sorted(asked.items()):
        absent = tuple(sorted(names - listing.names(folder)))
        if absent:
            found.append(MissingFiles(os.path.relpath(folder, root), absent, len(names)))
    return found
