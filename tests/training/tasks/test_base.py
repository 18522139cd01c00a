"""A run's YAML says what it trains, and every file of tasks/ trains something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cosense.errors import CosenseError
from cosense.training.tasks.base import read_run
from tests.conftest import REPOSITORY

SCENES = [{"families": ["crossing"], "first_seed": 0, "sequences": 1}]
METHOD = {"model": "cosdh", "start_from": "pillars-lite", "data": SCENES, "validation": SCENES, "steps": 3}


def written(folder: Path, **keys: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(keys))
    return path


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("pillars-lite", "PillarsTask"),
        ("voxels-lite", "SparseVoxelsTask"),
        ("cosense-lite", "PatchesTask"),
        ("cosdh", "CosdhTask"),
        ("max-fusion", "CosdhTask"),
        ("attention-fusion", "CosdhTask"),
        ("node-encoder", "NodeEncoderTask"),
    ],
)
def test_every_shipped_run_names_its_task(model: str, task: str) -> None:
    found, run = read_run(REPOSITORY / "models" / model / "training.yaml")
    assert found.__name__ == task
    assert isinstance(run, found.Config)


@pytest.mark.parametrize(
    "path", [*(REPOSITORY / "models").glob("*/training.yaml")], ids=lambda path: path.parent.name
)
def test_the_card_shows_the_runs_of_the_folder(path: Path, tmp_path: Path) -> None:
    shown = []
    for block in (path.parent / "card.md").read_text().split("```yaml\n")[1:]:
        copy = tmp_path / "run.yaml"
        copy.write_text(block.split("```")[0])
        shown.append(read_run(copy))
    made = [path, *path.parent.glob("head.yaml")]
    assert shown == [read_run(one) for one in made]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "run.yaml: does not say what it trains; add 'train: detector'"),
        (METHOD | {"train": SCENES}, "call the scenes that it learns from 'data:'"),
        (METHOD | {"train": "metod"}, "train: 'metod' is not one of .*did you mean 'method'"),
        (METHOD | {"train": "method", "model": None}, "missing key 'model'"),
        (METHOD | {"train": "method", "model": "pillars-lite"}, "has no 'sharing:'"),
        (METHOD | {"train": "method", "stepz": 3}, "unknown key 'stepz', did you mean 'steps'"),
        (METHOD | {"train": "method", "noisy": 2.0}, "noisy is 2.0, expected a number in"),
    ],
)
def test_a_run_that_is_wrong_is_refused_in_one_line(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match=said) as error:
        read_run(written(tmp_path, **keys))
    assert "\n" not in str(error.value)
