"""Vehicles that take part: a box around one that the labels leave out is no false alarm, and nothing found.

Labels describe what the agents are to find. Some data sets leave the agents themselves out, though each of
them is a vehicle on the road that the others see. Where an agent is comes from the data, never from a
message, so that nobody can claim to be where a false alarm is.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import footprints_contain
from cosense.sensing.detections import Detections
from cosense.sensing.objects import VEHICLES, Objects

# Where no protocol says it: how far from a footprint the sensor of its vehicle may be.
MARGIN_M = 0.5
Places = NDArray[np.float64]
# Nearer to the origin of the ego frame there is only the ego.
_EGO_M = 0.01


def as_places(places: Iterable[tuple[float, float]]) -> Places:
    """Return places as (K,2)."""
    return np.array(list(places), dtype=np.float64).reshape(-1, 2)


def on_unlabelled(
    detections: Detections, ground_truth: Objects, participants: Places, margin_m: float = MARGIN_M
) -> NDArray[np.bool_]:
    """Return (M,): which detections of vehicles are around a participant that no label of a vehicle covers.

    Labels are told by their place, not by their id: ids of agents and of objects are two numberings.

    Args:
        detections: (M,) boxes in the ego frame.
        ground_truth: all labels, in the ego frame.
        participants: (K,2) places of sensors in the ego frame, in metres.
        margin_m: distance from the footprint at which a sensor still belongs to it.
    """
    labelled = ground_truth.boxes[np.isin(ground_truth.labels, VEHICLES)]
    places = participants[~footprints_contain(labelled, participants, margin_m).any(axis=0)]
    around = footprints_contain(detections.boxes, places, margin_m).any(axis=1)
    return around & np.isin(detections.labels, VEHICLES)


def is_ego_label(ground_truth: Objects, participants: Places) -> NDArray[np.bool_]:
    """Return (K,): which labels are of the ego itself, where that is a vehicle: it need not find itself."""
    ego = participants[np.hypot(*participants.T) < _EGO_M]
    inside = footprints_contain(ground_truth.boxes, ego, 0.0).any(axis=1)
    return inside & np.isin(ground_truth.labels, VEHICLES)
