"""Pictures and tables of sweeps whose files are kept beside the models, some older than newer settings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from cosense.evaluation.tables import sweep_table
from cosense.viewer.sweep_plot import draw_sweep, interval_of, lines_of
from tests.conftest import REPOSITORY

KEPT = REPOSITORY / "models" / "cosense-lite" / "validation"


@pytest.mark.parametrize("curve", ["loss", "grid", "attack"])
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


def test_a_point_has_a_band_where_its_interval_is_known(tmp_path: Path) -> None:
    """Kind: how sure a difference is was computed, and a curve looks exact."""
    content = json.loads((KEPT / "loss.json").read_text())
    for point in content["points"]:
        point["difference_intervals"] = point["difference_interval"] and {"0.5": point["difference_interval"]}
    (alone, *_), *others = lines_of(content).values()
    for point in (point for points in others for point in points):
        low, high = interval_of(point, alone, "0.5")
        assert low <= 100 * point["ap"]["0.5"] <= high
        assert [low - 100 * alone["ap"]["0.5"], high - 100 * alone["ap"]["0.5"]] == pytest.approx(
            point["difference_interval"]
        )
    assert np.isnan(interval_of(others[0][0], alone, "0.7")).all()
    with_bands, without = tmp_path / "with.png", tmp_path / "without.png"
    draw_sweep(content, with_bands)
    for point in content["points"]:
        point["difference_intervals"] = None
    draw_sweep(content, without)
    green = np.array([0x2F, 0xD0, 0x8F]) * 0.18 + np.array([0x0B, 0x0F, 0x14]) * 0.82
    shaded = [
        (np.abs(imread(path)[..., :3] * 255 - green) < 3).all(axis=2).sum() for path in (with_bands, without)
    ]
    assert shaded[0] > 10 * shaded[1] + 1000
