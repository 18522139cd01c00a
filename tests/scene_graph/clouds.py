"""Clouds of a LiDAR in scenes of upright faces on flat ground, cast exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# One upright face: x and y of both ends, and how high it is above the ground.
Face = tuple[float, float, float, float, float]


def box(x: float, y: float, length: float, width: float, top: float, yaw: float = 0.0) -> list[Face]:
    """Return the four faces of a block."""
    along, across = np.array([np.cos(yaw), np.sin(yaw)]), np.array([-np.sin(yaw), np.cos(yaw)])
    corners = [
        np.array([x, y]) + sx * length / 2 * along + sy * width / 2 * across
        for sx, sy in ((1, 1), (1, -1), (-1, -1), (-1, 1))
    ]
    return [(*corners[k], *corners[(k + 1) % 4], top) for k in range(4)]


def pole(x: float, y: float, thickness: float, top: float) -> list[Face]:
    """Return a round column of twelve faces."""
    turns = np.arange(13) * np.pi / 6
    ring = np.column_stack([x + thickness / 2 * np.cos(turns), y + thickness / 2 * np.sin(turns)])
    return [(*ring[k], *ring[k + 1], top) for k in range(12)]


def cloud(faces: list[Face], height_m: float = 1.9) -> NDArray[np.float32]:
    """Return (N,4) as a sensor at the origin, `height_m` above flat ground, sees the faces."""
    azimuth = np.radians(np.arange(-180, 180, 0.2)) + 1e-4
    slope = np.tan(np.radians(np.arange(-25, 15, 0.5)))
    direction = np.column_stack([np.cos(azimuth), np.sin(azimuth)])
    ends = np.array(faces).reshape(-1, 5)[:, :, None]
    x0, y0, edge_x, edge_y = ends[:, 0], ends[:, 1], ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = direction[:, 0] * edge_y - direction[:, 1] * edge_x
        distance = (x0 * edge_y - y0 * edge_x) / cross
        share = (x0 * direction[:, 1] - y0 * direction[:, 0]) / cross
    distance[~((distance > 0) & (share >= 0) & (share <= 1))] = 1e9
    points = []
    for row in slope:
        ground = -height_m / row if row < 0 else np.inf
        hit = np.where(distance * row + height_m <= ends[:, 4], distance, 1e9)
        nearest = np.minimum(hit.min(axis=0, initial=np.inf), ground if ground < 150 else np.inf)
        seen = nearest < 1e9
        points.append(np.column_stack([direction[seen] * nearest[seen, None], row * nearest[seen]]))
    xyz = np.concatenate(points)
    return np.column_stack([xyz, np.full(len(xyz), 0.3)]).astype(np.float32)
