from __future__ import annotations

import numpy as np
import pytest

from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.offline import Cooperation, cooperate
from cosense.errors import CosenseError
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.sensing.detections import Source

T_WORLD_EGO = transform_from_planar(100.0, 50.0, 1.0, 2.0)
T_WORLD_UNIT = transform_from_planar(130.0, 40.0, -2.5, 6.0)
SEEN_BY_EGO, SEEN_BY_UNIT = [105.0, 60.0, 1.0], [125.0, 45.0, 1.0]


@pytest.fixture
def agents(observe):
    return [
        observe("ego", T_WORLD_EGO, [SEEN_BY_EGO], [1.0]),
        observe("unit", T_WORLD_UNIT, [SEEN_BY_UNIT], [0.4]),
    ]


@pytest.mark.parametrize(
    ("fusion", "sources", "used_for"),
    [
        ("none", [Source.EGO], []),
        ("late", [Source.EGO, Source.UNCONFIRMED], ["boxes"]),
        ("early", [Source.FUSED, Source.FUSED], ["points"]),
    ],
)
def test_what_the_others_see_is_gained(agents, model, fusion, sources, used_for):
    result = cooperate(agents, model, fusion, sequence=3)
    expected = transform_points(invert(T_WORLD_EGO), np.array([SEEN_BY_EGO, SEEN_BY_UNIT]))
    np.testing.assert_allclose(result.detections.boxes[:, :3], expected[: len(sources)], atol=0.015)
    assert result.detections.sources.tolist() == sources
    assert [report.used_for for report in result.peers] == used_for


@pytest.mark.parametrize("fusion", ["late", "early"])
def test_the_budget_limits_every_message(agents, model, fusion):
    result = cooperate(agents, model, fusion, budget_bytes=110)
    assert [report.bytes <= 110 for report in result.peers] == [True]
    assert len(result.detections) == 1


def test_settings_reach_the_receiver(observe, model, agents):
    late = observe("unit", T_WORLD_UNIT, [SEEN_BY_UNIT], [0.4], stamp_ns=-200_000_000)
    assert len(cooperate([agents[0], late], model, "late").detections) == 1
    patient = Cooperation(model, "late", admission=AdmissionSettings(max_age_ms=250.0))
    assert len(patient.step([agents[0], late], 0).result.detections) == 2


def test_an_ego_alone_is_enough(agents, model):
    assert len(cooperate(agents[:1], model, "late").detections) == 1
    assert len(cooperate(agents[:1], model, "early").detections) == 1


def test_an_unknown_fusion_names_the_nearest(agents, model):
    with pytest.raises(CosenseError, match="unknown fusion 'lat', did you mean 'late'"):
        cooperate(agents, model, "lat")
