from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.cooperation.share import share
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.objects import decode_objects
from cosense.messages.points import decode_points
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame

DETECTOR = SimpleNamespace(fingerprint=b"12345678")


def frame(points: int = 500) -> AgentFrame:
    cloud = np.random.default_rng(0).uniform(-50, 50, (points, 4)).astype(np.float32)
    cloud[:, 3] = 0.5
    return AgentFrame("unit", "infrastructure", 1234, transform_from_planar(5, 6, 0.5), cloud)


def boxes(count: int) -> Detections:
    found = np.tile([1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0], (count, 1))
    found[:, 0] = np.arange(count)
    scores = np.linspace(0.1, 0.9, count).astype(np.float32)
    return Detections(found, scores, np.zeros(count, np.int64), np.zeros(count, np.uint8))


def test_objects_carry_pose_stamp_and_fingerprint():
    message = decode(share(frame(), boxes(3), DETECTOR, PayloadKind.OBJECTS, sequence=9))
    assert (message.sender, message.sequence, message.stamp_ns) == ("unit", 9, 1234)
    assert message.fingerprint == b"12345678"
    np.testing.assert_allclose(message.T_world_agent, frame().T_world_agent, atol=1e-6)
    assert decode_objects(message.payload).boxes[:, 0].tolist() == [2, 1, 0]


def test_the_sequence_wraps():
    data = share(frame(), boxes(1), DETECTOR, PayloadKind.OBJECTS, sequence=2**32 + 3)
    assert decode(data).sequence == 3


@given(st.integers(106, 2000))
def test_objects_fill_the_budget_with_the_best(budget):
    data = share(frame(), boxes(50), DETECTOR, PayloadKind.OBJECTS, 0, budget)
    read = decode_objects(decode(data).payload)
    expected = min(50, (budget - 106) // 17)
    assert len(data) == 106 + 17 * expected <= budget
    assert read.boxes[:, 0].tolist() == list(range(49, 49 - expected, -1))


@settings(max_examples=30)
@given(st.integers(109, 6000))
def test_points_are_thinned_evenly_into_the_budget(budget):
    data = share(frame(), None, DETECTOR, PayloadKind.POINTS, 0, budget)
    sent = decode_points(decode(data).payload)
    assert len(data) <= budget
    # Random coordinates do not compress: what is missing is at most a few points.
    assert len(sent) >= min(500, (budget - 109) / 7 * 0.9 - 3)
    if len(sent) > 1:
        source = [int(np.argmin(np.abs(frame().points[:, :3] - xyz).sum(1))) for xyz in sent[:, :3]]
        assert max(np.diff(source)) <= np.ceil(500 / len(sent))


@pytest.mark.parametrize(("kind", "smallest"), [(PayloadKind.OBJECTS, 106), (PayloadKind.POINTS, 109)])
def test_a_budget_below_an_empty_message_names_the_smallest(kind, smallest):
    with pytest.raises(CosenseError, match=f"budget of {smallest - 1} bytes .* takes {smallest}"):
        share(frame(), boxes(1), DETECTOR, kind, 0, smallest - 1)
    assert len(share(frame(), boxes(1), DETECTOR, kind, 0, smallest)) == smallest


def test_kinds_of_later_are_refused():
    with pytest.raises(CosenseError, match="FEATURES cannot be sent yet"):
        share(frame(), boxes(1), DETECTOR, PayloadKind.FEATURES, 0)
