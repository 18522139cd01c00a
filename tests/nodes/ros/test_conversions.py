from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.errors import CosenseError
from cosense.geometry.transforms import (
    transform_from_planar,
    transform_from_quaternion,
    transform_from_slopes,
)
from cosense.sensing.detections import Detections
from cosense.sensing.frame import Camera
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import Objects

pytest.importorskip("sensor_msgs.msg", reason="ROS 2 messages are not installed: pip install 'cosense[ros]'")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import UInt8MultiArray
from visualization_msgs.msg import Marker, MarkerArray

from cosense.nodes.ros import conversions
from cosense.nodes.ros.markers import fused_markers, markers_alone, objects_to_markers

STAMP_NS = 1_626_155_123_000_000_001
POINTS = np.array([[1.5, -2.5, 0.25, 0.5], [100.0, 7.0, -1.0, 1.0]], dtype=np.float32)


def over_the_wire(message):
    """What the subscriber gets."""
    return deserialize_message(serialize_message(message), type(message))


def detections(count: int) -> Detections:
    rng = np.random.default_rng(count)
    return Detections(
        rng.normal(size=(count, 7)) * 100,
        rng.random(count).astype(np.float32),
        rng.integers(0, 10, count),
        rng.integers(0, 3, count).astype(np.uint8),
    )


@given(st.binary(max_size=300))
def test_bytes_arrive_as_they_are(data):
    assert conversions.message_to_bytes(over_the_wire(conversions.bytes_to_message(data))) == data
    assert isinstance(conversions.bytes_to_message(data), UInt8MultiArray)


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_keep_their_nanoseconds(stamp_ns):
    assert conversions.to_ns(conversions.to_time(stamp_ns)) == stamp_ns


def test_a_map_lies_where_its_grid_is_row_by_row():
    grid = BevGrid((-2.0, -4.0, 0.0, 4.0, 0.0, 1.0), 2.0)
    values = np.array([[0.0, 0.5, 1.0], [2.0, -1.0, 0.126]])
    T_lidar_map = transform_from_slopes(0.1, 0.0) @ transform_from_planar(0.0, 0.0, 0.0, -1.75)
    message = over_the_wire(conversions.map_to_occupancy(values, grid, T_lidar_map, STAMP_NS, "unit/lidar"))
    assert list(message.data) == [0, 50, 100, 100, 0, 13]
    assert (message.info.height, message.info.width, message.info.resolution) == (2, 3, 2.0)
    origin = message.info.origin
    # It leans with the ground, which rises by a tenth along x.
    lean = np.arctan(0.1)
    up, along = np.array([-np.sin(lean), 0, np.cos(lean)]), np.array([np.cos(lean), 0, np.sin(lean)])
    corner = -1.75 * up - 2.0 * along + [0, -4.0, 0]
    np.testing.assert_allclose([origin.position.x, origin.position.y, origin.position.z], corner, atol=1e-9)
    assert origin.orientation.y == pytest.approx(-np.sin(lean / 2))
    assert (message.header.frame_id, conversions.to_ns(message.header.stamp)) == ("unit/lidar", STAMP_NS)


@pytest.mark.parametrize("is_ringed", [False, True], ids=["plain", "with rings"])
@pytest.mark.parametrize("points", [POINTS, POINTS[:0]])
def test_points_arrive_bit_by_bit(points, is_ringed):
    rings = np.arange(len(points), dtype=np.int16) if is_ringed else None
    cloud = over_the_wire(conversions.points_to_cloud(points, STAMP_NS, "unit/lidar", rings))
    assert (cloud.header.frame_id, conversions.to_ns(cloud.header.stamp)) == ("unit/lidar", STAMP_NS)
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "intensity"] + ["ring"] * is_ringed
    read = conversions.cloud_to_points(cloud)
    if rings is not None:
        np.testing.assert_array_equal(conversions.cloud_to_raw(cloud).rings, rings)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, points)


def foreign_cloud(dtype: np.dtype, records: np.ndarray, height: int = 1, padding: int = 0) -> PointCloud2:
    """Return a cloud as a driver writes it: any fields, rows with padding at their ends."""
    numbers = {
        "f4": PointField.FLOAT32,
        "f8": PointField.FLOAT64,
        "u1": PointField.UINT8,
        "u2": PointField.UINT16,
    }
    rows = records.reshape(height, -1)
    data = b"".join(row.tobytes() + bytes(padding) for row in rows)
    return PointCloud2(
        height=height,
        width=rows.shape[1],
        fields=[
            PointField(
                name=name, offset=dtype.fields[name][1], datatype=numbers[dtype[name].str[1:]], count=1
            )
            for name in dtype.names
        ],
        is_bigendian=dtype["x"].str[0] == ">",
        point_step=dtype.itemsize,
        row_step=rows.shape[1] * dtype.itemsize + padding,
        data=data,
    )


