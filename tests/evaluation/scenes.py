"""Small scenes for the tests of this room: boxes at chosen places, detected or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
from cosense.detectors.base import Detector, Encoded
from cosense.evaluation.run_files import FrameResult
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.methods.model import Model
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea
from cosense.sensing.objects import ObjectClass, Objects

CAR_SIZE = (4.5, 1.8, 1.5)
BUS_SIZE = (12.0, 2.5, 3.0)


def box(
    x: float, y: float = 0.0, size: tuple[float, float, float] = CAR_SIZE, z: float = -1.0, yaw: float = 0.0
) -> list[float]:
    return [x, y, z, *size, yaw]


def objects(boxes: Sequence[Sequence[float]], labels: Sequence[ObjectClass] | None = None) -> Objects:
    count = len(boxes)
    return Objects(
        np.array(boxes, dtype=np.float64).reshape(-1, 7),
        np.array(labels or [ObjectClass.CAR] * count, dtype=np.int64),
        np.array([str(index) for index in range(count)], dtype=np.str_),
    )


def detections(
    boxes: Sequence[Sequence[float]], scores: Sequence[float], labels: Sequence[ObjectClass] | None = None
) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, dtype=np.float64).reshape(-1, 7),
        np.array(scores, dtype=np.float32),
        np.array(labels or [ObjectClass.CAR] * count, dtype=np.int64),
        np.zeros(count, dtype=np.uint8),
    )


def result(
    found: Detections,
    truth: Objects,
    num_points: Sequence[int] | None = None,
    sent: Mapping[str, int] | None = None,
    elapsed_ms: float = 10.0,
    frame_id: str = "0",
    participants: Sequence[tuple[float, float]] = (),
    labelled: LabelledArea = EVERYWHERE,
) -> FrameResult:
    counts = np.array(num_points if num_points is not None else [100] * len(truth), dtype=np.int64)
    places = np.reshape(np.array(participants, dtype=np.float64), (-1, 2))
    return FrameResult(frame_id, found, truth, counts, places, sent or {}, elapsed_ms, labelled)


class Points(Encoded):
    """The points themselves."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points


class PointIsCar(Detector):
    """A detector whose answers are known: one car for each point of the cloud, the intensity is its score."""

    @classmethod
    def build(cls, config: None, seed: int) -> nn.Module:
        return nn.Module()

    def encode(self, frame: AgentFrame) -> Points:
        return Points(frame.points)

    def decode(self, encoded: Encoded) -> Detections:
        assert isinstance(encoded, Points)
        boxes = [box(x, y, z=z) for x, y, z in encoded.points[:, :3]]
        return detections(boxes, encoded.points[:, 3])


def point_is_car(name: str = "point-is-car") -> Model:
    """Return a model that shares boxes and points only."""
    identity = {"fingerprint": b"12345678", "weights_sha256": "ab" * 32}
    return Model(name, PointIsCar(name, None, nn.Module(), **identity))


@dataclass
class Scenes(Dataset):
    """A data set in memory; an exception in place of a frame is raised when the frame is asked for."""

    frames: list[CooperativeFrame | Exception]
    kind: str = "in-memory"
    path: Path = Path("scenes")
    split: str = "val"
    label_set: str = "simulated"
    async_frames: int = 0

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> CooperativeFrame:
        frame = self.frames[index]
        if isinstance(frame, Exception):
            raise frame
        return frame

    def info(self, *, verify: bool = False) -> DatasetInfo:
        return DatasetInfo(self.kind, self.path, self.label_set, {self.split: len(self)}, {}, [])


def two_agents(seed: int) -> CooperativeFrame:
    """Return a frame with one car that only the ego sees, one that only the unit sees, and one false alarm.

    The ego drives somewhere in the world, the unit stands 20 m ahead of it and looks back.
    """
    random = np.random.default_rng(seed)
    score, shift_m = random.uniform(0.6, 0.9, 3), random.uniform(-0.2, 0.2)
    T_world_ego = transform_from_planar(*random.uniform(-500, 500, 2), random.uniform(-3, 3), z=22.0)
    T_ego_unit = transform_from_planar(20.0, 0.0, np.pi, z=4.0)
    seen_by_ego = np.array([[10 + shift_m, 0, -1, score[0]], [-30, 5, -1, score[1] - 0.3]], dtype=np.float32)
    in_ego = np.array([[35 + shift_m, -3, -1, score[2]]], dtype=np.float32)
    seen_by_unit = in_ego.copy()
    seen_by_unit[:, :3] = transform_points(invert(T_ego_unit), in_ego[:, :3])
    stamp_ns = seed * 100_000_000
    ego = AgentFrame("ego", "vehicle", stamp_ns, T_world_ego, seen_by_ego)
    unit = AgentFrame("unit", "infrastructure", stamp_ns, T_world_ego @ T_ego_unit, seen_by_unit)
    truth = objects([box(10), box(35, -3)])
    return CooperativeFrame(f"{seed:06d}", "one", "ego", {"ego": ego, "unit": unit}, truth)
