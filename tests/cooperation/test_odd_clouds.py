"""Clouds that show no road, two of them or hardly anything go through agent and ego like any others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego
from cosense.cooperation.sender import Sender
from cosense.geometry.transforms import transform_from_planar
from tests.cooperation.networks import MS, NO_POINTS, cooperative, frame, perceived
from tests.detectors.networks import cloud

MODEL = cooperative()
NOW = 1000 * MS
ROAD = cloud(points=3000)
RING = 5 * np.column_stack([np.cos(turn := np.linspace(0, 6.28, 900)), np.sin(turn)])


def of(xy: np.ndarray, z: np.ndarray | float) -> np.ndarray:
    return np.column_stack([xy, np.broadcast_to(z, len(xy)), np.full(len(xy), 0.3)]).astype(np.float32)


CLOUDS = {
    "no return": NO_POINTS,
    "a hundred points": ROAD[:100],
    "one beam on the road": of(RING, -1.9),
    "one beam on walls": of(np.clip(1.6 * RING, -6, 6), 0.0),
    "only a ceiling": of(ROAD[:, :2], 2.5),
    "upside down": ROAD * np.float32([1, -1, -1, 1]),
    "a road below a bridge": np.concatenate([ROAD, of(ROAD[:, :2], 4.0)]),
    "a road below that of the sensor": np.concatenate([ROAD, of(ROAD[:, :2] + [0, 9], -7.5)]),
}


@pytest.mark.parametrize("points", CLOUDS.values(), ids=CLOUDS)
def test_who_sees_no_usual_road_still_sends_and_fuses(points: np.ndarray) -> None:
    usual = frame("usual", transform_from_planar(500, 0, 0.2), NOW)
    odd = dataclasses.replace(
        frame("odd", transform_from_planar(503, 1, 2.0), NOW, points=points), kind="infrastructure"
    )
    for ego_frame, other in ((usual, odd), (odd, usual)):
        sent = Sender(other.agent_id, MODEL, "hybrid").message(perceived(MODEL, other), 0, None)
        assert sent is not None
        ego = Ego(MODEL, "hybrid")
        result = ego.fuse(ego.view(perceived(MODEL, ego_frame), 0), [receive(sent)]).result
        (report,) = result.peers
        assert report.used_for in ("features", "boxes"), report.reason
        assert np.isfinite(result.detections.boxes).all()
        assert all(count <= 250 for count in result.request_bytes.values())
