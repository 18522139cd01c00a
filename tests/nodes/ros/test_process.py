"""What every process does: what the diagnostics remember."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from cosense.nodes.ros import process


def test_what_has_been_well_again_for_a_while_is_forgotten(monkeypatch):
    """A counter that never goes back makes a node ill for ever after one bad frame."""
    now_s = 100.0
    monkeypatch.setattr("cosense.nodes.ros.process.time.monotonic", lambda: now_s)
    lately = process.Lately()
    found = []
    for second in range(30):
        found.append(lately.growth({"failed": (second >= 3) + (second >= 5)})["failed"])
        now_s += 1.0
    assert found == [0] * 3 + [1] * 2 + [2] * 8 + [1] * 2 + [0] * 15