@pytest.mark.parametrize(
    ("fields", "intensity"),
    [
        ([("x", "<f4"), ("y", "<f4"), ("z", "<f4")], [0, 0]),
        ([("x", "<f8"), ("y", "<f8"), ("z", "<f8"), ("intensity", "u1"), ("ring", "<u2")], [1.0, 51 / 255]),
        ([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")], [1.0, 51 / 255]),
        (
            [("ring", ">u2"), ("z", ">f4"), ("y", ">f4"), ("x", ">f4"), ("intensity", ">u2")],
            [1.0, 51 / 255],
        ),
    ],
)
@pytest.mark.parametrize(("height", "padding"), [(1, 0), (2, 5)])
def test_clouds_of_other_drivers_are_read(fields, intensity, height, padding):
    dtype = np.dtype(fields)
    records = np.zeros(2, dtype)
    for column, name in enumerate("xyz"):
        records[name] = POINTS[:, column]
    if "intensity" in dtype.names:
        records["intensity"] = [255, 51]
    read = conversions.cloud_to_points(foreign_cloud(dtype, records, height, padding))
    np.testing.assert_allclose(read[:, :3], POINTS[:, :3])
    np.testing.assert_allclose(read[:, 3], intensity, rtol=1e-6)


def test_points_that_are_not_finite_are_dropped():
    points = np.concatenate([POINTS, [[np.nan, 0, 0, 0], [0, np.inf, 0, 0], [0, 0, 0, np.nan]]]).astype(
        np.float32
    )
    cloud = conversions.points_to_cloud(points, 0, "unit/lidar")
    np.testing.assert_array_equal(conversions.cloud_to_points(cloud), POINTS)


def test_broken_clouds_are_named():
    cloud = conversions.points_to_cloud(POINTS, 0, "")
    cloud.fields = cloud.fields[:2]
    with pytest.raises(CosenseError, match="cloud has no field 'z', only"):
        conversions.cloud_to_points(cloud)
    cloud = conversions.points_to_cloud(POINTS, 0, "")
    cloud.data = cloud.data[:-1]
    with pytest.raises(CosenseError, match="cloud of 2 x 1 points of 16 bytes, rows of 32, has 31 bytes"):
        conversions.cloud_to_points(cloud)
    cloud = conversions.points_to_cloud(POINTS, 0, "")
    cloud.fields[2].offset = 14
    with pytest.raises(CosenseError, match="points of 16 bytes, and field 'z' in them ends at byte 18"):
        conversions.cloud_to_points(cloud)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_detections_arrive_bit_by_bit(count):
    sent = detections(count)
    cloud = over_the_wire(conversions.detections_to_cloud(sent, STAMP_NS, "ego"))
    formats = {PointField.FLOAT64: "<f8", PointField.FLOAT32: "<f4", PointField.INT32: "<i4"}
    formats[PointField.UINT32] = "<u4"
    layout = np.dtype([(field.name, formats[field.datatype]) for field in cloud.fields])
    assert [field.offset for field in cloud.fields] == [layout.fields[name][1] for name in layout.names]
    assert (cloud.point_step, cloud.width) == (layout.itemsize, count)
    read = np.frombuffer(cloud.data, layout)
    for column, name in enumerate(("x", "y", "z", "l", "w", "h", "yaw")):
        np.testing.assert_array_equal(read[name], sent.boxes[:, column])
    for name, values in (("score", sent.scores), ("label", sent.labels), ("source", sent.sources)):
        np.testing.assert_array_equal(read[name], values)


def test_poses_arrive_with_their_planar_covariance():
    T_world_agent = transform_from_quaternion([4e6, -5e5, 30.25], np.array([0.1, -0.2, 0.3, 0.9]))
    covariance = np.array([[0.25, 0.1, 0.01], [0.1, 0.5, 0.02], [0.01, 0.02, 0.03]])
    message = over_the_wire(conversions.pose_to_message(T_world_agent, covariance, STAMP_NS))
    assert message.header.frame_id == "map"
    T, read = conversions.message_to_pose(message)
    np.testing.assert_allclose(T, T_world_agent, atol=1e-14)
    np.testing.assert_array_equal(T[:, 3], T_world_agent[:, 3])
    np.testing.assert_array_equal(read, covariance)


def test_transforms_name_the_child_in_its_parent():
    T = transform_from_planar(1.0, 2.0, np.pi / 2, 3.0)
    message = over_the_wire(conversions.pose_to_transform(T, STAMP_NS, "map", "unit/lidar"))
    assert (message.header.frame_id, message.child_frame_id) == ("map", "unit/lidar")
    translation, rotation = message.transform.translation, message.transform.rotation
    assert (translation.x, translation.y, translation.z) == (1.0, 2.0, 3.0)
    assert 2 * np.arctan2(rotation.z, rotation.w) == pytest.approx(np.pi / 2)


@pytest.mark.parametrize(("field", "value"), [("position", np.nan), ("orientation", 3.0)])
def test_poses_that_are_none_are_refused(field, value):
    message = conversions.pose_to_message(np.eye(4), np.zeros((3, 3)), 0)
    getattr(message.pose.pose, field).x = value
    with pytest.raises(CosenseError, match="is not valid"):
        conversions.message_to_pose(message)


def test_images_and_their_calibration():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    K = np.array([[500.0, 0, 3], [0, 510, 2], [0, 0, 1]])
    camera = Camera("front", image, K, np.eye(4), STAMP_NS)
    message = over_the_wire(conversions.image_to_message(camera, "ego/front"))
    assert (message.height, message.width, message.step, message.encoding) == (4, 6, 18, "rgb8")
    np.testing.assert_array_equal(np.frombuffer(message.data, np.uint8).reshape(4, 6, 3), image)
    info = over_the_wire(conversions.camera_to_info(camera, "ego/front"))
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), K)
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], K)
    jpeg = over_the_wire(conversions.image_to_jpeg(camera, "ego/front"))
    assert jpeg.format == "jpeg"
    assert bytes(jpeg.data[:2]) == b"\xff\xd8"


