"""What every benchmark shares: the minimum over repeats, and one result file that names the machine.

The minimum is what the code costs; everything above it is what else the machine was doing.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

RESULTS = Path(__file__).resolve().parents[1] / "results" / "benchmarks"


def measure(function: Callable[[], Any], repeats: int = 20) -> float:
    """Return the least wall time in milliseconds of `repeats` calls, after one call to warm up."""
    function()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def measure_processor(function: Callable[[], Any], repeats: int = 5) -> float:
    """Return the least processor time in milliseconds that this thread spends on one of `repeats` calls."""
    times_s = []
    for _ in range(repeats):
        start = time.thread_time()
        function()
        times_s.append(time.thread_time() - start)
    return min(times_s) * 1e3


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, cores, threads and library versions."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


def write(name: str, rows: Sequence[Mapping[str, Any]], data: str = "simulated by cosense") -> Path:
    """Print the rows and write them to results/benchmarks/<name>.json with the command and the machine.

    Args:
        name: of the benchmark, without suffix.
        rows: one mapping a figure, e.g. {"job": "iou 500x500", "ms": 4.7, "limit_ms": 30}.
        data: what made the data that were measured on.
    """
    print(f"{name} on {_cpu_name()}, {torch.get_num_threads()} threads")
    for row in rows:
        print("  " + "  ".join(f"{key}={_short(value)}" for key, value in row.items()))
    command = shlex.join(["python", *sys.argv])
    report = {
        "benchmark": name,
        "command": command,
        "data": data,
        "machine": machine(),
        "rows": [dict(row) for row in rows],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    return path


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cpu_name() -> str:
    """Return the processor's name as the kernel gives it; `platform` knows only its architecture on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
