"""A cooperative run learns, can be interrupted, and leaves a model behind that shares and fuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file

from cosense.errors import CosenseError
from cosense.methods.cosdh.levels import CosdhConfig
from cosense.methods.lcv2i.method import Lcv2i
from cosense.methods.lcv2i.regions import REGION_STRIDE, Lcv2iConfig
from cosense.methods.model import load_model, read_model_config
from cosense.methods.patches.encoder import PatchesConfig
from cosense.model_folders import WEIGHTS
from cosense.training.fusion_examples import MethodRunConfig
from cosense.training.loop import Run, prepare, train
from cosense.training.run_config import SceneConfig
from cosense.training.tasks.base import Task
from cosense.training.tasks.cosdh import CosdhTask
from cosense.training.tasks.lcv2i import Amount, Lcv2iTask
from cosense.training.tasks.patches import PatchesTask
from cosense.training.torchrun import Processes
from tests.cooperation.networks import detections
from tests.detectors.networks import frame_of, write_model
from tests.training.toys import TOY_MODEL

SCENES = (SceneConfig(("car_park",), 7, 1), SceneConfig(("underpass",), 8, 1, vehicles=2))
METHODS = {
    "patches": PatchesConfig(hidden_channels=8, fused_channels=8),
    "cosdh": CosdhConfig(codec_ratio=4),
    "lcv2i": Lcv2iConfig(hidden_channels=8, fused_channels=8),
}
TASKS: dict[str, type[Task]] = {"patches": PatchesTask, "cosdh": CosdhTask, "lcv2i": Lcv2iTask}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return models to start from and to train, and a cache with two scenes."""
    root = tmp_path_factory.mktemp("cooperation")
    model = replace(TOY_MODEL, range_m=(-38.4, -25.6, -12.0, 38.4, 25.6, 5.0))
    for name, sharing in {"start": None, **METHODS}.items():
        write_model(root / name, model, 3, sharing)
    return root


