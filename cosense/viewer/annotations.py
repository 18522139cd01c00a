"""What pictures and the report add to a frame: a fitting extent, and which area each agent sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.transforms import invert, transform_points
from cosense.sensing.grid import BevGrid
from cosense.sensing.levelling import LevelFrame
from cosense.sensing.visibility import visible_places

SECTOR_RAD = np.deg2rad(5.0)
MIN_SECTOR_GAP_RAD = np.deg2rad(30.0)  # narrower gaps are nearby walls or mirrors, not the end of the field


# A picture shows at least a street corner and, agents apart, at most the range of the usual protocols.
Extent = tuple[float, float, float, float]
ASPECT = (2.0, 2.5)  # smallest and largest ratio of width to height
MIN_HEIGHT_M = 44.0
REACH_M = np.array([100.0, 40.0])
MARGIN_M = 10.0
MIN_SCORE = 0.3  # a detector reports far more boxes than anybody would act upon


def fitting_extent(frame: CooperativeFrame) -> Extent:
    """Return the extent in the ego frame around agents and ground truth, in whole metres.

    An extent is (x_min, y_min, x_max, y_max).
    """
    return extent_around(frame, frame.ground_truth.boxes[:, :2])


def extent_around(frame: CooperativeFrame, objects: NDArray[np.float64]) -> Extent:
    """Return the extent in the ego frame around agents and places (K,2), in whole metres."""
    agents = np.array([frame.T_ego_agent(agent_id)[:2, 3] for agent_id in frame.agents])
    places = np.vstack([agents, np.clip(objects, MARGIN_M - REACH_M, REACH_M - MARGIN_M)])
    low, high = places.min(axis=0) - MARGIN_M, places.max(axis=0) + MARGIN_M
    width, height = high - low
    half_height = np.ceil(max(height, width / ASPECT[1], MIN_HEIGHT_M) / 2)
    half = np.array([np.ceil(max(width / 2, ASPECT[0] * half_height)), half_height])
    centre = np.round((low + high) / 2)
    x_min, y_min, x_max, y_max = (float(value) for value in (*(centre - half), *(centre + half)))
    return x_min, y_min, x_max, y_max


def seen_by(frame: CooperativeFrame, agents: Sequence[LevelFrame], grid: BevGrid) -> NDArray[np.bool_]:
    """Return (A,H,W): whether each agent of a frame, levelled, sees each cell of a grid in the ego frame."""
    xy = grid.centres().reshape(-1, 2)
    places = np.column_stack([xy, np.zeros(len(xy))])
    maps = []
    for agent in agents:
        T_level_ego = invert(frame.T_ego_agent(agent.agent_id) @ agent.T_sensor_level)
        maps.append(visible_places(agent.points, agent.ground, transform_points(T_level_ego, places)[:, :2]))
    return np.array(maps).reshape(-1, *grid.shape)


def field_of_view(points: NDArray) -> tuple[float, float]:
    """Return the field of view of a cloud (N,>=2) as (first azimuth, width), in radians.

    The width is 2 pi for a rotating LiDAR and 0 for an empty cloud.
    """
    if len(points) == 0:
        return 0.0, 0.0
    sectors = round(2 * np.pi / SECTOR_RAD)
    azimuth = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    used = np.unique((azimuth / SECTOR_RAD).astype(np.int64) % sectors)
    gaps = np.diff(np.append(used, used[0] + sectors)) - 1
    widest = int(np.argmax(gaps))
    if gaps[widest] * SECTOR_RAD < MIN_SECTOR_GAP_RAD:
        return 0.0, 2 * np.pi
    first = used[(widest + 1) % len(used)]
    return float(first * SECTOR_RAD), float((sectors - gaps[widest]) * SECTOR_RAD)
