"""Tables say what tells runs apart, and what they have in common only once."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.tables import (
    WholeTable,
    comparison,
    comparison_view,
    print_whole,
    result_view,
    sweep_view,
)
from cosense.sensing.objects import ObjectClass
from tests.evaluation.scenes import BUS_SIZE, Scenes, box, objects, point_is_car, two_agents

POINT = {"model": "tiny", "fusion": "hybrid", "budget_bytes": 300, "ap": {"0.3": 0.5, "0.5": 0.4, "0.7": 0.1}}
SWEEP = {
    **{"curve": "budget", "frames": 8, "protocol": "simulated", "protocol_hash": "f0550a64dd71", "seed": 0},
    "dataset": {"kind": "simulated by cosense (layout of dair-v2x-c)"},
    "models": ["a-model-with-quite-a-long-name", "another-model-with-a-long-name"],
    "points": [
        POINT | more | {"bytes_per_frame": {"mean": 1234.0}, "difference_interval": interval}
        for more, interval in (
            ({"model": "a-model-with-quite-a-long-name", "fusion": "none", "difference": None}, None),
            ({"model": "another-model-with-a-long-name", "difference": -3.0}, [-4.0, -2.0]),
            ({"budget_bytes": None, "difference": 3.0}, [2.0, 4.0]),
        )
    ],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """None, late and early fusion over the same three frames."""
    return [make(tmp_path_factory.mktemp("run"), "simulated", fusion) for fusion in ("none", "late", "early")]


def make(out: Path, protocol: str, fusion: Any, frames: list[CooperativeFrame] | None = None) -> Any:
    dataset = Scenes(list(frames or [two_agents(index) for index in range(3)]))
    return evaluate(dataset, point_is_car(), load_protocol(protocol), fusion=fusion, out=out)


def printed(view: Any, width: int | None = None) -> str:
    """Return what a terminal of this width shows, or what a pipe gets."""
    written = io.StringIO()
    console = Console(file=written, width=width or 80, force_terminal=width is not None, no_color=True)
    print_whole(console, view)
    return re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())


def result(metrics: dict[str, Any], width: int | None = None) -> str:
    return printed(result_view(metrics, load_protocol(metrics["protocol"])), width)


def cells(runs: list[dict[str, Any]]) -> tuple[str, list[str], list[tuple[str, ...]]]:
    """Return title, headings and rows of a comparison."""
    title, table = comparison(runs)
    return title, list(table.headings), [tuple(row) for row in table.rows]


def test_fusions_side_by_side(runs: list[dict[str, Any]]) -> None:
    runs = [run | {"ap": {"0.5": ap}} for run, ap in zip(runs, (0.5, 0.875, None), strict=True)]
    title, headings, rows = cells(runs)
    assert "protocol simulated, hash f0550a64dd71" in title
    assert "fusion" not in title
    assert headings[:5] == ["fusion", "AP@0.5", "AP 3D@0.5", "AP near@0.5", "kB/frame"]
    assert [row[:2] for row in rows] == [("none", "50.0"), ("late", "87.5"), ("early", "–")]
    assert [row[4] for row in rows[:2]] == ["0", f"{runs[1]['bytes_per_frame']['mean'] / 1000:.3g}"]


@pytest.mark.parametrize("width", [60, 80, 120, None])
def test_nothing_of_a_table_is_cut_off(runs: list[dict[str, Any]], width: int | None) -> None:
    """At any width and in a pipe: no heading loses its threshold, no cell its digits, none is empty."""
    views = [comparison_view(runs), result_view(runs[1], load_protocol("simulated")), sweep_view(SWEEP)]
    for view in views:
        text = printed(view, width)
        assert "…" not in text
        tables = [part for part in view.renderables if isinstance(part, WholeTable)]
        assert tables
        for table in tables:
            assert all(cell.strip() for row in table.rows for cell in row)
            for word in (*table.headings, *(cell for row in table.rows for cell in row)):
                assert word in text
        if width is not None:
            assert max(map(len, text.splitlines())) <= width
    _, headings, rows = cells(runs)
    lines = printed(views[0]).splitlines()
    assert any(line.split() == " ".join(headings).split() for line in lines)
    assert any(line.split() == " ".join(rows[1]).split() for line in lines)


def test_a_table_of_long_names_and_many_columns_loses_nothing_at_any_width() -> None:
    """The worst that a protocol of somebody's own can ask for: long names of classes, ten thresholds."""
    thresholds = [f"@{0.5 + step / 20:g}" for step in range(10)]
    name = "articulated_public_transport_vehicles_of_any_kind"
    table = WholeTable(["AP in %, BEV", *thresholds], [[name, *("100.0" for _ in thresholds)]])
    for width in (40, 60, 80):
        lines = printed(table, width).splitlines()
        assert max(map(len, lines)) <= width
        words = " ".join(lines).split()
        assert [word for word in words if word.startswith("@")] == thresholds
        assert words.count("100.0") == len(thresholds)
        assert name in "".join(line.split("  ")[0].strip() for line in lines)


