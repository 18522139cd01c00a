"""Scripts of benchmarks/ that make tables of figures: what they run, and what they write of what came out."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main

from cosense.cli.main import app
from cosense.cli.simulate import parse_families
from cosense.data import open_dataset
from cosense.evaluation.sweep.point import Point
from cosense.simulation import UNSEEN_FAMILIES
from tests.conftest import REPOSITORY
from tests.data.test_frame_pairs import drive
from tests.evaluation.cooperators import tiny_model
from tests.threads import one_thread

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import real_frame_tables
import real_frames
import report
import validation
import validation_tables

__all__ = ["one_thread"]

ERRORS = (None, "literature", "dair")


def sweep_of_conditions(better: float = 0.0) -> dict[str, Any]:
    """Return a sweep as `cosense sweep` writes it: each fusion a point of AP better than the one before."""
    points = []
    for number, (_, fusion, registration) in enumerate(validation_tables.ROWS):
        for error_number, error in enumerate(ERRORS if fusion != "none" else ERRORS[:1]):
            ap = 0.5 + better + number / 100 - error_number / 10
            sent = 0.0 if fusion == "none" else 1000.0 * number
            points.append(
                {
                    **vars(Point("cosense-lite", fusion, registration=registration, pose_error=error)),
                    "ap": {"0.3": ap + 0.2, "0.5": ap, "0.7": ap - 0.2},
                    "ap_deviation": {"0.3": 0.0, "0.5": 0.03, "0.7": 0.01},
                    "bytes_per_frame": {"mean": sent, "p50": sent, "p95": 2 * sent},
                    "difference": None if fusion == "none" else number,
                }
            )
    weights = (REPOSITORY / "models" / "cosense-lite" / "weights.safetensors").read_bytes()
    identity = {"weights_sha256": hashlib.sha256(weights).hexdigest(), "dtype": "torch.float32"}
    return {
        "command": "cosense sweep pose-error",
        "protocol": "simulated",
        "protocol_hash": "0123456789ab",
        "dataset": {"kind": "simulated by cosense (layout of dair-v2x-c)", "path": "results/data"},
        "seed": 0,
        "frames": 168,
        "sequences": 24,
        "models": {"cosense-lite": identity},
        "points": points,
    }


def rows_of(page: str) -> dict[str, list[str]]:
    """Return the cells of each row of a table by its first; of a table in parts those of the first part."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in reversed(lines)}


def test_the_compact_table_is_the_mean_of_the_families() -> None:
    contents = [sweep_of_conditions(better) for better in (0.0, 0.03, 0.06)]
    page = validation_tables.overview(*contents)
    rows = rows_of(page)
    assert list(rows)[:-2] == list(reversed(validation_tables.COMPACT))
    # The same under all errors, and nothing is sent.
    assert rows["ego alone"] == ["53.0 / 33.0"] * 3 + ["0", "0"]
    assert rows["hybrid + registration"] == ["60.0 / 40.0", "50.0 / 30.0", "40.0 / 20.0", "7", "14"]
    assert page.startswith(
        "Simulated by cosense: mean of T-junctions, roundabouts, underpasses, 504 frames of 72"
    )
    # Three independent means.
    assert f"by {3 / np.sqrt(3):.1f} points" in page


def test_every_family_has_its_row_and_what_is_worse_than_alone_is_said() -> None:
    contents = [sweep_of_conditions(better) for better in (0.0, 0.03, 0.06, 0.09)]
    page = validation_tables.families(*contents)
    rows = rows_of(page)
    assert list(rows)[:-2] == ["unseen LiDARs, all three", "underpasses", "roundabouts", "T-junctions"]
    assert rows["underpasses"] == ["56.0 / 36.0", "37.0 / 17.0", "42.0 / 22.0", "43.0 / 23.0"]
    assert "Simulated. In one family hybrid with registration is 13.0 points below the ego alone." in page


def test_a_family_in_full_says_how_sure_each_figure_is() -> None:
    page = validation_tables.conditions("roundabout", sweep_of_conditions())
    assert "168 frames of 24 sequences of results/data" in page
    assert "cosense sweep pose-error" in page
    cells = [line for line in page.splitlines() if line.startswith("| late |")]
    assert "51.0 ± 3.0 | 31.0 ± 1.0 | 41.0 ± 3.0 | 21.0 ± 1.0" in cells[0]
    assert cells[-1].endswith("| 1 | 2 |")


