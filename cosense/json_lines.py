"""JSON lines: files that hold one JSON object a line, written while a program runs and readable at any time.

JSON keeps every bit of a double, so what is read equals what was written. A program that was killed leaves at
most one unfinished last line, which is left out on reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cosense.errors import CosenseError, open_file, parse_json


class LineWriter:
    """Appends JSON objects to a file, one a line; each is with the system when `write` returns."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            CosenseError: it cannot be written.
        """
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None
        self._path = path

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one object.

        Raises:
            CosenseError: the disk is full, for example; the lines before are whole.
        """
        left = memoryview((json.dumps(values) + "\n").encode())
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise CosenseError(
                f"{self._path}: cannot be written: {error.strerror}; the lines before are kept"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file one by one, without a last line that was not finished.

    Raises:
        CosenseError: the file is missing, or a line other than the last is broken.
    """
    with open_file(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                values = parse_json(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise CosenseError(
                    f"{path}: line {number} is not JSON: {error}; delete it and all below"
                ) from None
            yield values
