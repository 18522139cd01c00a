"""A detector whose answers are known: it reports one car for each point of the cloud."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from torch import nn

from cosense.detectors.base import Detector, Encoded
from cosense.geometry.transforms import Matrix, invert, transform_points
from cosense.methods.model import Model
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from tests.threads import one_thread

__all__ = ["model", "observe", "one_thread"]


@dataclasses.dataclass(frozen=True, eq=False)
class Points(Encoded):
    """The cloud itself."""

    xyzi: np.ndarray


class PointIsCar(Detector):
    """Reports a car of 4 x 2 x 1.5 m, heading along x, centred at each point; the intensity is the score."""

    Config = dict

    @classmethod
    def build(cls, config: dict, seed: int) -> nn.Module:
        return nn.Module()

    def encode(self, frame: AgentFrame) -> Points:
        return Points(frame.points)

    def decode(self, encoded: Points) -> Detections:
        points = encoded.xyzi
        boxes = np.zeros((len(points), 7))
        boxes[:, :3] = points[:, :3]
        boxes[:, 3:6] = (4.0, 2.0, 1.5)
        count = len(points)
        return Detections(boxes, points[:, 3], np.zeros(count, np.int64), np.zeros(count, np.uint8))


@pytest.fixture
def model() -> Model:
    return Model("points", PointIsCar("points", {}, nn.Module(), fingerprint=b"12345678"))


Observe = Callable[..., AgentFrame]


@pytest.fixture
def observe() -> Observe:
    """Return a function that makes the frame of an agent at a pose who sees points of the world."""

    def frame(
        name: str, T_world_agent: Matrix, world_xyz: list, scores: list, stamp_ns: int = 0
    ) -> AgentFrame:
        world = np.array(world_xyz, dtype=np.float64).reshape(-1, 3)
        xyz = transform_points(invert(T_world_agent), world)
        points = np.column_stack([xyz, scores]).astype(np.float32)
        return AgentFrame(name, "vehicle", stamp_ns, T_world_agent, points)

    return frame
