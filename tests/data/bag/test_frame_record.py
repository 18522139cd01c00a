from __future__ import annotations

import json

import numpy as np
import pytest

from cosense.data.bag.frame_record import FrameRecord, record_from_text, record_of, record_to_text
from cosense.data.dataset import NO_LABELS, CooperativeFrame
from cosense.errors import CosenseError
from cosense.geometry.boxes import as_boxes
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.labelled_area import LabelledArea, Sector
from cosense.sensing.objects import Objects


@pytest.fixture
def record() -> FrameRecord:
    T = np.random.default_rng(1).normal(size=(4, 4))
    camera = Camera("front", np.zeros((2, 2, 3), np.uint8), np.eye(3), T, 5)
    points = np.zeros((0, 4), np.float32)
    agents = {
        "7": AgentFrame("7", "vehicle", 123_456_789_012_345_678, np.eye(4), points, cameras=(camera,)),
        "-1": AgentFrame("-1", "infrastructure", 0, np.eye(4), points),
    }
    return record_of(CooperativeFrame("a/1", "a", "7", agents, Objects.empty()), "original")


def test_every_bit_arrives(record):
    again = record_from_text(record_to_text(record), "bag")
    assert again == record
    assert list(again.agents) == ["7", "-1"]
    camera = again.agents["7"].cameras["front"]
    assert camera.stamp_ns == 5
    assert camera.T_camera_agent.reshape(-1).tolist() == record.agents["7"].cameras["front"].transform


def test_a_frame_without_labels_says_so():
    agent = AgentFrame("7", "vehicle", 1, np.eye(4), np.zeros((0, 4), np.float32))
    frame = CooperativeFrame("a/1", "a", "7", {"7": agent}, Objects.empty(), is_labelled=False)
    assert record_of(frame, "original").label_set == NO_LABELS


def test_where_labels_say_something_arrives():
    """Kind: false alarms behind a camera, in a bag that was made of labelled clouds."""
    agent = AgentFrame("7", "vehicle", 1, np.eye(4), np.zeros((0, 4), np.float32))
    area = LabelledArea((Sector.of_degrees(-45, 45),), as_boxes([[9, 2, -1, 4, 2, 1.5, 0.1]]))
    frame = CooperativeFrame("a/1", "a", "7", {"7": agent}, Objects.empty(), labelled=area)
    again = record_from_text(record_to_text(record_of(frame, "label")), "bag")
    assert again.area.to_lists() == area.to_lists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"labelled": {"sectors": [[1]]}}, "labelled is .* expected 'sectors' and 'ignored'"),
        ({"ego_id": "8"}, "ego '8' is none of the agents"),
        ({"agents": {"7": {"kind": "drone", "stamp_ns": 1}}}, "agents.7: kind: 'drone' is not allowed"),
        (
            {
                "agents": {
                    "7": {
                        "kind": "vehicle",
                        "stamp_ns": 1,
                        "cameras": {"a": {"stamp_ns": 1, "transform": [1]}},
                    }
                }
            },
            "1 number, expected 16",
        ),
        ({"frame": "a"}, "unknown key 'frame', did you mean 'frame_id'"),
    ],
)
def test_what_is_not_a_record(record, change, complaint):
    text = json.dumps({**json.loads(record_to_text(record)), **change})
    with pytest.raises(CosenseError, match=complaint):
        record_from_text(text, "bag: /cosense/frame")


def test_what_is_not_even_json():
    with pytest.raises(CosenseError, match="bag: /cosense/frame: not JSON"):
        record_from_text("hello", "bag: /cosense/frame")
