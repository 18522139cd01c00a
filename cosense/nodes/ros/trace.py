"""How long each stage of a frame took in a node: for the diagnostics, and in a file for those who ask."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from pathlib import Path

import numpy as np
from rclpy.node import Node

from cosense.json_lines import LineWriter
from cosense.nodes.ros import process

# The diagnostics speak of so many frames.
_FRAMES = 100


class Stopwatch:
    """Splits the way of one frame through a node into stages.

    Attributes:
        stages_ms: duration of each stage by name, in their order; their sum is the time from `start_ns` to
            the last lap.
    """

    def __init__(self, start_ns: int) -> None:
        """Start at a time of `time.monotonic_ns`."""
        self.start_ns = start_ns
        self.stages_ms: dict[str, float] = {}
        self._last_ns = start_ns

    @property
    def total_ms(self) -> float:
        """Time of all stages."""
        return (self._last_ns - self.start_ns) / 1e6

    @property
    def end_ns(self) -> int:
        """When the last stage was over."""
        return self._last_ns

    def lap(self, stage: str, of_it_ms: float | None = None) -> None:
        """End a stage now; with `of_it_ms` so much of what has passed, the rest belongs to the next one."""
        now_ns = time.monotonic_ns() if of_it_ms is None else self._last_ns + int(of_it_ms * 1e6)
        self.stages_ms[stage] = (now_ns - self._last_ns) / 1e6
        self._last_ns = now_ns


class Stages:
    """The stages of the last frames, in numbers that are a second old at most."""

    def __init__(self) -> None:
        self._frames: deque[dict[str, float]] = deque(maxlen=_FRAMES)
        self._summary: dict[str, str] = {}
        self._summarised_s = -math.inf

    def add(self, watch: Stopwatch) -> None:
        """Take one frame."""
        self._frames.append({**watch.stages_ms, "processing": watch.total_ms})

    def summary(self) -> dict[str, str]:
        """Return median and 95th percentile of each stage as texts."""
        now_s = time.monotonic()
        if now_s - self._summarised_s >= 1:
            self._summarised_s, self._summary = now_s, self._summarise()
        return self._summary

    def _summarise(self) -> dict[str, str]:
        frames = list(self._frames)
        names = dict.fromkeys(name for frame in frames for name in frame)
        times_ms = {name: [frame[name] for frame in frames if name in frame] for name in names}
        return {
            f"{name} ms, p50 / p95": " / ".join(f"{value:.1f}" for value in np.percentile(spent, (50, 95)))
            for name, spent in times_ms.items()
        }


class Trace:
    """One JSON line for each frame of a node, where its parameter `trace` names a folder.

    The file is called after the node: /vehicle/agent writes vehicle-agent.jsonl.

    All times are of `time.monotonic_ns`, which is one for all processes of a machine.
    """

    def __init__(self, node: Node) -> None:
        """Declare the parameter."""
        folder = process.declare(
            node, "trace", "", "folder for how long each stage of each frame took; empty for none"
        )
        name = node.get_fully_qualified_name().strip("/").replace("/", "-")
        self._path = Path(folder) / f"{name}.jsonl" if folder else None
        self._lines: LineWriter | None = None
        # The thread that works writes what it has done, the one that listens what it had to drop.
        self._lock = threading.Lock()

    def write(self, stamp_ns: int, watch: Stopwatch | None = None, *, dropped: str | None = None) -> None:
        """Write what became of a frame: its stages, or why it was dropped."""
        if self._path is None:
            return
        line: dict[str, object] = {"stamp_ns": stamp_ns}
        if watch is not None:
            line |= {"start_ns": watch.start_ns, "end_ns": watch.end_ns, "stages_ms": watch.stages_ms}
        if dropped is not None:
            line["dropped"] = dropped
        with self._lock:
            if self._lines is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._lines = LineWriter(self._path)
            self._lines.write(line)

    def close(self) -> None:
        """Complete the file."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
