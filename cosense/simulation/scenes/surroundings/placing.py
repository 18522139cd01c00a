"""Where things may stand beside a road: places along an arm, and ground that nothing else uses."""

from __future__ import annotations

import numpy as np

from cosense.geometry.boxes import bev_corners
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.roads import Arm
from cosense.simulation.scenes.surface import Ground

# How far from the middle an arm is furnished.
FURNISHED_M = 115.0
# x, y, length, width and yaw of what a thing covers, in metres and radians.
Footprint = tuple[float, float, float, float, float]


def facing_road(arm: Arm, side: int, along_m: float, from_centre_m: float) -> tuple[float, float, float]:
    """Return the pose x, y, yaw of a thing beside an arm whose front, its -y side, faces the road.

    Args:
        arm: the arm.
        side: +1 left of the outward direction, -1 right of it.
        along_m: arc length of the arm.
        from_centre_m: distance from the centre line of the arm.
    """
    x, y, yaw = arm.pose(along_m, side * from_centre_m)
    return x, y, yaw if side > 0 else yaw + np.pi


def is_free(ground: Ground, footprint: Footprint, margin_m: float = 0.0) -> bool:
    """Return whether a footprint, with a margin, lies on unused ground only."""
    x, y, length, width, yaw = footprint
    along = np.linspace(-0.5, 0.5, max(3, round(length) + 1)) * (length + 2 * margin_m)
    across = np.linspace(-0.5, 0.5, max(3, round(width) + 1)) * (width + 2 * margin_m)
    u, v = (grid.ravel() for grid in np.meshgrid(along, across))
    xy = np.column_stack([x + u * np.cos(yaw) - v * np.sin(yaw), y + u * np.sin(yaw) + v * np.cos(yaw)])
    return bool((ground.material_at(xy) == Material.GRASS).all())


def occupy(ground: Ground, footprint: Footprint, material: Material = Material.CONCRETE) -> None:
    """Mark the ground under a footprint as used, by the material that covers it."""
    x, y, length, width, yaw = footprint
    ground.paint(bev_corners([[x, y, 0, length, width, 1, yaw]])[0], material)