def test_figures_of_other_weights_are_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind: weights are trained again, and the README goes on with figures of those before."""
    monkeypatch.setattr(validation_tables, "KEPT", tmp_path)
    make = validation_tables.of_sweeps(["underpass"], lambda content: f"{content['frames']} frames")
    pending = "To be measured with the weights that ship: `python benchmarks/validation.py underpass`.\n"
    assert make() == pending
    content = sweep_of_conditions()
    (tmp_path / "underpass.json").write_text(json.dumps(content))
    assert make() == "168 frames"
    content["models"]["cosense-lite"]["weights_sha256"] = "ab" * 32
    (tmp_path / "underpass.json").write_text(json.dumps(content))
    assert make() == pending


def test_names_choose_sweeps() -> None:
    assert validation.chosen([]) == list(validation.SWEEPS)
    assert validation.chosen(["loss", "conditions", "roundabout"]) == ["loss", *validation_tables.CONDITIONS]
    with pytest.raises(ValueError, match="no sweep 'condition', did you mean 'conditions'"):
        validation.chosen(["condition"])


def test_every_command_of_the_validation_is_one_that_the_program_takes() -> None:
    out = Path("results")
    commands = [validation.sweep_of(name, out, frames=3) for name in validation.SWEEPS]
    commands += [validation.simulation(name, out) for name in validation.DATA]
    verbs = {verb: typer.main.get_command(app).get_command(None, verb) for verb in ("simulate", "sweep")}
    for verb, *words in commands:
        given = verbs[verb].make_context(verb, words).params
        if verb == "sweep":
            assert (given["limit"], given["data"].parent) == (3, out)
        else:
            assert set(parse_families(given["scene"])) <= set(UNSEEN_FAMILIES)


def test_sections_of_the_page_that_were_not_measured_again_stay() -> None:
    page = "# Benchmarks\n\nMade.\n\n## Detection\n\n### budget\n\n| a |\n\n## live\n\n```bash\nls\n```\n"
    there = report.sections(page)
    assert there == {
        "Detection": "## Detection\n\n### budget\n\n| a |\n",
        "live": "## live\n\n```bash\nls\n```\n",
    }


def test_a_card_gets_a_section_of_real_frames_before_its_configuration() -> None:
    """Kind: a card as training writes it anew."""
    card = "# tiny\n\nTrained.\n\n## Configuration of the run\n\n```yaml\n```\n"
    page = real_frame_tables.with_card_table(card, "tiny")
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == ["# tiny", "## On real frames", "## Configuration of the run"]
    assert real_frame_tables.with_card_table(page, "tiny") == page


def with_points(path: Path) -> Path:
    """Give a drive clouds in which every labelled thing, and the road, has points."""
    random = np.random.default_rng(0)
    for labels in sorted((path / "label").glob("*.json")):
        road = np.column_stack([random.uniform(-60, 60, (2000, 2)), np.full(2000, -1.75)])
        things = [[box["x"], box["y"], box["z"]] for box in json.loads(labels.read_text())]
        points = np.vstack(
            [road, np.repeat(things, 30, axis=0) + random.uniform(-0.3, 0.3, (30 * len(things), 3))]
        )
        cloud = np.column_stack([points, random.uniform(0, 1, len(points))]).astype(np.float32)
        cloud.tofile(path / "velodyne" / f"{labels.stem}.bin")
    return path


def test_detectors_and_cooperation_are_measured_on_a_labelled_drive(tmp_path: Path) -> None:
    path = with_points(drive(tmp_path, region="[-38, 38]"))
    rows = real_frames.detectors(open_dataset(path), [tiny_model(), tiny_model("same")], frames=2)
    assert [row["class"] for row in rows] == ["vehicle", "pedestrian"]
    assert list(rows[0]["models"]) == ["tiny", "same"]
    assert (rows[0]["data"], rows[0]["frames"]) == ("drive", 2)
    table = rows_of(real_frame_tables.frames(rows))
    assert table["tiny, same: drive, pedestrian"][0] == "2"
    found = real_frames.cooperation(path, tiny_model(), frames=1, gap=10, seeds=2)
    settings = {(row["fusion"], row["pose_error"]): row for row in found}
    assert len(settings) == len(found) == 1 + 4 * 3
    assert settings["late", None]["seeds"] == 1
    assert settings["late", "dair"]["seeds"] == 2
    assert settings["alone", None]["bytes"]["mean"] == 0
    assert settings["late", None]["num_ground_truth"] == 2
    page = real_frame_tables.pairs(found)
    assert "recorded by others: 1 pairs, 2 standing cars to find" in " ".join(page.split())
    assert set(rows_of(page)) >= {name for name, *_ in real_frame_tables.ROWS}
