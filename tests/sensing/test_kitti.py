"""KITTI scans."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cosense.errors import CosenseError
from cosense.sensing.kitti import read_kitti_bin


def test_points_come_back_without_those_that_are_not_finite(tmp_path):
    points = np.array([[1, 2, 3, 0.5], [np.nan, 0, 0, 0], [4, 5, 6, 1], [0, np.inf, 0, 0]], dtype="<f4")
    (tmp_path / "scan.bin").write_bytes(points.tobytes())
    cloud = read_kitti_bin(tmp_path / "scan.bin")
    assert_array_equal(cloud.points, points[[0, 2]])
    assert cloud.xyz.dtype == cloud.intensity.dtype == np.float32


def test_no_points(tmp_path):
    (tmp_path / "scan.bin").write_bytes(b"")
    assert read_kitti_bin(tmp_path / "scan.bin").points.shape == (0, 4)


def test_a_truncated_file_is_named(tmp_path):
    (tmp_path / "scan.bin").write_bytes(bytes(30))
    with pytest.raises(CosenseError, match=r"scan\.bin: 30 bytes are no whole number"):
        read_kitti_bin(tmp_path / "scan.bin")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CosenseError, match=r"scan\.bin: no such file"):
        read_kitti_bin(tmp_path / "scan.bin")


@pytest.mark.parametrize(("name", "count"), [("000000", 115_384), ("000001", 120_268)])
def test_real_scans(shared_data, name, count):
    cloud = read_kitti_bin(shared_data / "kitti_frames" / "training" / "velodyne" / f"{name}.bin")
    assert len(cloud) == count
    ranges = np.linalg.norm(cloud.xyz, axis=1)
    # HDL-64 on a roof at 1.73 m: nothing closer than the car, 120 m at most, the road below.
    assert ranges.min() > 0.5
    assert ranges.max() < 120
    assert_allclose(np.median(cloud.xyz[cloud.xyz[:, 2] < -1.2, 2]), -1.65, atol=0.15)
    assert cloud.intensity.min() == 0
    assert 0.9 < cloud.intensity.max() <= 1
