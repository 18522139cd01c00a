"""Tables say what tells runs apart, and what they have in common only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.tables import comparison_table, result_view
from tests.evaluation.scenes import Scenes, point_is_car, two_agents


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """None, late and early fusion over the same three frames."""
    return [make(tmp_path_factory.mktemp("run"), "simulated", fusion) for fusion in ("none", "late", "early")]


def make(out: Path, protocol: str, fusion: Any) -> dict[str, Any]:
    dataset = Scenes([two_agents(index) for index in range(3)])
    return evaluate(dataset, point_is_car(), load_protocol(protocol), fusion=fusion, out=out)


def printed(view: Any) -> str:
    console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(view)
    return console.export_text()


def cells(runs: list[dict[str, Any]]) -> tuple[str, list[str], list[tuple[str, ...]]]:
    """Return title, headings and rows of a comparison."""
    table = comparison_table(runs)
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    headings = [str(column.header) for column in table.columns]
    return str(table.title), headings, list(zip(*columns, strict=True))


def test_fusions_side_by_side(runs: list[dict[str, Any]]) -> None:
    runs = [run | {"ap": {"0.5": ap}} for run, ap in zip(runs, (0.5, 0.875, None), strict=True)]
    title, headings, rows = cells(runs)
    assert "protocol simulated, hash f0550a64dd71" in title
    assert "fusion" not in title
    assert headings[:5] == ["fusion", "AP@0.5", "AP 3D@0.5", "AP near@0.5", "kB/frame"]
    assert [row[:2] for row in rows] == [("none", "50.0"), ("late", "87.5"), ("early", "–")]
    assert [row[4] for row in rows[:2]] == ["0", f"{runs[1]['bytes_per_frame']['mean'] / 1000:.3g}"]


def test_nothing_of_a_table_is_cut_off(runs: list[dict[str, Any]]) -> None:
    text = printed(comparison_table(runs))
    title, headings, rows = cells(runs)
    for cell in (*title.split(), *headings, *(cell for row in rows for cell in row)):
        assert cell in text


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
    text = printed(result_view(runs[1] | {"frames_skipped": 2}))
    for part in (
        "protocol simulated, hash f0550a64dd71",
        "vehicle, near",
        "vehicle, 50-100",
        "pedestrian",
        "BEV@0.25",
        "3D@0.7",
        "vehicles above 6 m",
        "2 frames could not be read",
    ):
        assert part in text
    assert "3D@" not in printed(result_view(make(tmp_path, "opencood", "late")))