def config(folder: Path, method: str = "patches", **changes: object) -> MethodRunConfig:
    """Return the smallest run."""
    run = MethodRunConfig(
        model=folder / method,
        start_from=str(folder / "start"),
        data=SCENES,
        validation=SCENES[:1],
        cache=folder / "cache",
        steps=4,
        batch_size=1,
        crop_m=25.6,
        validation_steps=4,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def trained(
    run: MethodRunConfig, out: Path, method: str = "patches", resume: bool = False, command: str = ""
) -> dict[str, float]:
    return train(TASKS[method], run, out, resume=resume, command=command)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_a_model_that_shares_and_keeps_the_detector_below(folder: Path, method: str) -> None:
    out = folder / f"run-{method}"
    figures = trained(config(folder, method), out, method, command="cosense train toys.yaml")

    model, start = load_model(out), load_model(folder / "start")
    assert model.method is not None
    assert read_model_config(out).to_mapping() == read_model_config(folder / method).to_mapping()
    weights, before = load_file(out / WEIGHTS), load_file(folder / "start" / WEIGHTS)
    kept = [name for name in before if name.startswith(("encoder.", "backbone."))]
    assert all(torch.equal(weights[name], before[name]) for name in kept)
    assert model.detector.fingerprint != start.detector.fingerprint
    assert all(0 <= value <= 1 for value in figures.values())
    assert "cosense train toys.yaml" in (out / "card.md").read_text()


def test_prepared_samples_are_all_that_runs_on_one_detector_need(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(PatchesTask, config(folder))
    monkeypatch.delattr("cosense.training.encoded_moments.simulated_moment")
    for method, task in TASKS.items():
        trained_one = task(config(folder, method), torch.device("cpu"))
        trained_one.load()
        assert [len(moment.views) for moment in trained_one.samples] == [2, 3]
        assert [len(moment.earlier) for moment in trained_one.samples] == [1, 2]


def test_the_product_profile_leaves_the_whole_detector_as_it_was(folder: Path) -> None:
    out = folder / "run-same"
    trained(config(folder, steps=1), out)
    before, after = load_file(folder / "start" / WEIGHTS), load_file(out / WEIGHTS)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    points = np.random.default_rng(0).uniform(-20, 20, (2000, 4)).astype(np.float32) * [1, 1, 0.05, 0.05]
    own, alone = (load_model(name).detector.encode(frame_of(points)) for name in (out, folder / "start"))
    assert torch.equal(own.class_logits, alone.class_logits)


def test_the_same_run_gives_the_same_weights_and_a_resumed_one_too(folder: Path) -> None:
    whole, again, parts = (folder / f"run-{name}" for name in ("whole", "again", "parts"))
    run = config(folder)
    trained(run, whole)
    trained(run, again)
    assert (whole / WEIGHTS).read_bytes() == (again / WEIGHTS).read_bytes()

    # The learning rate follows the steps of the whole run, so a shorter plan is another run.
    trained(replace(run, steps=2), parts)
    with pytest.raises(CosenseError, match="made with steps 2, the run has 4"):
        trained(run, parts, resume=True)


def test_learning_lowers_the_loss_on_what_it_sees(folder: Path) -> None:
    out = folder / "run-learns"
    exact = {"noisy": 0.0, "dair": 0.0, "dair_corrected": 0.0, "earlier": 0.0}
    run = config(folder, steps=60, learning_rate=0.02, data=SCENES[:1], validation_steps=60, **exact)
    trained(run, out)
    with (out / "training.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_calibration_is_written_with_the_command_and_never_changes_an_order(folder: Path) -> None:
    out = folder / "run-calibrated"
    trained(config(folder), out, command="cosense train toys.yaml")
    written = json.loads((out / "calibration.json").read_text())
    assert written["command"] == "cosense train toys.yaml"
    assert all(a > 0 for curves in written["curves"].values() for a, _ in curves.values())


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(folder: Path) -> None:
    whole, halted = folder / "run-uninterrupted", folder / "run-interrupted"
    run = config(folder)
    trained(run, whole)
    task = PatchesTask(run, torch.device("cpu"))
    task.load()

    class Impatient(Progress):
        """Somebody who presses Ctrl-C after three steps."""

        def update(self, *args: object, **values: object) -> None:
            if values.get("completed") == 0.5:
                raise KeyboardInterrupt

    halt = Run(task, halted, Processes(0, 1, torch.device("cpu")), Impatient(disable=True))
    with pytest.raises(KeyboardInterrupt):
        halt.train()
    assert halt.step == 3
    trained(run, halted, resume=True)
    assert (whole / WEIGHTS).read_bytes() == (halted / WEIGHTS).read_bytes()


def test_a_run_without_a_checkpoint_cannot_be_resumed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match="no checkpoint to resume from"):
        trained(config(folder), tmp_path / "empty", resume=True)


def test_training_sends_the_regions_that_a_sender_would(folder: Path) -> None:
    task, model = Lcv2iTask(config(folder, "lcv2i"), torch.device("cpu")), load_model(folder / "lcv2i")
    points = np.random.default_rng(0).uniform(-20, 20, (2000, 4)).astype(np.float32) * [1, 1, 0.05, 0.05]
    assert isinstance(model.method, Lcv2i)
    features = model.method.detector.encode(frame_of(points))
    shape = features.grid.coarser(REGION_STRIDE).shape
    wanted = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    (section,) = model.method.offer(features, lambda stride: wanted, None, seed=0, with_boxes=True)
    chosen = task._chosen(features, wanted.flatten(), Amount(40, None), None)
    assert chosen.tolist() == section.cells[:40].tolist()


def test_regions_have_a_loss_of_their_own_that_no_box_can_lower(folder: Path) -> None:
    task = Lcv2iTask(config(folder, "lcv2i"), torch.device("cpu"))
    task.load()
    ((example,), _) = task.batch(task.samples[:1], np.random.default_rng(0))
    (sender,) = example.senders
    x_m = float(example.columns.start + 4) * 0.8 + task.detector.grid.range_m[0]
    box = detections([[x_m, 3.0, -1.0, 4.5, 1.9, 1.6, 0.3]], [0.9])
    losses = [
        task.losses(([replace(example, senders=[heard])], np.random.default_rng(1)))
        for heard in (
            replace(sender, boxes=box, reliability=np.ones(1)),
            replace(sender, boxes=box[:0], reliability=np.ones(0)),
        )
    ]
    with_box, without = ({name: float(value.detach()) for name, value in each.items()} for each in losses)
    assert with_box["heat"] != without["heat"]
    for name in ("heat", "boxes"):
        assert with_box[f"{name}, regions alone"] == without[f"{name}, regions alone"]
    assert with_box["loss"] == pytest.approx(sum(with_box.values()) - with_box["loss"])
