"""Point clouds that we did not make: four scanners and a simulated cooperative frame."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cosense.sensing.cloud_formats.pcd import read_pcd


@pytest.mark.parametrize(
    ("name", "count", "beams"),
    [("pandar40p", 56_762, 40), ("vlp16", 14_831, 16), ("vlp32", 26_216, 32), ("xt32", 63_021, 32)],
)
def test_real_scans(shared_data, name, count, beams):
    cloud = read_pcd(shared_data / "lidar_scans" / f"{name}.pcd")
    assert len(cloud) == count
    ranges = np.linalg.norm(cloud.xyz, axis=1)
    assert np.quantile(ranges, 0.01) > 0.1
    assert ranges.max() < 100
    elevations = np.degrees(np.arcsin(cloud.xyz[:, 2] / ranges))
    # A spinning sensor: as many elevations as beams, to a tenth of a degree, hold nearly all the points.
    histogram = np.sort(np.histogram(elevations, bins=np.arange(-45, 45, 0.1))[0])[::-1]
    assert histogram[: 3 * beams].sum() > 0.9 * count
    if name == "vlp16":
        assert 0.4 < cloud.intensity.max() < 0.5
        assert len(np.unique(cloud.intensity)) > 50
    else:
        assert not cloud.intensity.any()


@pytest.mark.parametrize(("agent", "count"), [("4279", 39_719), ("4288", 39_833), ("4297", 39_622)])
def test_clouds_of_v2xset(shared_data, agent, count):
    folder = shared_data / "v2xset_frame" / "validate" / "2021_08_21_17_30_41" / agent
    cloud = read_pcd(folder / "000069.pcd")
    assert len(cloud) == count
    assert np.linalg.norm(cloud.xyz, axis=1).max() < 122
    # The road is about 1.9 m below the sensor on the roof.
    near = np.linalg.norm(cloud.xyz[:, :2], axis=1) < 15
    assert -2.1 < np.quantile(cloud.xyz[near, 2], 0.1) < -1.8
    # CARLA: red is a whole number of 255ths, and falls with the distance.
    assert_allclose(cloud.intensity * 255, np.round(cloud.intensity * 255), atol=1e-4)
    assert 0.5 < cloud.intensity.min() < 0.7
    assert 0.95 < cloud.intensity.max() <= 1
    assert np.corrcoef(np.linalg.norm(cloud.xyz, axis=1), cloud.intensity)[0, 1] < -0.9