def test_markers_replace_those_of_the_frame_before():
    box = [1.0, 2.0, 3.0, 4.0, 2.0, 1.5, np.pi / 2]
    found = Detections(np.array([box]), np.array([0.5], np.float32), np.array([4]), np.array([1], np.uint8))
    message: MarkerArray = over_the_wire(fused_markers(found, "car_1", STAMP_NS, "ego/lidar"))
    clear, cube, label = message.markers
    assert clear.action == Marker.DELETEALL
    assert (cube.type, cube.header.frame_id) == (Marker.CUBE, "ego/lidar")
    assert (cube.ns, label.ns) == ("car_1: received as a box", "car_1: labels")
    assert (label.type, label.text) == (Marker.TEXT_VIEW_FACING, "pedestrian 0.50")
    assert label.pose.position.z == pytest.approx(3.0 + 1.5 / 2 + 0.6)
    # A fusion that is gone leaves nothing behind.
    assert cube.lifetime.sec == label.lifetime.sec == 2
    assert (cube.scale.x, cube.scale.y, cube.scale.z) == (4.0, 2.0, 1.5)
    position, turn = cube.pose.position, cube.pose.orientation
    assert (position.x, position.y, position.z) == (1.0, 2.0, 3.0)
    assert 2 * np.arctan2(turn.z, turn.w) == pytest.approx(np.pi / 2)
    truth = Objects(np.array([box]), np.array([0]), np.array(["track 7"]))
    _, labelled, label = over_the_wire(objects_to_markers(truth, STAMP_NS, "ego/lidar")).markers
    assert (labelled.ns, labelled.text, label.text) == ("car", "track 7", "car track 7")
    assert labelled.color != cube.color
    alone = Detections(found.boxes, found.scores, found.labels, np.array([0], np.uint8))
    assert markers_alone(alone, "unit", STAMP_NS, "unit/lidar").markers[1].ns == "unit: detected alone"


def test_the_frame_of_a_planar_pose_points_along_its_heading():
    message = conversions.pose_to_message(transform_from_planar(0, 0, np.pi / 2), np.zeros((3, 3)), 0)
    T, _ = conversions.message_to_pose(message)
    np.testing.assert_allclose(T[:3, 0], [0, 1, 0], atol=1e-15)
