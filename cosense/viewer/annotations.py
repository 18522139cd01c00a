"""What pictures and the report add to a frame: which objects were found, and which area each agent sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.matching import NOT_MATCHED, iou_matrix, match_by_detection
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import invert, transform_points
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import Objects
from cosense.sensing.visibility import visible_places

MATCH_IOU = 0.5  # overlap of the footprints, as in AP@0.5
SECTOR_RAD = np.deg2rad(5.0)
MIN_SECTOR_GAP_RAD = np.deg2rad(30.0)  # narrower gaps are nearby walls or mirrors, not the end of the field


# A picture shows at least a street corner and, agents apart, at most the range of the usual protocols.
Extent = tuple[float, float, float, float]
ASPECT = (2.0, 2.5)  # smallest and largest ratio of width to height
MIN_HEIGHT_M = 44.0
REACH_M = np.array([100.0, 40.0])
MARGIN_M = 10.0


@dataclass(frozen=True)
class Outcome:
    """Which detections are right and which objects were found: footprints with an IoU of a half match.

    Attributes:
        detection_found: (M,) bool, True for each detection of an object; the others are false alarms.
        truth_found: (K,) bool, True for each object that was found; the others were missed.
    """

    detection_found: NDArray[np.bool_]
    truth_found: NDArray[np.bool_]


def match(detections: Detections, ground_truth: Objects) -> NDArray[np.int64]:
    """Return (M,): index of the object of any class that each detection found, or `NOT_MATCHED`."""
    overlap = iou_matrix(detections.boxes, ground_truth.boxes, "bev")
    return match_by_detection(overlap, detections.scores, MATCH_IOU)


def outcome_of(detections: Detections, ground_truth: Objects) -> Outcome:
    """Return which detections are right and which objects were found."""
    found = match(detections, ground_truth)
    truth_found = np.zeros(len(ground_truth), dtype=bool)
    truth_found[found[found != NOT_MATCHED]] = True
    return Outcome(found != NOT_MATCHED, truth_found)


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


def within(boxes: Boxes, extent_m: Extent) -> NDArray[np.bool_]:
    """Return (M,): whether the centre of each box lies within the extent."""
    return np.all((boxes[:, :2] >= extent_m[:2]) & (boxes[:, :2] <= extent_m[2:]), axis=1)


def seen_by(frame: CooperativeFrame, grid: BevGrid) -> NDArray[np.bool_]:
    """Return (A,H,W): whether each agent, in their order, sees each cell of a grid in the ego frame."""
    xy = grid.centres().reshape(-1, 2)
    places = np.column_stack([xy, np.zeros(len(xy))])
    maps = []
    for agent_id, agent in frame.agents.items():
        T_agent_ego = invert(frame.T_ego_agent(agent_id))
        maps.append(visible_places(agent.points, transform_points(T_agent_ego, places)[:, :2]))
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
