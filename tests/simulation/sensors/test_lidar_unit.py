"""Which LiDARs are drawn, and what the tables of their beams say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.sensing.beams.elevations import PANDAR40P_DEG, VLP16_DEG, VLP32_DEG, XT32_DEG
from cosense.sensing.cloud_formats.pcd import read_pcd
from cosense.simulation.sensors.lidar_models import (
    MODELS,
    PANDAR40P,
    ROADSIDE300,
    TRAINING,
    UNSEEN,
)
from cosense.simulation.sensors.lidar_unit import LidarUnit, draw_unit
from cosense.simulation.sensors.weather import CLEAR, draw_weather


@pytest.mark.parametrize(
    ("scan", "table", "within_deg", "unseen"),
    [
        # The lowest beams had nothing in reach in those rooms; the makers' own calibration is a little off.
        ("pandar40p", PANDAR40P_DEG, 0.002, 2),
        ("vlp16", VLP16_DEG, 0.002, 1),
        ("vlp32", VLP32_DEG, 0.002, 0),
        ("xt32", XT32_DEG, 0.1, 0),
    ],
)
def test_tables_are_those_of_real_scans(
    scan: str, table: tuple[float, ...], within_deg: float, unseen: int, shared_data: Path
) -> None:
    xyz = read_pcd(shared_data / "lidar_scans" / f"{scan}.pcd").xyz.astype(np.float64)
    elevation = np.degrees(np.arcsin(xyz[:, 2] / np.linalg.norm(xyz, axis=1)))
    off = np.abs(elevation[:, None] - np.array(table))
    assert np.percentile(off.min(axis=1), 99) < within_deg
    assert set(off.argmin(axis=1)) == set(range(unseen, len(table)))


def test_tables_ascend_and_are_no_more_than_a_core_can_cast() -> None:
    for model in MODELS.values():
        assert np.all(np.diff(model.elevations_deg) > 0)
        assert model.beams * model.azimuths <= 150_000
    assert {name: model.beams for name, model in MODELS.items() if name[0] in "phvtx"} == {
        "pandar40p": 40,
        "vlp16": 16,
        "vlp32": 32,
        "twin32": 64,
        "hdl64": 64,
        "xt32": 32,
    }


def test_the_standard_equipment_is_that_of_dair_v2x() -> None:
    rng = np.random.default_rng(0)
    assert draw_unit("standard", "vehicle", rng).model is PANDAR40P
    assert draw_unit("standard", "infrastructure", rng).model is ROADSIDE300


def test_training_draws_many_and_never_the_unseen_ones() -> None:
    for kind in ("vehicle", "infrastructure"):
        units = [draw_unit("any", kind, np.random.default_rng(seed)) for seed in range(300)]
        drawn = {unit.model.name for unit in units}
        assert drawn >= {"drawn", *(model.name for model in TRAINING[kind] if model is not None)}
        held_out = {model.name for model in UNSEEN[kind] if model is not None}
        assert not drawn & {"xt32", "fine128", "solid192"}
        unseen = {draw_unit("unseen", kind, np.random.default_rng(seed)).model.name for seed in range(40)}
        assert unseen == held_out
        assert all(len(unit.bias_m) * unit.model.azimuths <= 131_072 for unit in units)
        assert {unit.intensity.gain == 0 for unit in units} == {True, False}


def test_a_name_goes_where_it_fits() -> None:
    rng = np.random.default_rng(0)
    assert draw_unit("xt32", "vehicle", rng).model.name == "xt32"
    assert draw_unit("xt32", "infrastructure", rng).model is ROADSIDE300
    assert draw_unit("solid128", "infrastructure", rng).model.name == "solid128"
    assert draw_unit("solid128", "vehicle", rng).model is PANDAR40P


def test_an_unknown_name_is_one_clear_error() -> None:
    with pytest.raises(CosenseError, match="lidar 'xt23' is unknown, did you mean 'xt32'"):
        draw_unit("xt23", "vehicle", np.random.default_rng(0))


def test_draws_repeat_with_the_seed() -> None:
    first, again, other = (draw_unit("any", "vehicle", np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.bias_m, again.bias_m)
    assert first.model == again.model
    assert first.seam_rad != other.seam_rad
    assert isinstance(first, LidarUnit)


def test_most_scenes_are_fair() -> None:
    drawn = [draw_weather(np.random.default_rng(seed)) for seed in range(400)]
    assert 0.5 < np.mean([weather is CLEAR for weather in drawn]) < 0.75
    assert len({weather.name for weather in drawn}) == 9
