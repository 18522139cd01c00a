"""How certain the place of another agent's box is, and what that leaves of its chance to be right.

Poses and age move a box; its error is taken as Gaussian, along the heading and across it, and the chance that
it still overlaps its object by so much follows by quadrature. For a box of l × w that is off by u along and v
across its axis,

    IoU >= t   is   (1 - |u|/l)(1 - |v|/w) >= 2t / (1 + t)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from cosense.geometry.boxes import Boxes
from cosense.sensing.detections import Detections
from cosense.sensing.objects import VEHICLES

# A box is right roughly from the first overlap on, and exactly from the second.
ROUGHLY, EXACTLY = 0.5, 0.7
# Of the boxes of a detector, too, only so many that are right are exact, though their places are known.
EXACT_SHARE = 0.7
# How wrong a velocity is that was measured over half a second, and how fast a vehicle may be of which nothing
# is known: many stand.
_VELOCITY_ERROR_MPS = 1.0
_UNKNOWN_VELOCITY_MPS = 6.0
# Medians of 24 equally likely slices of a standard normal distribution.
_NODES = ndtri((np.arange(24) + 0.5) / 24)


def place_errors_m(
    sender_covariance: NDArray[np.float64],
    ego_covariance: NDArray[np.float64],
    from_sender_m: NDArray[np.float64],
    from_ego_m: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """Return (M,): standard deviation per axis of places at these distances from both, by both poses."""
    planar = (np.trace(sender_covariance[:2, :2]) + np.trace(ego_covariance[:2, :2])) / 2
    turned = from_sender_m**2 * sender_covariance[2, 2] + np.square(from_ego_m) * ego_covariance[2, 2]
    return np.sqrt(planar + turned / 2)


def spreads_m(
    detections: Detections,
    velocities_mps: NDArray[np.float64],
    errors_m: NDArray[np.float64],
    age_ms: float,
) -> NDArray[np.float64]:
    """Return (M,2): standard deviation of the place of each box along its heading and across it.

    Args:
        detections: boxes of one sender.
        velocities_mps: (M,2), NaN where not known.
        errors_m: (M,) standard deviation per axis by both poses.
        age_ms: age of the message.
    """
    age_s = max(age_ms, 0.0) / 1e3
    is_vehicle = np.isin(detections.labels, VEHICLES)
    unknown = np.where(is_vehicle, _UNKNOWN_VELOCITY_MPS, _VELOCITY_ERROR_MPS)
    known = np.isfinite(velocities_mps).all(axis=1)
    moved = np.where(known, _VELOCITY_ERROR_MPS, unknown) * age_s
    return np.column_stack([np.hypot(errors_m, moved), np.hypot(errors_m, np.where(is_vehicle, 0.0, moved))])


def chance(boxes: Boxes, spreads: NDArray[np.float64], iou: float) -> NDArray[np.float64]:
    """Return (M,) in [0, 1]: how likely boxes (M,7) of spreads (M,2) overlap their objects by `iou`."""
    u = 1 - np.abs(_NODES) * spreads[:, :1] / boxes[:, 3:4]
    v = 1 - np.abs(_NODES) * spreads[:, 1:] / boxes[:, 4:5]
    overlap = np.clip(u, 0, None)[:, :, None] * np.clip(v, 0, None)[:, None, :]
    return np.asarray((overlap >= 2 * iou / (1 + iou)).mean(axis=(1, 2)))
