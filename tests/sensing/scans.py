"""Scans of scenes so simple that what a ray hits is a closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HEIGHT_M = 2.0
CAR = [15.0, 2.0, 0.8 - HEIGHT_M, 4.5, 1.8, 1.6, 0.4]
WALL = [40.0, 0.0, 1.0, 0.3, 60.0, 6.0, 0.0]


def scan(*boxes: list[float], shares: tuple[float, ...] = ()) -> NDArray[np.float32]:
    """Return the returns (N,4) of a LiDAR 2 m above level ground; each box stops a share of the rays."""
    elevation = np.deg2rad(np.linspace(-25, 3, 57))
    azimuth, slope = np.meshgrid(np.deg2rad(np.arange(0, 360, 0.25)), np.tan(elevation))
    ray = np.stack([np.cos(azimuth), np.sin(azimuth), slope], axis=-1).reshape(-1, 3)
    down = ray[:, 2] < -1e-9
    distance = np.full(len(ray), np.inf)
    distance[down] = -HEIGHT_M / ray[down, 2]
    rng = np.random.default_rng(0)
    for index, (x, y, z, length, width, height, yaw) in enumerate(boxes):
        turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
        start, along, half = turn @ [-x, -y, -z], ray @ turn.T, np.array([length, width, height]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            near, far = (-half - start) / along, (half - start) / along
        enters, leaves = np.minimum(near, far).max(axis=1), np.maximum(near, far).min(axis=1)
        share = (*shares, *[1.0] * len(boxes))[index]
        stops = (enters < leaves) & (enters > 0) & (rng.random(len(ray)) < share)
        # Leaves hang anywhere in a hedge.
        depth = rng.random(len(ray)) if share < 1 else np.zeros(len(ray))
        ends = enters[stops] + depth[stops] * (leaves - enters)[stops]
        distance[stops] = np.minimum(distance[stops], ends)
    hit = np.isfinite(distance) & (distance < 80)
    return np.column_stack([ray[hit] * distance[hit, None], np.zeros(hit.sum())]).astype(np.float32)
