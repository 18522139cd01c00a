"""A run learns, can be interrupted, and leaves a model behind."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file

from cosense.errors import CosenseError
from cosense.geometry.iou import bev_iou
from cosense.methods.model import load_model
from cosense.model_folders import WEIGHTS
from cosense.training.augment import AugmentationConfig
from cosense.training.loop import CHECKPOINT, Run, learning_rate
from cosense.training.samples import Sample
from cosense.training.tasks.pillars import PillarsTask
from cosense.training.torchrun import Processes
from tests.conftest import REPOSITORY
from tests.detectors.networks import frame_of, write_model
from tests.training.toys import TOY_MODEL, toy_sample, toy_task

ALONE = Processes(0, 1, torch.device("cpu"))


class Impatient(Progress):
    """Somebody who presses Ctrl-C after three steps."""

    steps = 0

    def update(self, *args: object, **values: object) -> None:
        self.steps += 1
        if self.steps == 3:
            raise KeyboardInterrupt


def run(task: PillarsTask, out: Path, resume: bool = False) -> Run:
    training = Run(task, out, ALONE, Progress(disable=True))
    if resume:
        training.resume()
    training.train()
    training.finish("cosense train toys.yaml")
    return training


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sample]:
    """A network that has seen one cloud a hundred times."""
    out, sample = tmp_path_factory.mktemp("learned"), toy_sample(1)
    run(toy_task(out, [sample], epochs=120, batch_size=1, learning_rate=0.02), out)
    return out, sample


def test_a_tiny_network_finds_the_one_car_that_it_was_shown(learned: tuple[Path, Sample]) -> None:
    out, sample = learned
    found = load_model(out).detector.detect(frame_of(sample.points))
    assert bev_iou(found.boxes[:1], sample.boxes)[0, 0] > 0.6
    assert found.scores[0] > 0.3
    assert not (found.scores[1:] > 0.3).any()


def test_the_log_shows_a_falling_loss(learned: tuple[Path, Sample]) -> None:
    with (learned[0] / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [20, 40, 60, 80, 100, 120]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"]) / 3


def test_the_card_says_how_it_was_made(learned: tuple[Path, Sample]) -> None:
    card = (learned[0] / "card.md").read_text()
    for fact in (
        "cosense train toys.yaml",
        "seed 1",
        "| samples | 1 |",
        "| ap50 vehicle | 1 |",
        "epochs: 120",
    ):
        assert fact in card


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    samples = [toy_sample(seed) for seed in range(3)]
    changes = {"epochs": 4, "crop_m": 12.8, "augmentation": AugmentationConfig()}

    def task() -> PillarsTask:
        return toy_task(tmp_path, samples, **changes)

    whole = run(task(), tmp_path / "whole")
    halted = Run(task(), tmp_path / "halted", ALONE, Impatient(disable=True))
    with pytest.raises(KeyboardInterrupt):
        halted.train()
    assert halted.step == 3
    resumed = run(task(), tmp_path / "halted", resume=True)
    assert whole.step == resumed.step == 6
    expected, got = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "halted"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_loading_processes_change_nothing(tmp_path: Path) -> None:
    samples = [toy_sample(seed) for seed in range(3)]
    for workers in (0, 1):
        run(toy_task(tmp_path, samples, epochs=1, workers=workers), tmp_path / str(workers))
    expected, got = (load_file(tmp_path / name / WEIGHTS) for name in ("0", "1"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_resuming_needs_a_checkpoint_of_the_same_run(tmp_path: Path) -> None:
    def resume(**changes: object) -> Run:
        training = Run(
            toy_task(tmp_path, [toy_sample(0)], **changes), tmp_path, ALONE, Progress(disable=True)
        )
        training.resume()
        return training

    with pytest.raises(CosenseError, match="no checkpoint to resume from"):
        resume()
    run(toy_task(tmp_path, [toy_sample(0)]), tmp_path)
    assert resume(workers=1, validation_minutes=3.0).step == 1
    for changes, said in (
        ({"seed": 2}, "was made with seed 1, the run has 2; resume with"),
        ({"epochs": 2}, "was made with epochs 1, the run has 2"),
        ({"augmentation": AugmentationConfig()}, "was made with augmentation"),
    ):
        with pytest.raises(CosenseError, match=said):
            resume(**changes)
    resumed = resume().task
    moved = PillarsTask(
        replace(resumed.config, model=write_model(tmp_path / "other", TOY_MODEL)), ALONE.device
    )
    moved.samples = resumed.samples
    with pytest.raises(CosenseError, match=r"with model '.*toys', the run has '.*other'; resume with"):
        Run(moved, tmp_path, ALONE, Progress(disable=True)).resume()
    write_model(tmp_path / "toys", replace(TOY_MODEL, neck_channels=32))
    wider = PillarsTask(resumed.config, ALONE.device)
    wider.samples = resumed.samples
    with pytest.raises(CosenseError, match="holds other networks than the run has now; resume with"):
        Run(wider, tmp_path, ALONE, Progress(disable=True)).resume()
    torch.save({"state_dict": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(CosenseError, match="is no checkpoint of cosense train"):
        resume()
    (tmp_path / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(CosenseError, match="not readable as a checkpoint"):
        resume()


def test_validation_goes_by_steps_where_steps_are_given(tmp_path: Path) -> None:
    samples = [toy_sample(seed) for seed in range(4)]
    run(toy_task(tmp_path, samples, epochs=None, steps=5, validation_steps=2), tmp_path)
    with (tmp_path / "validation.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [2, 4, 5]


def test_nothing_to_learn_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match=r"data: nothing to learn from in .*toys"):
        Run(toy_task(tmp_path, []), tmp_path, ALONE, Progress(disable=True))


def test_a_run_by_the_clock_ends_by_itself(tmp_path: Path) -> None:
    training = run(toy_task(tmp_path, [toy_sample(0)], epochs=None, minutes=0.02), tmp_path)
    assert training.elapsed_s >= 1.2
    assert training.step >= 1
    assert (tmp_path / WEIGHTS).exists()


def test_the_minutes_of_a_run_count_from_its_start(tmp_path: Path) -> None:
    """A run by the clock has what its preparation left it, and its schedule is a whole one all the same."""
    task = toy_task(tmp_path, [toy_sample(0)], epochs=None, minutes=0.02)
    training = Run(task, tmp_path, ALONE, Progress(disable=True), prepared_s=0.9)
    training.train()
    assert 0.3 <= training.elapsed_s < 1.2


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = np.array([learning_rate(progress, 1.0) for progress in np.linspace(0, 1, 101)])
    assert rates[0] == pytest.approx(0.1)
    assert int(rates.argmax()) == 10
    assert rates.max() == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.0)
    assert (np.diff(rates[10:]) < 0).all()


TWO_PROCESSES = """
import sys, torch
from pathlib import Path
from rich.progress import Progress
from cosense.training.loop import Run
from cosense.training.torchrun import joined_processes
from tests.training.toys import toy_sample, toy_task
with joined_processes("cpu") as processes:
    out = Path(sys.argv[1]) / str(processes.rank)
    task = toy_task(out, [toy_sample(seed) for seed in range(4)], batch_size=1, epochs=2)
    run = Run(task, out, processes, Progress(disable=True))
    run.train()
    torch.save([p.detach() for p in task.parameters()], out / "parameters.pt")
"""


def test_two_processes_learn_the_same_weights(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = []
    for rank in "01":
        # What torchrun sets; its own start needs a host name that resolves, which a container may not have.
        world = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        own = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
        arguments = [sys.executable, "-c", TWO_PROCESSES, str(tmp_path)]
        running.append(subprocess.Popen(arguments, env=os.environ | world | own))
    try:
        assert [process.wait(timeout=250) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    first, second = (torch.load(tmp_path / rank / "parameters.pt", weights_only=True) for rank in "01")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
