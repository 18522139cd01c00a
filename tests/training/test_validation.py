"""Validation judges a copy of the network where the run computes, and leaves the network as it is."""

from __future__ import annotations

import pytest
import torch

from cosense.detectors.pillars import PillarDetector
from cosense.training.validation import detector_of, validate
from tests.training.toys import TOY_MODEL, toy_config, toy_sample


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_device_is_the_networks(device: str) -> None:
    # "meta" is a device that every machine has; a GPU is chosen in the same way.
    network = PillarDetector.build(TOY_MODEL, seed=1).to(device)
    assert detector_of(network, TOY_MODEL).device.type == device


def test_the_network_stays_as_it_is_and_goes_on_training() -> None:
    network = PillarDetector.build(TOY_MODEL, seed=1).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    figures = validate(network, [toy_sample(1)], TOY_MODEL, toy_config())
    assert set(figures) == {"loss", "ap50 vehicle"}
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
