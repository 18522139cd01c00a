"""Conversion between CARLA's axes and ours.

CARLA's world is left-handed (x forward, y right, z up; yaw turns clockwise seen from above), ours is
right-handed (REP-103: y left). A transform is converted by mirroring the y axis of both its frames. A pose in
OPV2V files is `[x, y, z, roll, yaw, pitch]` in metres and degrees. A CARLA camera looks along its x axis; our
optical frame has z forward, x right, y down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from cosense.geometry.transforms import Matrix, invert, transform_from

# It is its own inverse.
MIRROR_Y: Matrix = np.diag([1.0, -1.0, 1.0, 1.0])

# Rows: optical x, y, z in CARLA's camera axes.
_T_OPTICAL_CARLA: Matrix = np.array(
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def mirrored(T: Matrix) -> Matrix:
    """Return the same transform between frames whose y axes point the other way."""
    return np.asarray(MIRROR_Y @ T @ MIRROR_Y)


def matrix_from_pose(pose: Sequence[float]) -> Matrix:
    """Return the (4,4) transform of `[x, y, z, roll, yaw, pitch]` (metres, degrees), without mirroring."""
    x, y, z, *angles = (float(value) for value in pose)
    roll, yaw, pitch = np.radians(angles)
    cr, sr, cy, sy, cp, sp = (
        np.cos(roll),
        np.sin(roll),
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
    )
    rotation = [
        [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
        [cp * sy, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
        [sp, -cp * sr, cp * cr],
    ]
    return transform_from(rotation, [x, y, z])


def pose_from_matrix(T: Matrix) -> list[float]:
    """Return `[x, y, z, roll, yaw, pitch]` (metres, degrees); the inverse of `matrix_from_pose`."""
    roll = np.arctan2(-T[2, 1], T[2, 2])
    yaw = np.arctan2(T[1, 0], T[0, 0])
    pitch = np.arcsin(np.clip(T[2, 0], -1.0, 1.0))
    return [float(value) for value in (*T[:3, 3], *np.degrees([roll, yaw, pitch]))]


def T_camera_agent_from_extrinsic(extrinsic: ArrayLike) -> Matrix:
    """Return T_camera_agent (4,4) from OPV2V's `extrinsic` (LiDAR to camera, both with CARLA's axes)."""
    return np.asarray(_T_OPTICAL_CARLA @ np.asarray(extrinsic, dtype=np.float64) @ MIRROR_Y)


def extrinsic_from_T_camera_agent(T_camera_agent: Matrix) -> Matrix:
    """Return OPV2V's `extrinsic` (4,4); the inverse of `T_camera_agent_from_extrinsic`."""
    return np.asarray(invert(_T_OPTICAL_CARLA) @ T_camera_agent @ MIRROR_Y)
