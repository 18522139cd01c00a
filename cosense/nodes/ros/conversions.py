"""ROS messages to arrays and back.

Arrays go into messages as `array.array('B')`, the type that rclpy stores as it is; a list of a million
numbers would take a second.
"""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import OccupancyGrid
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField
from std_msgs.msg import Header, UInt8MultiArray

from cosense.geometry.transforms import Matrix, quaternion_of, transform_points
from cosense.sensing.cloud import to_records
from cosense.sensing.cloud_formats.ros_messages import PLANAR, cloud_fields
from cosense.sensing.cloud_formats.ros_messages import cloud_to_points as cloud_to_points
from cosense.sensing.cloud_formats.ros_messages import cloud_to_raw as cloud_to_raw
from cosense.sensing.cloud_formats.ros_messages import message_to_pose as message_to_pose
from cosense.sensing.cloud_formats.ros_messages import to_ns as to_ns
from cosense.sensing.detections import Detections
from cosense.sensing.frame import Camera
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import ObjectClass
from cosense.topics import MAP_FRAME
from cosense.viewer.colors import SOURCE_NAMES

# Boxes in full precision: what is fused live can be compared with what is fused offline.
_DETECTION = np.dtype(
    [(name, "<f8") for name in ("x", "y", "z", "l", "w", "h", "yaw")]
    + [("score", "<f4"), ("label", "<i4"), ("source", "<u4")]
)


def byte_array(data: bytes) -> array.array:
    """Return bytes as rclpy stores them."""
    return array.array("B", data)


def bytes_to_message(data: bytes) -> UInt8MultiArray:
    """Wrap an encoded message of `cosense.messages`."""
    return UInt8MultiArray(data=byte_array(data))


def message_to_bytes(message: UInt8MultiArray) -> bytes:
    """Unwrap an encoded message of `cosense.messages`."""
    return bytes(message.data)


def to_time(stamp_ns: int) -> Time:
    """Return nanoseconds as a ROS stamp."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Return a header."""
    return Header(stamp=to_time(stamp_ns), frame_id=frame_id)


def points_to_cloud(
    points: NDArray[np.float32], stamp_ns: int, frame_id: str, rings: NDArray[np.int16] | None = None
) -> PointCloud2:
    """Return points (N,4) of x, y, z and intensity in [0, 1], with their rings (N,) where these are known."""
    return _to_cloud(to_records(points, rings), header(stamp_ns, frame_id))


def detections_to_cloud(detections: Detections, stamp_ns: int, frame_id: str) -> PointCloud2:
    """Return detections as a cloud of box centres with the fields x y z l w h yaw score label source."""
    records = np.zeros(len(detections), dtype=_DETECTION)
    for column, name in enumerate(("x", "y", "z", "l", "w", "h", "yaw")):
        records[name] = detections.boxes[:, column]
    records["score"] = detections.scores
    records["label"] = detections.labels
    records["source"] = detections.sources
    return _to_cloud(records, header(stamp_ns, frame_id))


def detections_to_boxes(detections: Detections, stamp_ns: int, frame_id: str) -> Any:
    """Return detections as a vision_msgs/Detection3DArray; the ids name where a box comes from."""
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    message = Detection3DArray(header=header(stamp_ns, frame_id))
    for index, box in enumerate(detections.boxes):
        found = Detection3D(header=message.header)
        found.bbox.center = to_pose(box[:3], yaw_quaternion(box[6]))
        found.bbox.size.x, found.bbox.size.y, found.bbox.size.z = (float(size) for size in box[3:6])
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = ObjectClass(int(detections.labels[index])).name.lower()
        hypothesis.hypothesis.score = float(detections.scores[index])
        hypothesis.pose.pose = found.bbox.center
        found.results.append(hypothesis)
        found.id = f"{SOURCE_NAMES[detections.sources[index]]} {index}"
        message.detections.append(found)
    return message


def yaw_quaternion(yaw_rad: float) -> NDArray[np.float64]:
    """Return (x, y, z, w) of a turn about z."""
    return np.array([0.0, 0.0, np.sin(yaw_rad / 2), np.cos(yaw_rad / 2)])


