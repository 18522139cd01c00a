"""Pictures and tables of sweeps whose files are kept beside the models, some older than newer settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosense.evaluation.tables import sweep_table
from cosense.viewer.sweep_plot import draw_sweep, lines_of
from tests.conftest import REPOSITORY

KEPT = REPOSITORY / "models" / "cosense-lite" / "validation"


@pytest.mark.parametrize("curve", ["loss", "grid"])
def test_a_kept_sweep_is_drawn_and_shown(tmp_path: Path, curve: str) -> None:
    content = json.loads((KEPT / f"{curve}.json").read_text())
    for point in content["points"]:
        point.pop("range_m", None)
    draw_sweep(content, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000
    assert len(sweep_table(content).rows) == len(content["points"])


def test_points_of_one_fusion_are_one_line() -> None:
    lines = lines_of(json.loads((KEPT / "loss.json").read_text()))
    assert list(lines) == ["ego alone", "late", "hybrid"]
    assert [point["loss"] for point in lines["hybrid"]] == [0.0, 0.1, 0.5, 0.9, 1.0]
