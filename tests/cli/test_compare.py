"""The verb: table, files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.runs.runner import evaluate
from tests.cli.program import run_here
from tests.evaluation.scenes import Scenes, point_is_car, two_agents


def test_two_runs_are_shown_and_written_beside_each_other(tmp_path: Path) -> None:
    frames = [two_agents(seed) for seed in range(3)]
    folders = [tmp_path / "none", tmp_path / "early"]
    for folder in folders:
        evaluate(
            Scenes(list(frames)),
            point_is_car(),
            load_protocol("opencood"),
            fusion=folder.name,
            out=folder,  # type: ignore[arg-type]
        )
    result = run_here("compare", *map(str, folders), "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert "+50.0" in result.stdout
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    assert content["command"].startswith("cosense compare")
    assert content["runs"][1]["differences"]["0.5"] == 50.0
    assert (tmp_path / "out/comparison.png").stat().st_size > 10_000
    alone = run_here("compare", str(folders[0]))
    assert (alone.returncode, "name two folders or more" in alone.stderr) == (2, True)
