"""How soon a node is there: who runs no network does not wait for PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

# Each takes as long as everything else that such a node imports.
SLOW = {"torch", "scipy.stats", "scipy.optimize", "matplotlib"}


def test_who_plays_records_or_passes_on_imports_nothing_that_takes_long():
    nodes = ", ".join(f"cosense.nodes.{name}" for name in ("player", "recorder", "channel"))
    code = f"import sys, {nodes}; print(*{SLOW!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