def test_a_recall_that_the_rules_make_zero_is_explained(tmp_path: Path) -> None:
    """A number that says something about the protocol and not about the model."""
    frame = two_agents(0)
    buses = objects([box(10, size=BUS_SIZE)], [ObjectClass.BUS])
    metrics = make(tmp_path, "opencood", "late", [replace(frame, ground_truth=buses)])
    assert metrics["recall"]["bus"]["0.3"] == 0.0
    reason = "opencood drops detections that extend over more than 6 m along x or y: buses and other"
    assert reason in result(metrics)
    without = metrics | {"recall_long_vehicles": {"num_ground_truth": 0, "0.3": None}}
    assert reason not in result(without)


def test_every_figure_has_its_unit(runs: list[dict[str, Any]]) -> None:
    """Percentiles, bands of distance, and what the columns of a table are measured in."""
    spread = {"mean": 2000.0, "p50": 1900.0, "p95": 2100.0}
    metrics = runs[1] | {"bytes_per_frame": spread, "ms_per_frame": spread}
    text = result(metrics)
    assert "sent 2 kB a frame (p50 1.9 kB, p95 2.1 kB)" in text
    assert "took 1900 ms a frame (p95 2100 ms)" in text
    for part in ("AP in %, BEV", "AP in %, 3D", "recall in %", "vehicle, 50-100 m"):
        assert part in text
    assert "AP in %, kB a frame and collaborator" in printed(comparison_view(runs))
    said = printed(sweep_view(SWEEP))
    assert "AP in %, bytes a frame and collaborator, gain over the ego alone in points of AP" in said
    assert "budget B" in said


def test_what_differs_becomes_a_column(runs: list[dict[str, Any]]) -> None:
    noise = {"position_m": 0.2, "heading_deg": 0.4}
    other = runs[1] | {"protocol": "opencood", "protocol_hash": "152acf716563", "budget_bytes": 900}
    _, headings, (first, second) = cells([runs[1], other | {"pose_noise": noise}])
    assert headings[:5] == ["protocol", "hash", "budget", "pose noise", "AP@0.3"]
    assert first[:4] == ("simulated", "f0550a64dd71", "–", "–")
    assert second[:4] == ("opencood", "152acf716563", "900 B", "0.2 m 0.4°")


def test_one_run_alone_is_named_by_its_fusion(runs: list[dict[str, Any]]) -> None:
    assert cells(runs[:1])[1][:2] == ["fusion", "AP@0.3"]


def test_result_shows_bands_classes_and_cost(runs: list[dict[str, Any]], tmp_path: Path) -> None:
    text = result(runs[1] | {"frames_skipped": 2})
    for part in (
        "protocol simulated, hash f0550a64dd71",
        "vehicle, near",
        "vehicle, 50-100",
        "pedestrian",
        "@0.25",
        "@0.7",
        "vehicles above 6 m",
        "2 frames could not be read",
    ):
        assert part in text
    assert "3D" not in result(make(tmp_path, "opencood", "late"))
