"""Converts messages of ROS 2 drivers to arrays.

Only the fields of a message are used, so that it may come from rclpy as well as from `rosbags`, which reads
bags without ROS 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, transform_from_quaternion
from cosense.sensing.pcd import to_unit_range

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
# Type numbers of sensor_msgs/msg/PointField.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_TYPE_NUMBERS = {f"<{code}": number for number, code in _TYPES.items()}
# Rows and columns of (x, y, yaw) in the 6 x 6 covariance of (x, y, z, roll, pitch, yaw).
PLANAR = np.ix_((0, 1, 5), (0, 1, 5))


def to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/msg/Time as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def cloud_fields(dtype: np.dtype) -> list[tuple[str, int, int]]:
    """Return name, offset and type number of each field of a cloud of little-endian records."""
    assert dtype.fields is not None, "records have fields"
    found = [(name, *dtype.fields[name][:2]) for name in dtype.names or ()]
    return [(name, offset, _TYPE_NUMBERS[kind.newbyteorder("<").str]) for name, kind, offset in found]


def cloud_to_points(cloud: Any) -> NDArray[np.float32]:
    """Return points (N,4), x, y, z in metres and intensity in [0, 1]; rows that are not finite are dropped.

    The intensity is 0 in a cloud without intensities. Integer intensities are divided by the largest number
    of their type; for real numbers, `cosense.sensing.pcd.to_unit_range` decides whether they go to 1 or 255.

    Args:
        cloud: sensor_msgs/msg/PointCloud2.

    Raises:
        CosenseError: x, y or z is missing, or the length of the data does not fit.
    """
    records = _records(cloud, ("x", "y", "z"))
    names = records.dtype.names or ()
    points = np.zeros((len(records), 4), dtype=np.float32)
    for column, name in enumerate(("x", "y", "z")):
        points[:, column] = records[name]
    if "intensity" not in names:
        return points[np.isfinite(points).all(1)]
    intensity = records["intensity"]
    if np.issubdtype(intensity.dtype, np.integer):
        intensity = intensity / np.float32(np.iinfo(intensity.dtype).max)
    finite = np.isfinite(points).all(1) & np.isfinite(intensity)
    points[finite, 3] = to_unit_range(intensity[finite], f"cloud of '{cloud.header.frame_id}'")
    return points if finite.all() else points[finite]


def message_to_pose(message: Any) -> tuple[Matrix, NDArray[np.float64]]:
    """Return T_world_agent (4,4) and the covariance (3,3) of (x, y, yaw), which is zero if unknown.

    Args:
        message: geometry_msgs/msg/PoseWithCovarianceStamped or PoseStamped, or nav_msgs/msg/Odometry.

    Raises:
        CosenseError: the orientation is no rotation, or a number is not finite.
    """
    pose, covariance = message.pose, np.zeros((3, 3))
    if hasattr(pose, "covariance"):
        covariance = _covariance(np.asarray(pose.covariance, dtype=np.float64).reshape(6, 6)[PLANAR])
        pose = pose.pose
    return pose_to_matrix(pose.position, pose.orientation), covariance


def _covariance(given: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a covariance as it was given, as far as it is one.

    A variance that is negative or not finite is how some drivers say that nothing is known. Correlations that
    no variances allow are left out.
    """
    variances = np.diag(given)
    if not np.isfinite(given).all() or (variances < 0).any():
        return np.zeros_like(given)
    # A zero that rounding has made negative is no fault.
    is_one = np.linalg.eigvalsh((given + given.T) / 2).min() >= -1e-9 * max(1.0, variances.max())
    return given if is_one else np.diag(variances)


def pose_to_matrix(position: Any, orientation: Any) -> Matrix:
    """Return the transform (4,4) with a position, or translation, and an orientation as a quaternion.

    Raises:
        CosenseError: the orientation is no rotation, or a number is not finite.
    """
    translation = [position.x, position.y, position.z]
    quaternion = [orientation.x, orientation.y, orientation.z, orientation.w]
    if not np.isfinite(translation).all() or not abs(np.linalg.norm(quaternion) - 1) < 1e-3:
        raise CosenseError(f"pose with position {translation} and orientation {quaternion} is not valid")
    return transform_from_quaternion(translation, quaternion)


def _records(cloud: Any, needed: tuple[str, ...]) -> NDArray:
    """Return the points of a cloud as a structured array (N,) with all its fields."""
    known = {field.name: field for field in cloud.fields if field.datatype in _TYPES and field.count <= 1}
    missing = [name for name in needed if name not in known]
    if missing:
        raise CosenseError(f"cloud has no field '{missing[0]}', only {sorted(known)}")
    order = ">" if cloud.is_bigendian else "<"
    try:
        dtype = np.dtype(
            {
                "names": list(known),
                "formats": [order + _TYPES[field.datatype] for field in known.values()],
                "offsets": [field.offset for field in known.values()],
                "itemsize": cloud.point_step,
            }
        )
        rows = np.frombuffer(cloud.data, dtype=np.uint8).reshape(cloud.height, cloud.row_step)
        packed = np.ascontiguousarray(rows[:, : cloud.width * cloud.point_step])
        return packed.view(dtype).reshape(-1) if packed.size else np.zeros(0, dtype)
    except ValueError as error:
        raise CosenseError(
            f"cloud of {cloud.width} x {cloud.height} points of {cloud.point_step} bytes, rows of "
            f"{cloud.row_step}, has {len(cloud.data)} bytes: {error}"
        ) from None
