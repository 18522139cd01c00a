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
from cosense.sensing.cloud import RawCloud, find_fields, read_alone

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
    """Return points (N,4), x, y, z in metres and intensity in [0, 1], of a cloud that belongs to no stream.

    Raises:
        CosenseError: as `cloud_to_raw`, or the coordinates are no metres.
    """
    return read_alone(cloud_to_raw(cloud)).points


def cloud_to_raw(cloud: Any) -> RawCloud:
    """Return a cloud as it is sent; the fields are found by their names.

    Drivers differ in what they write into row_step. Where rows of that length fit the data, it counts; where
    they do not, as with 0, the number of points or the size of the whole cloud, the points follow each other.

    Args:
        cloud: sensor_msgs/msg/PointCloud2.

    Raises:
        CosenseError: x, y or z is missing, or the points do not fit the data.
    """
    if not len(cloud.fields) and not len(cloud.data):
        # What a driver sends before its sensor is on.
        none = np.zeros(0, np.float32)
        return RawCloud(f"cloud of '{cloud.header.frame_id}'", (none, none, none), None)
    known = [field for field in cloud.fields if field.datatype in _TYPES and field.count <= 1]
    found = find_fields([field.name for field in known])
    if found is None:
        names = [field.name.lower() for field in known]
        missing = next(name for name in "xyz" if name not in names)
        others = {field.name: (field.datatype, field.count) for field in cloud.fields if field not in known}
        of_which = f"; datatype and count of {others} are not those of one number" if others else ""
        raise CosenseError(f"cloud has no field '{missing}', only {sorted(names)}{of_which}")
    order = ">" if cloud.is_bigendian else "<"
    for field in (known[position] for position in found.wanted):
        end = field.offset + np.dtype(_TYPES[field.datatype]).itemsize
        if end > cloud.point_step:
            raise CosenseError(
                f"cloud has points of {cloud.point_step} bytes, and field '{field.name}' in them ends at "
                f"byte {end}"
            )
    try:
        dtype = np.dtype(
            {
                "names": [f"{position}" for position in found.wanted],
                "formats": [order + _TYPES[known[position].datatype] for position in found.wanted],
                "offsets": [known[position].offset for position in found.wanted],
                "itemsize": cloud.point_step,
            }
        )
        points = _points_of(cloud, dtype)
    except ValueError as error:
        raise CosenseError(
            f"cloud of {cloud.width} x {cloud.height} points of {cloud.point_step} bytes, rows of "
            f"{cloud.row_step}, has {len(cloud.data)} bytes: {error}"
        ) from None
    columns = [points[name] for name in dtype.names or ()]
    return found.assembled(f"cloud of '{cloud.header.frame_id}'", columns)


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
        CosenseError: the orientation is no rotation, as tf2 judges it, or a number is not finite.
    """
    translation = [position.x, position.y, position.z]
    quaternion = [orientation.x, orientation.y, orientation.z, orientation.w]
    if not np.isfinite(translation).all() or not abs(np.dot(quaternion, quaternion) - 1) < 1e-2:
        reason = "" if any(quaternion) else ": no orientation is set"
        raise CosenseError(
            f"pose with position {translation} and orientation {quaternion} is not valid{reason}"
        )
    return transform_from_quaternion(translation, quaternion)


def _points_of(cloud: Any, dtype: np.dtype) -> NDArray:
    """Return the points of a cloud as a structured array (N,).

    Raises:
        ValueError: they do not fit the data.
    """
    data = np.frombuffer(cloud.data, dtype=np.uint8)
    height, width, step = cloud.height, cloud.width, cloud.point_step
    if not height * width and len(data):
        # One of the two may be left out of a cloud in one row.
        height, width = 1, max(height, width)
        if width * step != len(data):
            raise ValueError("points that are announced as none")
    if not height * width:
        return np.zeros(0, dtype)
    row_bytes = width * step
    last_row = (height - 1) * cloud.row_step
    if cloud.row_step >= row_bytes and last_row + row_bytes <= len(data):
        return np.ndarray((height, width), dtype, data, strides=(cloud.row_step, step)).reshape(-1)
    if height * row_bytes > len(data):
        raise ValueError(f"the points take {height * row_bytes} bytes")
    return np.ndarray(height * width, dtype, data)
