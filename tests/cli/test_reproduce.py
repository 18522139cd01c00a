"""From a tree on disk to a table in the words that datasets/dair_v2x_c.md shows: train, train, reproduce."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosense.methods.patches.encoder import PatchesConfig
from tests.cli.program import run_here
from tests.detectors.networks import write_model
from tests.evaluation.dair_tree import write_tree
from tests.training.toys import TOY_MODEL

MODEL = replace(TOY_MODEL, range_m=(-25.6, -12.8, -12.0, 25.6, 12.8, 5.0), score_threshold=0.001)
PATCHES = PatchesConfig(hidden_channels=8, fused_channels=8)
# What the ego asks for counts beside what is sent.
REQUEST_BYTES = 250
RUN: dict[str, Any] = {"epochs": 1, "batch_size": 2, "device": "cpu", "validation_minutes": 60}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("dair") / "cooperative-vehicle-infrastructure")


def write_runs(root: Path) -> tuple[Path, Path]:
    """Write run files as those of models/*/dair.yaml, for networks that are as small as can be."""
    detector, patches = root / "tiny" / "dair.yaml", root / "sharing" / "dair.yaml"
    write_model(detector.parent, MODEL)
    write_model(patches.parent, MODEL, sharing=PATCHES)
    parts = {
        name: {"paths": ["data/nowhere"], "split": split}
        for name, split in (("data", "train"), ("validation", "val"))
    }
    cache = {"cache": str(root / "cache")}
    detected = {"train": "detector", "model": str(detector.parent), "workers": 0, **parts}
    shared = {
        "train": "method",
        "model": str(patches.parent),
        "start_from": str(root / "results/tiny-dair"),
        **{name: [part] for name, part in parts.items()},
    }
    detector.write_text(yaml.safe_dump({**RUN, **cache, **detected}))
    patches.write_text(yaml.safe_dump({**RUN, **cache, **shared}))
    return detector, patches


def tables_of(out: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of each table by its name."""
    content = json.loads((out / "reproduction.json").read_text())
    return {table["name"]: {row["name"]: row for row in table["rows"]} for table in content["tables"]}


@pytest.fixture(scope="module")
def reproduced(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The whole chain: a detector, what is shared on top of it, and the tables. Returns their folder."""
    root = tmp_path_factory.mktemp("chain")
    detector, patches = write_runs(root)
    for run, out in ((detector, "tiny-dair"), (patches, "sharing-dair")):
        trained = run_here("train", str(run), "--data", str(tree), "--out", str(root / "results" / out))
        assert trained.returncode == 0, trained.stderr
        assert "Data to learn from: dair-v2x-c." in (root / "results" / out / "card.md").read_text()
    words = ["reproduce", "dair-v2x", "--data", str(tree), "--model", str(root / "results/sharing-dair")]
    words += ["--out", str(root / "tables")]
    result = run_here(*words)
    assert result.returncode == 0, result.stderr
    return root / "tables", words


def test_rows_that_can_be_filled_are_and_the_others_say_why(reproduced: tuple[Path, list[str]]) -> None:
    out, _ = reproduced
    tables = tables_of(out)
    alone = tables["A"]["vehicle only"]
    assert alone["figures"] == {"ap_3d@0.5": 48.06, "ap@0.5": 52.24}
    assert alone["source"].startswith("AIR-THU/DAIR-V2X")
    assert alone["ours"]["frames"] == 2
    assert alone["ours"]["bytes"] == 0
    assert tables["A"]["late with time compensation, 1 frame earlier"]["ours"] is not None
    for table, row, reason in (
        ("A", "roadside unit only", "an ego here always uses its own boxes"),
        ("B", "CoSDH", "none of the models shares features by cosdh; name one with --model"),
        ("B", "Where2comm", "this method is not part of cosense"),
    ):
        assert tables[table][row]["ours"] is None
        assert tables[table][row]["reason"] == reason
    assert tables["B"]["patches, hybrid, 2 kB"]["ours"]["bytes"] <= 2000 + REQUEST_BYTES
    page = (out / "reproduction.md").read_text()
    assert "**Ours are of 2 frames, published ones of 1789: not comparable.**" in page
    assert "| vehicle only | 48.1 / " in page
    assert all(f"cosense reproduce {word}" in page for word in ("dair-v2x",))


def test_figures_are_those_of_the_evaluation_and_two_protocols_share_a_run(
    reproduced: tuple[Path, list[str]],
) -> None:
    tables = tables_of(reproduced[0])
    ranked, unranked = tables["B"]["early"]["ours"], tables["B, unsorted"]["early"]["ours"]
    assert ranked["run"] == unranked["run"] != tables["A"]["early"]["ours"]["run"]
    metrics = json.loads((Path(ranked["run"]) / "metrics.json").read_text())
    assert metrics["protocol"] == "opencood"
    assert metrics["dataset"]["label_set"] == "complemented"
    for key, value in metrics["ap"].items():
        assert ranked["figures"][f"ap@{key}"] == pytest.approx(100 * value)


def test_the_same_command_goes_on_and_another_model_is_refused(
    reproduced: tuple[Path, list[str]], tmp_path: Path
) -> None:
    out, words = reproduced
    before = tables_of(out)
    lines = Path(before["A"]["late"]["ours"]["run"]) / "frames.jsonl"
    first, *_ = lines.read_text().splitlines(keepends=True)
    # Stopped in the middle of the second frame.
    lines.write_text(first + first[:100])
    again = run_here(*words)
    assert again.returncode == 0, again.stderr
    for rows in (before, tables_of(out)):
        assert rows["A"]["late"]["ours"]["figures"] == before["A"]["late"]["ours"]["figures"]
    first_alone = run_here(*words, "--frames", "1")
    assert first_alone.returncode == 0, first_alone.stderr
    assert tables_of(out)["A"]["late"]["ours"]["frames"] == 1
    twice = run_here(*words, "--model", words[5])
    assert "two of the models have the same name" in twice.stderr


def test_a_missing_frame_is_left_out_and_missing_labels_say_so(
    reproduced: tuple[Path, list[str]], tree: Path, tmp_path: Path
) -> None:
    other = tmp_path / tree.name
    shutil.copytree(tree, other)
    (other / "vehicle-side/velodyne/000005.pcd").unlink()
    for folder in ("vehicle-side/label/lidar_backup", "cooperative/label_world_backup"):
        shutil.rmtree(other / folder)
    _, words = reproduced
    words = [str(other) if word == str(tree) else word for word in words[:-1]]
    result = run_here(*words, str(tmp_path / "tables"))
    assert result.returncode == 0, result.stderr
    tables = tables_of(tmp_path / "tables")
    assert tables["A"]["late"]["ours"]["frames"] == 1
    assert "no label set 'complemented' here" in tables["B"]["early"]["reason"]
    assert "datasets/dair_v2x_c.md" in tables["B"]["early"]["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dair-v2c"], "no published figures of 'dair-v2c', did you mean 'dair-v2x'"),
        (["opv2v"], "is dair-v2x-c, expected opv2v: datasets/opv2v.md says where to get it"),
    ],
)
def test_other_data_are_refused(tree: Path, words: list[str], message: str) -> None:
    result = run_here("reproduce", *words, "--data", str(tree))
    assert result.returncode == 2
    assert message in result.stderr
