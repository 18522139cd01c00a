from __future__ import annotations

import numpy as np

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego
from cosense.cooperation.outcome import FusionResult
from cosense.cooperation.sender import Sender
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.methods.model import Model
from cosense.sensing.detections import Source
from cosense.sensing.frame import AgentFrame
from tests.cooperation.networks import perceived

T_WORLD_EGO = transform_from_planar(100.0, 50.0, 1.0, 2.0)
T_WORLD_UNIT = transform_from_planar(130.0, 40.0, -2.5, 6.0)
SEEN_BY_EGO, SEEN_BY_UNIT = [105.0, 60.0, 1.0], [125.0, 45.0, 1.0]


def sent(model: Model, fusion: str, agent: AgentFrame) -> bytes:
    return Sender(agent.agent_id, model, fusion).message(perceived(model, agent), 0, None)


def fuse_points(model: Model, agent: AgentFrame, *messages: bytes) -> FusionResult:
    ego = Ego(model, "early")
    return ego.fuse(ego.view(perceived(model, agent), 0), [receive(data) for data in messages]).result


def test_points_of_others_arrive_in_the_ego_frame(observe, model):
    ego = observe("ego", T_WORLD_EGO, [SEEN_BY_EGO], [1.0])
    unit = observe("unit", T_WORLD_UNIT, [SEEN_BY_UNIT, [100.0, 50.0, 1.5]], [0.4, 1.0])
    data = sent(model, "early", unit)
    result = fuse_points(model, ego, data)
    expected = transform_points(invert(T_WORLD_EGO), np.array([SEEN_BY_EGO, SEEN_BY_UNIT]))
    # The unit's second point is the ego's own roof.
    np.testing.assert_allclose(result.detections.boxes[:, :3], expected, atol=0.01)
    assert result.detections.sources.tolist() == [Source.FUSED, Source.FUSED]
    assert [(report.sender, report.used_for) for report in result.peers] == [("unit", "points")]
    assert result.peers[0].bytes == len(data)


def test_without_usable_points_the_ego_is_on_its_own(observe, model):
    ego = observe("ego", T_WORLD_EGO, [SEEN_BY_EGO], [1.0])
    unit = observe("unit", T_WORLD_UNIT, [SEEN_BY_UNIT], [0.4])
    result = fuse_points(model, ego, sent(model, "late", unit), b"garbage")
    assert result.detections.sources.tolist() == [Source.EGO]
    assert [report.used_for for report in result.peers] == ["nothing", "nothing"]
    assert "carries OBJECTS, this fusion uses POINTS" in result.peers[0].reason
