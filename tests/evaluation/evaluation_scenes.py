"""Small scenes for the tests of this room: boxes at chosen places, detected or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cosense.evaluation.metrics import FrameResult
from cosense.perception.detections import Detections
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
) -> FrameResult:
    counts = np.array(num_points if num_points is not None else [100] * len(truth), dtype=np.int64)
    return FrameResult(frame_id, found, truth, counts, sent or {}, elapsed_ms)
