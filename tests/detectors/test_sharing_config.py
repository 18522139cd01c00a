"""What `patches` and `cosdh` in a config.yaml may say."""

from __future__ import annotations

import dataclasses

import pytest

from cosense.config import from_mapping, to_mapping
from cosense.detectors.config import (
    DETECTED_CLASSES,
    CosdhConfig,
    ModelConfig,
    PatchesConfig,
    StageConfig,
    detected_class,
)
from cosense.errors import CosenseError
from cosense.sensing.objects import ObjectClass
from tests.detectors.networks import TINY


def test_both_profiles_survive_a_config_file() -> None:
    for change in ({"patches": PatchesConfig(bits=8)}, {"cosdh": CosdhConfig(fusion="attention")}):
        config = dataclasses.replace(TINY, **change)
        assert from_mapping(ModelConfig, to_mapping(config), "config.yaml") == config


def test_a_model_shares_features_in_one_way() -> None:
    with pytest.raises(ValueError, match="two ways of sharing features"):
        dataclasses.replace(TINY, patches=PatchesConfig(), cosdh=CosdhConfig())
    two = (StageConfig(1, 8), StageConfig(1, 16))
    with pytest.raises(ValueError, match="patches need 3 stages, there are 2"):
        dataclasses.replace(TINY, stages=two, patches=PatchesConfig())
    dataclasses.replace(TINY, stages=two, cosdh=CosdhConfig())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channels": 0}, "are at least 1"),
        ({"fused_channels": -1}, "are at least 1"),
        ({"unwanted_weight": 1.1}, "unwanted_weight is 1.1"),
        ({"unwanted_weight": float("nan")}, "unwanted_weight is nan"),
        ({"wanted_below_points": -1}, "are at least 0"),
        ({"floor_after_patches": -1}, "are at least 0"),
    ],
)
def test_patches_refuse_nonsense(change: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        PatchesConfig(**change)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"codec_ratio": 0}, "codec_ratio is 0"),
        ({"gaussian_kernel": 4}, "odd number of cells"),
        ({"gaussian_sigma": 0.0}, "sigma above 0"),
        ({"gaussian_sigma": float("nan")}, "sigma above 0"),
        ({"supply_threshold": -0.1}, "supply_threshold is -0.1"),
        ({"late_score_threshold": 2.0}, "late_score_threshold is 2.0"),
        ({"late_score_factor": float("nan")}, "late_score_factor is nan"),
    ],
)
def test_cosdh_refuses_nonsense(change: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CosdhConfig(**change)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("patches", "bits"), 3, "bits"),
        (("cosdh", "fusion"), "mean", "fusion"),
        (("patches", "channel"), 8, "did you mean 'channels'"),
    ],
)
def test_a_config_file_is_refused_by_the_key(path: tuple[str, str], value: object, complaint: str) -> None:
    mapping = to_mapping(TINY) | {path[0]: {path[1]: value}}
    with pytest.raises(CosenseError, match=complaint):
        from_mapping(ModelConfig, mapping, "config.yaml")


def test_every_vehicle_is_a_car_and_what_is_not_detected_is_nothing() -> None:
    for label in (ObjectClass.CAR, ObjectClass.VAN, ObjectClass.TRUCK, ObjectClass.BUS):
        assert detected_class(label) == 0
    assert [detected_class(label) for label in DETECTED_CLASSES] == [0, 1, 2]
    assert detected_class(ObjectClass.TRAFFIC_CONE) is None
