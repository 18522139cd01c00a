"""A run judges a copy of its network, and may learn neck and head on the backbone of another model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rich.progress import Progress

from cosense.errors import CosenseError
from cosense.methods.model import read_network
from cosense.training.loop import Run
from cosense.training.tasks.pillars import PillarsTask
from cosense.training.torchrun import Processes
from tests.detectors.networks import TINY, write_model
from tests.training.toys import TOY_MODEL, toy_config, toy_sample, toy_task


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_device_is_the_networks(device: str, tmp_path: Path) -> None:
    # "meta" is a device that every machine has; a GPU is chosen in the same way.
    task = PillarsTask(toy_config(write_model(tmp_path, TOY_MODEL)), torch.device(device))
    assert task.detector().device.type == device


def test_the_network_stays_as_it_is_and_goes_on_training(tmp_path: Path) -> None:
    task = toy_task(tmp_path, [toy_sample(1)]).train()
    before = {name: value.clone() for name, value in task.state_dict().items()}
    figures = task.validate()
    assert set(figures) == {"loss", "ap50 vehicle", "reversed"}
    assert task.network.training
    assert all(torch.equal(before[name], value) for name, value in task.state_dict().items())


def test_neck_and_head_are_learned_on_the_backbone_of_another_model(tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", TOY_MODEL, seed=3)
    task = toy_task(tmp_path, [toy_sample(1)], backbone_from=str(other), steps=2, epochs=None)
    Run(task, tmp_path / "run", Processes(0, 1, torch.device("cpu")), Progress(disable=True)).train()
    before, after = read_network(other).state_dict(), task.network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in changed} == {"neck", "head"}


def test_a_backbone_of_other_layers_is_refused(tmp_path: Path) -> None:
    other = write_model(tmp_path / "other", TINY)
    with pytest.raises(
        CosenseError, match=r"backbone_from: the encoder of '.*other' has other layers; name a"
    ):
        toy_task(tmp_path, [toy_sample(1)], backbone_from=str(other))
