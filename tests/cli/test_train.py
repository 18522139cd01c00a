"""The verb from end to end: a tiny network on one simulated scene."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cosense.config import from_mapping
from cosense.methods.model import load_model
from cosense.training.run_config import DataConfig
from cosense.training.samples import load_samples
from cosense.training.tasks.pillars import PillarsTask
from tests.cli.program import run_here
from tests.detectors.networks import TINY, mapping_of

SCENES = {"scenes": {"families": ["underpass"], "first_seed": 5, "sequences": 1}}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one scene."""
    folder = tmp_path_factory.mktemp("samples")
    load_samples(from_mapping(DataConfig, SCENES, "scenes"), folder)
    return folder


@pytest.fixture
def config(tmp_path: Path, samples: Path) -> Path:
    """A run of a second on one scene."""
    model = tmp_path / "tiny"
    model.mkdir()
    (model / "config.yaml").write_text(yaml.safe_dump(mapping_of(TINY)))
    run = {"train": "detector", "model": str(model), "data": SCENES, "validation": SCENES}
    path = tmp_path / "run.yaml"
    # The minutes of a run count from its start, with what it does until the scene is there.
    shutil.copytree(samples, tmp_path / "cache")
    path.write_text(
        yaml.safe_dump(
            {**run, "cache": str(tmp_path / "cache"), "minutes": 0.02, "batch_size": 1, "workers": 0}
        )
    )
    return path


def run_train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cosense.cli.main", "train", *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_a_run_leaves_a_model_that_loads_and_can_be_prolonged(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run_train(str(config), "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert f"weights, card and logs are in {out}" in result.stdout.replace("\n", " ").replace("  ", " ")
    assert load_model(out).detector.config == TINY
    assert f"cosense train {config}" in (out / "card.md").read_text()
    steps = (out / "validation.csv").read_text().splitlines()
    result = run_here("train", str(config), "--out", str(out), "--resume", "--minutes", "0.03")
    assert result.returncode == 0, result.stderr
    assert len((out / "validation.csv").read_text().splitlines()) == len(steps) + 1


def test_samples_can_be_made_without_a_run(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_here("train", str(config), "--only-samples")
    assert result.returncode == 0, result.stderr
    assert "the samples are in" in result.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"minuets": 3}, "unknown key 'minuets', did you mean 'minutes'"),
        ({"model": "pillars-light"}, "did you mean 'pillars-lite'"),
        ({"train": {"scenes": {}}}, "add 'train: detector', 'train: method' or 'train: encoder'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(config: Path, change: dict, said: str) -> None:
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | change))
    result = run_here("train", str(config), "--out", str(config.parent / "out"))
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_of_no_time_is_refused_by_the_name_of_its_option(config: Path) -> None:
    result = run_here("train", str(config), "--out", str(config.parent / "out"), "--minutes", "0")
    assert result.returncode == 2
    assert "--minutes 0: expected more than 0" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_with_a_run_in_it_is_not_trained_into_again(config: Path, tmp_path: Path) -> None:
    """The same command twice: what took hours is never overwritten, and the error has both ways to go on."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("checkpoint.pt", "weights.safetensors", "card.md", "training.csv", "validation.csv"):
        (out / name).write_text("hours of work")
        result = run_here("train", str(config), "--out", str(out))
        assert result.returncode == 2
        assert f"{out / name}: is of an earlier run, which nothing overwrites" in result.stderr
        assert "--resume, or name another folder with --out" in result.stderr
        assert {path.name: path.read_text() for path in out.iterdir()} == {name: "hours of work"}
        (out / name).unlink()


def test_going_on_from_nothing_is_refused_before_any_scene_is_made(config: Path, tmp_path: Path) -> None:
    """A wish that cannot be fulfilled costs no minutes of preparation and leaves no files."""
    shutil.rmtree(tmp_path / "cache")
    result = run_here("train", str(config), "--out", str(tmp_path / "out"), "--resume")
    assert result.returncode == 2
    assert f"{tmp_path / 'out' / 'checkpoint.pt'}: no checkpoint to resume from" in result.stderr
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "out").exists()


def test_minutes_that_preparing_the_scenes_takes_up_end_the_run(config: Path, tmp_path: Path) -> None:
    """A time limit holds from the start, and what was done until then is kept for the next try."""
    shutil.rmtree(tmp_path / "cache")
    result = run_here("train", str(config), "--out", str(tmp_path / "out"), "--minutes", "0.0001")
    assert result.returncode == 2
    assert "minutes is 0.0001, and preparing samples took them all (read scenes: 1 of 1)" in (result.stderr)
    assert f"kept in {tmp_path / 'cache'}: start again, or give more minutes" in result.stderr
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("has_learned", [True, False])
def test_ctrl_c_says_what_was_learned_and_how_to_go_on(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_learned: bool
) -> None:
    """Stopped while it prepares scenes, and after its first steps."""
    out = tmp_path / "out"

    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PillarsTask, "after_backward" if has_learned else "load", stopped)
    result = run_here("train", str(config), "--out", str(out))
    assert result.returncode == 130
    said = " ".join(result.stdout.split())
    if has_learned:
        assert (
            f"Stopped. The checkpoint is in {out}: the same command with --resume goes on from there." in said
        )
        monkeypatch.undo()
        assert run_here("train", str(config), "--out", str(out)).returncode == 2
        assert run_here("train", str(config), "--out", str(out), "--resume").returncode == 0
    else:
        assert f"Stopped. Nothing was learned yet; the samples so far are in {tmp_path / 'cache'}" in said
        assert not out.exists()
