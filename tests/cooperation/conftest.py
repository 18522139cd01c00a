"""A detector whose answers are known: it reports one car for each point of the cloud."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from cosense.geometry.transforms import Matrix, invert, transform_points
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from tests.threads import one_thread

__all__ = ["detector", "observe", "one_thread"]


@dataclasses.dataclass
class PointIsCar:
    """Reports a car of 4 x 2 x 1.5 m, heading along x, centred at each point; the intensity is the score."""

    fingerprint: bytes = b"12345678"

    def detect(self, points: np.ndarray) -> Detections:
        return self.decode(self.encode(points))

    def encode(self, points: np.ndarray) -> np.ndarray:
        return points

    def decode(self, points: np.ndarray) -> Detections:
        boxes = np.zeros((len(points), 7))
        boxes[:, :3] = points[:, :3]
        boxes[:, 3:6] = (4.0, 2.0, 1.5)
        count = len(points)
        return Detections(boxes, points[:, 3], np.zeros(count, np.int64), np.zeros(count, np.uint8))


@pytest.fixture
def detector() -> PointIsCar:
    return PointIsCar()


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
