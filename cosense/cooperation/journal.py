"""The results of a live run as JSON lines: written frame by frame, read by evaluation and viewer.

JSON keeps every bit of a double, so what is read equals what was fused. A run that was killed leaves at most
one broken last line, which is left out on reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosense.cooperation.receiver import FusionResult
from cosense.errors import CosenseError, read_file
from cosense.geometry.boxes import as_boxes
from cosense.messages.reports import PeerReport
from cosense.sensing.detections import Detections


@dataclass(frozen=True)
class JournalEntry:
    """One fused frame of a live run.

    Attributes:
        stamp_ns: measurement time of the ego's cloud.
        result: what came out.
        missing: senders that were waited for in vain.
        elapsed_ms: from the arrival of the ego's message to the result, waiting for others included.
        mode: how well the ego was helped, see `cosense.cooperation.mode`.
        mode_reason: why not better.
    """

    stamp_ns: int
    result: FusionResult
    missing: list[str]
    elapsed_ms: float
    mode: str
    mode_reason: str


class LineWriter:
    """Appends JSON objects to a file, one a line; each is on disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            CosenseError: it cannot be written.
        """
        try:
            self._file = path.open("a")
        except OSError as error:
            raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None

    def write(self, values: dict[str, Any]) -> None:
        """Append one object."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def to_values(entry: JournalEntry) -> dict[str, Any]:
    """Return an entry as it is written."""
    detections = entry.result.detections
    return {
        "stamp_ns": entry.stamp_ns,
        "boxes": detections.boxes.tolist(),
        "scores": detections.scores.tolist(),
        "labels": detections.labels.tolist(),
        "sources": detections.sources.tolist(),
        "peers": [vars(report) for report in entry.result.peers],
        "demand_bytes": dict(entry.result.demand_bytes),
        "missing": entry.missing,
        "elapsed_ms": entry.elapsed_ms,
        "mode": entry.mode,
        "mode_reason": entry.mode_reason,
    }


def read_journal(path: Path) -> list[JournalEntry]:
    """Read all entries, in the order in which they were fused.

    Raises:
        CosenseError: the file is missing or a line other than the last is broken.
    """
    return [_from_values(values) for values in read_lines(path)]


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file of JSON objects, one a line, without a last line that was not finished.

    Raises:
        CosenseError: the file is missing or a line other than the last is broken.
    """
    lines = read_file(path).decode().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines) and not line.endswith("\n"):
                return
            raise CosenseError(f"{path}: line {number} is not JSON: {error}") from None


def _from_values(values: dict[str, Any]) -> JournalEntry:
    detections = Detections(
        as_boxes(values["boxes"]),
        np.array(values["scores"], dtype=np.float32),
        np.array(values["labels"], dtype=np.int64),
        np.array(values["sources"], dtype=np.uint8),
    )
    peers = [PeerReport(**report) for report in values["peers"]]
    return JournalEntry(
        values["stamp_ns"],
        FusionResult(detections, peers, values["demand_bytes"]),
        values["missing"],
        values["elapsed_ms"],
        values["mode"],
        values["mode_reason"],
    )
