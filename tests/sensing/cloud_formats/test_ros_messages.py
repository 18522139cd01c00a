"""PointCloud2 as drivers really fill it: layouts, types, byte orders, names."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cosense.data.bag import message_types
from cosense.data.bag.writer import make
from cosense.errors import CosenseError
from cosense.sensing.cloud import SensorClouds
from cosense.sensing.cloud_formats.pcd import read_pcd
from cosense.sensing.cloud_formats.ros_messages import cloud_to_points, cloud_to_raw
from tests.sensing.cloud_formats.test_pcd import pcd_bytes

XYZ = np.arange(18, dtype=np.float32).reshape(6, 3)
NUMBERS = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


def cloud_of(columns, *, order="<", step=None, count=1, **fields):
    """Return a PointCloud2 of (name, type, values (N,)) in two rows, and what `fields` say instead."""
    dtype = np.dtype([(f"{k}", order + kind) for k, (_, kind, _) in enumerate(columns)])
    records = np.zeros(len(columns[0][2]), dtype)
    for k, (_, _, values) in enumerate(columns):
        records[f"{k}"] = values
    rows = records.view(np.uint8).reshape(len(records), -1)
    step = step or dtype.itemsize
    data = np.pad(rows, ((0, 0), (0, step - dtype.itemsize)), constant_values=7).reshape(-1)
    described = [
        make(
            "sensor_msgs/msg/PointField",
            name=name,
            offset=dtype.fields[f"{k}"][1],
            datatype=NUMBERS[kind],
            count=count,
        )
        for k, (name, kind, _) in enumerate(columns)
    ]
    header = make("std_msgs/msg/Header", frame_id="roof")
    layout = {"height": 2, "width": len(records) // 2, "row_step": len(data) // 2, "data": data, **fields}
    return make(
        message_types.CLOUD,
        header=header,
        fields=described,
        is_bigendian=order == ">",
        point_step=step,
        **layout,
    )


def coordinates(kind="f4"):
    return [(name, kind, XYZ[:, axis]) for axis, name in enumerate("xyz")]


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"row_step": 0},
        {"row_step": 3},
        {"row_step": 6},
        {"row_step": 96},
        {"row_step": 47},
        {"row_step": 4_000_000_000},
        {"height": 1, "width": 6, "row_step": 0},
        {"height": 6, "width": 1, "row_step": 96},
        {"height": 6, "width": 1, "row_step": 1},
        {"height": 0, "width": 6, "row_step": 96},
        {"height": 6, "width": 0, "row_step": 0},
    ],
)
@pytest.mark.parametrize("trailing", [0, 5])
def test_whatever_row_step_says_all_points_that_fit_the_data_are_read(layout, trailing):
    """Kind: drivers that write 0, the number of points or the size of the cloud into row_step."""
    cloud = cloud_of([*coordinates(), ("intensity", "f4", np.linspace(0, 1, 6))], **layout)
    if 0 in (cloud.height, cloud.width) and trailing:
        return
    cloud.data = np.pad(cloud.data, (0, trailing))
    assert_array_equal(cloud_to_points(cloud)[:, :3], XYZ)


def test_rows_with_padding_may_end_with_a_short_one():
    """Kind: as above; the padding behind the last row is left out."""
    cloud = cloud_of(coordinates())
    rows = np.pad(cloud.data.reshape(2, -1), ((0, 0), (0, 10)), constant_values=9)
    cloud.row_step, cloud.data = rows.shape[1], rows.reshape(-1)[:-10]
    assert_array_equal(cloud_to_points(cloud)[:, :3], XYZ)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"width": 4}, "cloud of 4 x 2 points of 12 bytes, rows of 36, has 72 bytes: the points take 96"),
        ({"point_step": 8}, "points of 8 bytes, and field 'z' in them ends at byte 12"),
        ({"point_step": 0}, "points of 0 bytes, and field 'x' in them ends at byte 4"),
        ({"height": 0, "width": 0}, "points that are announced as none"),
        ({"height": 0, "width": 5}, "points that are announced as none"),
    ],
)
def test_points_that_do_not_fit_the_data_are_refused(layout, message):
    cloud = cloud_of(coordinates())
    for name, value in layout.items():
        setattr(cloud, name, value)
    with pytest.raises(CosenseError, match=message):
        cloud_to_points(cloud)


def test_no_points_are_a_cloud():
    for height, width in ((0, 0), (1, 0), (0, 7)):
        empty = cloud_of(coordinates(), height=height, width=width, row_step=0, data=np.zeros(0, np.uint8))
        assert cloud_to_points(empty).shape == (0, 4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f4", "f8", "i2", "i4"])
@pytest.mark.parametrize("step", [None, 48])
def test_types_byte_orders_and_wide_points(order, kind, step):
    """Kind: fields of any type; points longer than their fields."""
    columns = [("time", "f8", np.linspace(0, 0.1, 6)), *coordinates(kind), ("I", "u1", [255, 51, 0, 0, 0, 0])]
    points = cloud_to_points(cloud_of(columns, order=order, step=step))
    assert_array_equal(points[:, :3], XYZ)
    assert_allclose(points[:, 3], [1, 0.2, 0, 0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("name", ["intensity", "i", "reflectivity", "Intensity"])
@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f4", "f8"])
@pytest.mark.parametrize("values", [[100, 200, 255], [0, 1000, 4000], [0, 0.25, 1]])
def test_pcd_and_messages_agree_on_every_intensity(tmp_path, name, kind, values):
    """Kind: one function decides for all formats."""
    if kind == "u1" and max(values) > 255:
        return
    values = np.array(values).astype(kind)
    columns = [(axis, "f4", XYZ[:3, k]) for k, axis in enumerate("xyz")] + [(name, kind, values)]
    message = cloud_of(columns, height=1, width=3)
    (tmp_path / "cloud.pcd").write_bytes(
        pcd_bytes([(axis, f"{k[0].upper()}{k[1]}", column) for axis, k, column in columns])
    )
    read = cloud_to_points(message)
    assert_array_equal(read_pcd(tmp_path / "cloud.pcd").points, read)
    full_scale = 1 if kind[0] == "f" and max(values) <= 1 else 255 if max(values) <= 255 else 4095
    assert_allclose(read[:, 3], values / full_scale, rtol=1e-6)


def test_a_packed_color_that_is_an_intensity_is_read_in_either_byte_order():
    for order in "<>":
        cloud = cloud_of([*coordinates(), ("rgb", "u4", np.arange(6) << 16)], order=order)
        assert_allclose(cloud_to_points(cloud)[:, 3], np.arange(6) / 255, rtol=1e-6)


def test_fields_that_come_twice_or_are_no_single_number_are_told_apart():
    """Kind: lists of fields that are legal and say too much."""
    cloud = cloud_of([*coordinates(), ("x", "f4", -XYZ[:, 0])])
    assert_array_equal(cloud_to_points(cloud)[:, 0], XYZ[:, 0])
    assert cloud_to_raw(cloud).remarks[0] == "field 'x' comes twice, the first is read"
    cloud.fields[0].count = 3
    assert_array_equal(cloud_to_points(cloud)[:, 0], -XYZ[:, 0])
    cloud.fields[1].datatype = 9
    with pytest.raises(CosenseError, match=r"no field 'y', only \['x', 'z'\]; datatype and count of .*9, 1"):
        cloud_to_points(cloud)


def test_a_live_sensor_keeps_a_material_at_one_value():
    """Kind: a decision per message."""
    sensor = SensorClouds("roof")
    values = []
    for brightest in (200.0, 1.0, 0.5, 250.0):
        columns = [*coordinates(), ("intensity", "f4", [0.25, brightest, 0, 0, 0, 0])]
        values.append(float(sensor.read(cloud_to_raw(cloud_of(columns))).intensity[0]))
    assert values == [pytest.approx(0.25 / 255)] * 4
    assert sensor.notes == ["roof: intensities (float32, up to 200) are divided by 255"]