def pose_to_message(
    T_world_agent: Matrix, covariance: NDArray[np.float64], stamp_ns: int
) -> PoseWithCovarianceStamped:
    """Return the pose of an agent in the map with the covariance (3,3) of (x, y, yaw)."""
    full = np.zeros((6, 6))
    full[PLANAR] = covariance
    message = PoseWithCovarianceStamped(header=header(stamp_ns, MAP_FRAME))
    message.pose.pose = to_pose(T_world_agent[:3, 3], quaternion_of(T_world_agent))
    message.pose.covariance = full.reshape(-1)
    return message


def pose_to_transform(T_dst_src: Matrix, stamp_ns: int, dst: str, src: str) -> TransformStamped:
    """Return a transform as tf2 has it: the pose of frame `src` in its parent `dst`."""
    pose = to_pose(T_dst_src[:3, 3], quaternion_of(T_dst_src))
    message = TransformStamped(header=header(stamp_ns, dst), child_frame_id=src)
    position, translation = pose.position, message.transform.translation
    translation.x, translation.y, translation.z = position.x, position.y, position.z
    message.transform.rotation = pose.orientation
    return message


def to_pose(position: NDArray, quaternion_xyzw: NDArray) -> Pose:
    """Return position and orientation as a ROS pose."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = (float(value) for value in position)
    orientation = pose.orientation
    orientation.x, orientation.y, orientation.z, orientation.w = (float(value) for value in quaternion_xyzw)
    return pose


def image_to_message(camera: Camera, frame_id: str) -> Image:
    """Return an image as it is."""
    height, width = camera.image.shape[:2]
    return Image(
        header=header(camera.stamp_ns, frame_id),
        height=height,
        width=width,
        encoding="rgb8",
        step=3 * width,
        data=byte_array(camera.image.tobytes()),
    )


def image_to_jpeg(camera: Camera, frame_id: str) -> CompressedImage:
    """Return an image as JPEG, a tenth of the size."""
    import cv2

    encoded = cv2.imencode(".jpg", cv2.cvtColor(camera.image, cv2.COLOR_RGB2BGR))[1]
    return CompressedImage(
        header=header(camera.stamp_ns, frame_id), format="jpeg", data=byte_array(encoded.tobytes())
    )


def camera_to_info(camera: Camera, frame_id: str) -> CameraInfo:
    """Return the calibration of a camera without distortion."""
    height, width = camera.image.shape[:2]
    projection = np.column_stack([camera.K, np.zeros(3)])
    return CameraInfo(
        header=header(camera.stamp_ns, frame_id),
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=camera.K.reshape(-1).astype(np.float64),
        r=np.eye(3).reshape(-1),
        p=projection.reshape(-1).astype(np.float64),
    )


def map_to_occupancy(
    values: NDArray, grid: BevGrid, T_frame_map: Matrix, stamp_ns: int, frame_id: str
) -> OccupancyGrid:
    """Return a map (H,W) of numbers in [0, 1] as percentages, with the pose of its grid in a frame."""
    message = OccupancyGrid(header=header(stamp_ns, frame_id))
    message.info.height, message.info.width = values.shape
    message.info.resolution = grid.cell_m
    corner = transform_points(T_frame_map, np.array([[*grid.range_m[:2], 0.0]]))[0]
    message.info.origin = to_pose(corner, quaternion_of(T_frame_map))
    percent = np.round(100 * np.clip(values.astype(np.float64), 0, 1)).astype(np.int8)
    message.data = array.array("b", percent.tobytes())
    return message


def _to_cloud(records: NDArray, cloud_header: Header) -> PointCloud2:
    """Return a structured array (N,) as an unordered cloud."""
    fields = [
        PointField(name=name, offset=offset, datatype=datatype, count=1)
        for name, offset, datatype in cloud_fields(records.dtype)
    ]
    return PointCloud2(
        header=cloud_header,
        height=1,
        width=len(records),
        fields=fields,
        is_bigendian=False,
        point_step=records.dtype.itemsize,
        row_step=records.nbytes,
        data=byte_array(records.tobytes()),
        is_dense=True,
    )
