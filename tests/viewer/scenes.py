"""A street corner drawn by hand: what the rendering tests look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.boxes import Boxes, transform_boxes
from cosense.geometry.transforms import Matrix, invert, transform_from_planar
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame, AgentKind
from cosense.sensing.objects import ObjectClass, Objects

CARS = np.array(
    [
        [18.0, -3.5, 0.8, 4.5, 1.9, 1.6, 0.0],
        [36.0, 3.5, 0.8, 4.6, 1.9, 1.6, np.pi],
        [47.0, -3.5, 0.8, 4.3, 1.8, 1.5, 0.0],
        [-22.0, 3.5, 0.8, 4.5, 1.9, 1.6, np.pi],
        [31.0, 24.0, 0.8, 4.4, 1.8, 1.5, -np.pi / 2],
        [31.0, 33.0, 0.8, 4.4, 1.8, 1.5, -np.pi / 2],
        [34.5, -28.0, 0.8, 4.5, 1.9, 1.6, np.pi / 2],
        [62.0, 3.5, 1.4, 9.0, 2.5, 2.8, np.pi],
    ]
)  # in the world; the crossing street runs along x = 33
BUILDINGS = np.array(
    [
        [8.0, 24.0, 5.0, 32.0, 26.0, 10.0, 0.0],
        [8.0, -26.0, 5.0, 32.0, 26.0, 10.0, 0.0],
        [66.0, 28.0, 5.0, 40.0, 30.0, 10.0, 0.0],
    ]
)
T_WORLD_EGO = transform_from_planar(0.0, -3.5, 0.0, z=1.9)
T_WORLD_UNIT = transform_from_planar(42.0, 12.0, np.deg2rad(-135.0), z=6.0)


def street(*, objects: bool = True, unit: bool = True) -> CooperativeFrame:
    """Return an ego that drives towards a crossing, and a roadside unit that looks into the side streets."""
    around = np.arange(-180.0, 180.0, 0.6)
    ego = _agent("vehicle", "vehicle", T_WORLD_EGO, around, np.linspace(-25.0, 5.0, 40))
    ahead = np.arange(-60.0, 60.0, 0.4)
    mast = _agent("mast", "infrastructure", T_WORLD_UNIT, ahead, np.linspace(-40.0, 0.0, 60))
    agents = {"vehicle": ego, "mast": mast} if unit else {"vehicle": ego}
    truth = Objects(CARS, np.full(len(CARS), ObjectClass.CAR), np.arange(len(CARS)).astype(str))
    truth = truth.transformed(invert(T_WORLD_EGO)) if objects else Objects.empty()
    return CooperativeFrame("000042", "corner", "vehicle", agents, truth)


def detections_of(boxes: Boxes, sources: list[Source] | None = None) -> Detections:
    """Return detections of CARs with falling scores."""
    count = len(boxes)
    return Detections(
        boxes,
        np.linspace(0.9, 0.3, count).astype(np.float32),
        np.zeros(count, dtype=np.int64),
        np.array(sources if sources is not None else [Source.EGO] * count, dtype=np.uint8),
    )


def found(frame: CooperativeFrame, indices: list[int], source: Source = Source.EGO) -> Detections:
    """Return detections a few centimetres beside the chosen objects."""
    boxes = frame.ground_truth.boxes[indices] + [0.15, -0.1, 0, 0, 0, 0, 0.02]
    return detections_of(boxes, [source] * len(indices))


def false_alarm() -> Detections:
    """Return a detection on the street where nothing is."""
    return detections_of(np.array([[8.0, 6.0, -1.1, 6.0, 3.0, 1.5, 0.0]]))


def _agent(
    name: str, kind: AgentKind, T_world_agent: Matrix, azimuth_deg: NDArray, elevation_deg: NDArray
) -> AgentFrame:
    azimuth, elevation = (a.ravel() for a in np.meshgrid(np.deg2rad(azimuth_deg), np.deg2rad(elevation_deg)))
    directions = np.column_stack(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    boxes = transform_boxes(invert(T_world_agent), np.vstack([CARS, BUILDINGS]))
    distance = _cast(directions, boxes, ground_z=-T_world_agent[2, 3])
    back = distance < 110
    xyz = directions[back] * distance[back, None]
    points = np.column_stack([xyz, np.full(len(xyz), 0.5)]).astype(np.float32)
    return AgentFrame(name, kind, 0, T_world_agent, points)


def _cast(directions: NDArray, boxes: Boxes, ground_z: float) -> NDArray:
    """Return the distance (N,) at which rays (N,3) from the origin meet ground or a box, else infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(directions[:, 2] < 0, ground_z / directions[:, 2], np.inf)
        for x, y, z, length, width, height, yaw in boxes:
            turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
            origin, local = -turn @ [x, y, z], directions @ turn.T
            half = np.array([length, width, height]) / 2
            near, far = np.sort([(-half - origin) / local, (half - origin) / local], axis=0)
            enter, leave = near.max(1), far.min(1)
            distance = np.where((enter > 0) & (enter <= leave), np.minimum(distance, enter), distance)
    return distance
