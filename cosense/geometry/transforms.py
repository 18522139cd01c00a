"""Rigid transforms in 3D.

`T_dst_src` is a (4,4) float64 matrix that maps points of frame `src` into frame `dst`. World coordinates
reach thousands of metres, so poses stay float64. They are inverted by a linear solve, because the rotation in
a calibration file may not be exactly orthonormal, and its transpose is then not its inverse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation, Slerp

Matrix = NDArray[np.float64]


def wrap_angle(angle_rad: ArrayLike) -> NDArray[np.float64]:
    """Return the same angle, or array of angles, in [-pi, pi) radians."""
    wrapped = (np.asarray(angle_rad, dtype=np.float64) + np.pi) % (2 * np.pi) - np.pi
    # Just below a border the remainder is rounded up to a full turn. [()] turns an array without axes into a
    # scalar.
    return np.where(wrapped >= np.pi, -np.pi, wrapped)[()]


def transform_from(rotation: ArrayLike, translation: ArrayLike) -> Matrix:
    """Return the transform (4,4) with a rotation (3,3) and a translation (3,) in metres."""
    T = np.eye(4)
    T[:3, :3] = rotation
    T[:3, 3] = np.asarray(translation, dtype=np.float64).reshape(3)
    return T


def transform_from_planar(x: float, y: float, yaw: float, z: float = 0.0) -> Matrix:
    """Return the transform (4,4) with a rotation about +z by `yaw` (radians) and a translation in metres."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return transform_from([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], [x, y, z])


def transform_from_slopes(slope_x: float, slope_y: float) -> Matrix:
    """Return the rotation (4,4) from the levelled frame of a plane that rises by slopes per metre of x and y.

    The z axis of the levelled frame is the normal of the plane, its x axis lies above that of the frame in
    which the slopes are measured.
    """
    up = np.array([-slope_x, -slope_y, 1.0]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    forward = np.array([1.0, 0.0, slope_x]) / np.sqrt(1 + slope_x**2)
    return transform_from(np.column_stack([forward, np.cross(up, forward), up]), np.zeros(3))


def displaced(T_world_agent: Matrix, displacement: ArrayLike) -> Matrix:
    """Return a pose (4,4) moved in the plane.

    Args:
        T_world_agent: (4,4) pose to move.
        displacement: x and y in the world in metres, and a turn about the agent itself in radians.
    """
    x, y, yaw = np.asarray(displacement, dtype=np.float64)
    T = transform_from_planar(0, 0, yaw) @ T_world_agent
    T[:3, 3] = T_world_agent[:3, 3] + [x, y, 0]
    return T


def transform_from_quaternion(translation: ArrayLike, quaternion_xyzw: ArrayLike) -> Matrix:
    """Return the transform (4,4) with a translation in metres and a rotation as a quaternion (x, y, z, w)."""
    return transform_from(Rotation.from_quat(np.asarray(quaternion_xyzw)).as_matrix(), translation)


def quaternion_of(T: Matrix) -> NDArray[np.float64]:
    """Return the rotation of `T` as a unit quaternion (x, y, z, w) with w >= 0."""
    quaternion = Rotation.from_matrix(T[:3, :3]).as_quat()
    return -quaternion if quaternion[3] < 0 else quaternion


def yaw_of(T: Matrix) -> float:
    """Return the heading in radians: the direction of the x axis of `src`, seen from above in `dst`."""
    return float(np.arctan2(T[1, 0], T[0, 0]))


def invert(T_dst_src: Matrix) -> Matrix:
    """Return `T_src_dst`."""
    return np.asarray(np.linalg.solve(T_dst_src, np.eye(4)), dtype=np.float64)


def interpolated(T_first: Matrix, T_second: Matrix, fraction: float) -> Matrix:
    """Return the pose (4,4) at `fraction` in [0, 1] of a straight way that turns at a constant rate."""
    rotations = Rotation.from_matrix([T_first[:3, :3], T_second[:3, :3]])
    translation = (1 - fraction) * T_first[:3, 3] + fraction * T_second[:3, 3]
    return transform_from(Slerp([0, 1], rotations)(fraction).as_matrix(), translation)


def is_rigid(T: Matrix) -> bool:
    """Return whether a matrix (4,4) is a rotation and a translation."""
    R = T[:3, :3]
    return bool(
        np.allclose(R @ R.T, np.eye(3), atol=0.01) and np.linalg.det(R) > 0 and (T[3] == [0, 0, 0, 1]).all()
    )


def transform_points(T_dst_src: Matrix, xyz: NDArray) -> NDArray:
    """Map points (N,3) of `src` into `dst`; computed in float64, returned in the floating type of `xyz`."""
    xyz = np.asarray(xyz)
    moved = xyz.astype(np.float64) @ T_dst_src[:3, :3].T + T_dst_src[:3, 3]
    return moved.astype(xyz.dtype, copy=False) if xyz.dtype.kind == "f" else moved
