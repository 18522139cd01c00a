"""Shapes, the encoder against its definition, and what folding and bfloat16 change."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from cosense.config import from_mapping, to_mapping
from cosense.detectors.device import inference_dtype, usable_device
from cosense.detectors.grouping import Pillars, group_points, join_pillars
from cosense.detectors.pillars import (
    PillarDetector,
    PillarEncoder,
    PillarNetwork,
    PillarsConfig,
    SegmentMax,
)
from cosense.errors import CosenseError
from cosense.methods.model import read_model_config
from tests.conftest import REPOSITORY
from tests.detectors.networks import TINY, cloud


def pillars_of(seed: int = 0) -> Pillars:
    points = torch.from_numpy(cloud(seed))
    points[:, 2] += 1.9
    return group_points(points, TINY.height_grid)


def with_statistics(network: PillarNetwork) -> PillarNetwork:
    """Give the batch norms running statistics that are not one and zero."""
    network.train()
    for seed in range(20):
        network(pillars_of(seed))
    return network.eval()


@pytest.mark.parametrize("name", ["pillars-lite", "pillars-paper"])
def test_shipped_configurations_build(name: str) -> None:
    config = read_model_config(REPOSITORY / "models" / name).detector
    assert config.grid.shape == (200, 504)
    assert len(PillarNetwork(config).backbone.stages) == 3


def test_maps_have_the_promised_shapes() -> None:
    network = PillarDetector.build(TINY, 0).eval()
    pillars = join_pillars([pillars_of(0), pillars_of(1)])
    levels = network.encode(pillars)
    assert [tuple(level.shape) for level in levels] == [(2, 8, 16, 32), (2, 16, 8, 16), (2, 16, 4, 8)]
    maps = network.decide(levels)
    assert maps.class_logits.shape == (2, 3, 16, 32)
    assert maps.box_codes.shape == (2, 10, 16, 32)


def test_a_batch_gives_what_its_clouds_give_alone() -> None:
    network = with_statistics(PillarDetector.build(TINY, 0))
    parts = [pillars_of(3), pillars_of(4)]
    together = network(join_pillars(parts)).class_logits
    torch.testing.assert_close(together, torch.cat([network(part).class_logits for part in parts]))


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (PillarDetector.build(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.boxes.weight"], other["head.boxes.weight"])


def test_the_encoder_is_a_maximum_over_each_pillar() -> None:
    encoder = PillarEncoder(5, 0.4).eval()
    pillars = pillars_of()
    canvas = encoder(pillars)[0].flatten(1).T
    scale = torch.tensor([0.4, 0.4, 2.0, 1.0])
    for number in range(0, len(pillars), 37):
        own = pillars.points[pillars.pillar_of_point == number]
        local = own - torch.cat([pillars.centers_m[number], torch.zeros(2)])
        mean = (local.mean(0) / scale)[:3]
        inputs = torch.cat([mean, pillars.centers_m[number] / 50, torch.log(torch.tensor([float(len(own))]))])
        expected = encoder.norm((encoder.point(local / scale).amax(0) + encoder.pillar(inputs))[None]).relu()
        torch.testing.assert_close(canvas[pillars.cells[number]], expected[0], rtol=1e-4, atol=1e-5)
    empty = torch.ones(len(canvas), dtype=torch.bool)
    empty[pillars.cells] = False
    assert not canvas[empty].any()


def test_logarithms_of_counts_are_exact_and_no_weights() -> None:
    encoder = PillarEncoder(8, 0.4)
    counts = np.array([1, 2, 3, 100, 4095])
    logarithms = encoder.log_of_count(torch.from_numpy(counts))[:, 0]
    np.testing.assert_array_equal(logarithms.numpy(), np.log(counts).astype(np.float32))
    assert not any("log_of_count" in name for name in encoder.state_dict())


def test_gradient_of_the_maximum() -> None:
    values = torch.randn(30, 4, dtype=torch.float64, requires_grad=True)
    pillar = torch.randint(0, 6, (24,))
    pillar = torch.cat([pillar, torch.arange(6)])
    assert torch.autograd.gradcheck(lambda v: SegmentMax.apply(v, pillar, 6), (values,))


def test_folding_changes_nothing_but_rounding() -> None:
    network = with_statistics(PillarDetector.build(TINY, 0))
    folded = copy.deepcopy(network).prepare_for_inference(torch.float32)
    with torch.inference_mode():
        before, after = network(pillars_of(7)), folded(pillars_of(7))
    torch.testing.assert_close(after.class_logits, before.class_logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(after.box_codes, before.box_codes, rtol=1e-4, atol=1e-4)


def test_bfloat16_keeps_two_digits() -> None:
    network = with_statistics(PillarDetector.build(TINY, 0))
    exact = copy.deepcopy(network).prepare_for_inference(torch.float32)
    rounded = network.prepare_for_inference(torch.bfloat16)
    with torch.inference_mode():
        wanted, got = (torch.sigmoid(n(pillars_of(7)).class_logits) for n in (exact, rounded))
    assert wanted.dtype == got.dtype == torch.float32
    assert float((wanted - got).abs().max()) < 0.02


def test_precision_can_be_prescribed() -> None:
    cpu = torch.device("cpu")
    assert inference_dtype("bfloat16", cpu) == torch.bfloat16
    assert inference_dtype("float32", cpu) == torch.float32


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(CosenseError, match=f"device '{name}' cannot be used"):
        usable_device(name)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("cel_m", 0.4, "did you mean 'cell_m'"),
        ("cell_m", 0.3, "no multiple"),
        ("range_m", [-12.4, -6.4, -12.0, 12.8, 6.4, 5.0], "stride 8"),
        ("stages", [], "at least one"),
        ("score_threshold", 0.0, "between 0 and 1"),
        ("height_m", [2.0, 1.0], "empty"),
        ("cell_m", 0, "cell_m is 0.0, expected metres above 0"),
        ("range_m", [-12.8, -6.4, 5.0, 12.8, 6.4, -12.0], "empty in z"),
        ("pillar_channels", 0, "at least 1"),
        ("shrink_channels", [0], "at least 1"),
        ("max_detections", -1, "at least 1"),
        ("precision", "float23", "did you mean 'float32'"),
        ("ground", {"reach_m": [60.0, 2.5]}, "reach_m .* is empty"),
        ("ground", {"sensor_height_m": [3.0, 3.0]}, "sensor_height_m .* is empty"),
    ],
)
def test_a_bad_configuration_names_its_key(key: str, value: object, said: str) -> None:
    with pytest.raises(CosenseError, match=said):
        from_mapping(PillarsConfig, to_mapping(TINY) | {key: value}, "config.yaml")
