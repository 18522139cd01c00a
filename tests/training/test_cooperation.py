"""A cooperative run learns, can be interrupted, and leaves a model behind that shares and fuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.config import to_mapping
from cosense.errors import CosenseError
from cosense.methods.cosdh.settings import CosdhConfig
from cosense.methods.model import load_model, read_model_config
from cosense.methods.patches.settings import PatchesConfig
from cosense.model_folders import WEIGHTS
from cosense.training.config import CooperativeTrainingConfig, SceneConfig
from cosense.training.cooperation import train_cooperation
from cosense.training.cooperative_samples import load_cooperative_samples
from tests.detectors.networks import frame_of, write_model
from tests.training.toys import TOY_MODEL

SCENES = (SceneConfig(("car_park",), 7, 1), SceneConfig(("crossing",), 8, 1, vehicles=2))
METHODS = {
    "patches": PatchesConfig(hidden_channels=8, fused_channels=8),
    "cosdh": CosdhConfig(codec_ratio=4),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return models to start from and to train, and a cache with two scenes."""
    root = tmp_path_factory.mktemp("cooperation")
    model = replace(TOY_MODEL, range_m=(-38.4, -25.6, -12.0, 38.4, 25.6, 5.0))
    for name, sharing in {"start": None, **METHODS}.items():
        write_model(root / name, model, 3, sharing)
    return root


def config(folder: Path, method: str = "patches", **changes: object) -> CooperativeTrainingConfig:
    """Return the smallest run."""
    run = CooperativeTrainingConfig(
        model=folder / method,
        start_from=str(folder / "start"),
        train=SCENES,
        validation=SCENES[:1],
        cache=folder / "cache",
        steps=4,
        batch_size=1,
        crop_m=25.6,
        validation_steps=4,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_a_model_that_shares_and_keeps_the_detector_below(folder: Path, method: str) -> None:
    out = folder / f"run-{method}"
    figures = train_cooperation(config(folder, method), out, resume=False, command="cosense train toys.yaml")

    model, start = load_model(out), load_model(folder / "start")
    assert model.method is not None
    assert read_model_config(out).to_mapping() == read_model_config(folder / method).to_mapping()
    trained, before = load_file(out / WEIGHTS), load_file(folder / "start" / WEIGHTS)
    kept = [name for name in before if name.startswith(("encoder.", "backbone."))]
    assert all(torch.equal(trained[name], before[name]) for name in kept)
    assert model.detector.fingerprint != start.detector.fingerprint
    assert all(0 <= value <= 1 for value in figures.values())
    assert "cosense train toys.yaml" in (out / "card.md").read_text()


def test_the_product_profile_leaves_the_whole_detector_as_it_was(folder: Path) -> None:
    out = folder / "run-same"
    train_cooperation(config(folder, steps=1), out, resume=False, command="")
    before, after = load_file(folder / "start" / WEIGHTS), load_file(out / WEIGHTS)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    points = np.random.default_rng(0).uniform(-20, 20, (2000, 4)).astype(np.float32) * [1, 1, 0.05, 0.05]
    own, alone = (load_model(name).detector.encode(frame_of(points)) for name in (out, folder / "start"))
    assert torch.equal(own.class_logits, alone.class_logits)


def test_the_same_run_gives_the_same_weights_and_a_resumed_one_too(folder: Path) -> None:
    whole, again, parts = (folder / f"run-{name}" for name in ("whole", "again", "parts"))
    run = config(folder)
    train_cooperation(run, whole, resume=False, command="")
    train_cooperation(run, again, resume=False, command="")
    assert (whole / WEIGHTS).read_bytes() == (again / WEIGHTS).read_bytes()

    # The learning rate follows the steps of the whole run, so a shorter plan is another run.
    train_cooperation(replace(run, steps=2), parts, resume=False, command="")
    with pytest.raises(CosenseError, match="made with another steps"):
        train_cooperation(run, parts, resume=True, command="")


def test_learning_lowers_the_loss_on_what_it_sees(folder: Path) -> None:
    out = folder / "run-learns"
    run = config(
        folder, steps=60, learning_rate=0.02, train=SCENES[:1], noisy=0.0, earlier=0.0, validation_steps=60
    )
    train_cooperation(run, out, resume=False, command="")
    with (out / "training.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_calibration_is_written_with_the_command_and_never_changes_an_order(folder: Path) -> None:
    out = folder / "run-calibrated"
    train_cooperation(config(folder), out, resume=False, command="cosense train toys.yaml")
    written = json.loads((out / "calibration.json").read_text())
    assert written["command"] == "cosense train toys.yaml"
    assert all(a > 0 for curves in written["curves"].values() for a, _ in curves.values())


def test_samples_come_back_from_the_cache_as_they_were_made(tmp_path: Path) -> None:
    made = list(load_cooperative_samples(SCENES[1:], tmp_path))
    read = list(load_cooperative_samples(SCENES[1:], tmp_path))
    assert len(list(tmp_path.iterdir())) == 1
    assert [view.agent_id for view in made[0].views] == ["vehicle", "vehicle_2", "infrastructure"]
    for one, other in zip(made, read, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.num_points, other.num_points)
        for a, b in zip((*one.views, *one.earlier), (*other.views, *other.earlier), strict=True):
            np.testing.assert_array_equal(a.points, b.points)
            np.testing.assert_array_equal(a.T_world_agent, b.T_world_agent)


def test_bad_runs_are_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match="has no 'sharing:"):
        train_cooperation(config(folder, "start"), tmp_path, resume=False, command="")
    with pytest.raises(CosenseError, match="no checkpoint to resume from"):
        train_cooperation(config(folder), tmp_path / "empty", resume=True, command="")
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(to_mapping(config(folder)) | {"stepz": 3}))
    result = CliRunner().invoke(app, ["train", str(path)])
    assert result.exit_code != 0
    assert "steps" in str(result.output) + str(result.exception)
