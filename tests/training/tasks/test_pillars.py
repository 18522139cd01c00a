"""Validation judges a copy of the network where the run computes, and leaves the network as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosense.training.tasks.pillars import PillarsTask
from tests.detectors.networks import write_model
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
