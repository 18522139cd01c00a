"""Tables of numbers: scans of KITTI, .bin files with other columns, arrays of numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cosense.errors import CosenseError
from cosense.sensing.cloud_formats.cloud_files import read_cloud, read_raw_cloud
from cosense.sensing.cloud_formats.number_tables import column_names


def test_points_come_back_without_those_that_are_not_finite(tmp_path):
    points = np.array([[1, 2, 3, 0.5], [np.nan, 0, 0, 0], [4, 5, 6, 1], [0, np.inf, 0, 0]], dtype="<f4")
    (tmp_path / "scan.bin").write_bytes(points.tobytes())
    cloud = read_cloud(tmp_path / "scan.bin")
    assert_array_equal(cloud.points, points[[0, 2]])
    assert cloud.xyz.dtype == cloud.intensity.dtype == np.float32


def test_a_truncated_file_is_named(tmp_path):
    (tmp_path / "scan.bin").write_bytes(bytes(30))
    with pytest.raises(CosenseError, match=r"scan\.bin: 30 bytes are no whole number"):
        read_cloud(tmp_path / "scan.bin")
    (tmp_path / "scan.bin").write_bytes(bytes(28))
    with pytest.raises(
        CosenseError, match=r'7 float32 numbers are not rows .* --columns "x y z intensity ring"'
    ):
        read_cloud(tmp_path / "scan.bin")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CosenseError, match=r"scan\.bin: no such file"):
        read_cloud(tmp_path / "scan.bin")


@pytest.mark.parametrize(("name", "count"), [("000000", 115_384), ("000001", 120_268)])
def test_real_scans(shared_data, name, count):
    cloud = read_cloud(shared_data / "kitti_frames" / "training" / "velodyne" / f"{name}.bin")
    assert len(cloud) == count
    ranges = np.linalg.norm(cloud.xyz, axis=1)
    # HDL-64 on a roof at 1.73 m: nothing closer than the car, 120 m at most, the road below.
    assert ranges.min() > 0.5
    assert ranges.max() < 120
    assert_allclose(np.median(cloud.xyz[cloud.xyz[:, 2] < -1.2, 2]), -1.65, atol=0.15)
    assert cloud.intensity.min() == 0
    assert 0.9 < cloud.intensity.max() <= 1


def scan(count: int = 2000) -> np.ndarray:
    """Return x, y, z, intensity of a spinning sensor of 16 beams, 1.8 m above a plane and below a wall."""
    rng = np.random.default_rng(5)
    ring = np.tile(np.arange(16), count // 16)
    azimuth = np.repeat(np.linspace(-np.pi, np.pi, count // 16), 16)
    elevation = np.radians(ring * 2.0 - 25)
    range_m = np.minimum(1.8 / np.maximum(1e-3, -np.sin(elevation)), 30 + rng.random(count // 16 * 16))
    x, y = (range_m * np.cos(elevation) * turn for turn in (np.cos(azimuth), np.sin(azimuth)))
    intensity = rng.random(len(x)) ** 2
    return np.column_stack([x, y, range_m * np.sin(elevation), intensity, ring, azimuth / 60 + 0.05])


def written(path: Path, *columns: np.ndarray) -> Path:
    path.write_bytes(np.column_stack(columns).astype("<f4").tobytes())
    return path


def columns_of(case: str) -> tuple[np.ndarray, ...]:
    x, y, z, intensity, ring, time_s = scan().T
    rng = np.random.default_rng(6)
    colors = rng.integers(0, 256, (len(x), 3))
    return {
        "x y z": (x, y, z),
        "x y z intensity": (x, y, z, intensity),
        "x y z intensity, all ahead to the left": (abs(x), abs(y), abs(z), intensity),
        "x y z zeros": (x, y, z, 0 * x),
        "x y z intensity ring": (x, y, z, intensity, ring),
        "x y z intensity time": (x, y, z, intensity, time_s),
        "x y z intensity ring time": (x, y, z, intensity, ring, time_s),
        "x y z red green blue": (x, y, z, *colors.T),
        "x y z intensity ring time, 2 more": (x, y, z, intensity, ring, time_s, 0 * x, intensity * 3000),
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "x y z",
        "x y z intensity",
        "x y z intensity, all ahead to the left",
        "x y z zeros",
        "x y z intensity ring",
        "x y z intensity time",
        "x y z intensity ring time",
        "x y z red green blue",
        "x y z intensity ring time, 2 more",
    ],
)
@pytest.mark.parametrize("order", ["as fired", "shuffled", "by height"])
def test_how_many_columns_a_table_has_is_told_by_its_values(tmp_path, case, order):
    """Kind: files without a header; five columns read as four are scrambled points."""
    columns = np.column_stack(columns_of(case))
    if order != "as fired":
        rng = np.random.default_rng(7)
        columns = columns[rng.permutation(len(columns)) if order == "shuffled" else columns[:, 2].argsort()]
    cloud = read_cloud(written(tmp_path / "scan.bin", columns))
    assert_array_equal(cloud.xyz, columns[:, :3].astype("f4"))
    has_intensity = "intensity" in case
    assert_allclose(cloud.intensity, columns[:, 3] if has_intensity else 0, rtol=1e-6)


@pytest.mark.parametrize("rows", [8, 12, 24, 40])
def test_few_rows_tell_it_too(tmp_path, rows):
    """Kind: points of one object or beam, whose columns too few of them would have to tell."""
    for count in (4, 5, 6):
        for points in (scan()[: 16 * rows : 16, :count], scan()[160 : 160 + rows, :count]):
            cloud = read_cloud(written(tmp_path / "object.bin", points))
            assert_array_equal(cloud.xyz, points[:, :3].astype("f4"))


def test_what_is_like_no_cloud_is_refused_and_read_once_its_columns_are_named(tmp_path):
    """Kind: the values do not tell; a wrong guess would be worse than asking."""
    x, y, z, intensity, ring, _ = scan().T
    path = written(tmp_path / "scan.bin", x, y, z, intensity - 0.5, ring)
    with pytest.raises(CosenseError, match=r'fourth of 5 columns goes down to -0.499999, .*--columns "x y z'):
        read_cloud(path)
    path = written(tmp_path / "scan.bin", ring, intensity, x, y, z)
    cloud = read_cloud(path, column_names("ring, i, x, y, z"))
    assert_array_equal(cloud.xyz, np.column_stack([x, y, z]).astype("f4"))
    assert_array_equal(cloud.intensity, intensity.astype("f4"))
    with pytest.raises(CosenseError, match="are not rows of the 7 columns"):
        read_cloud(path, column_names("x y z a b c d"))
    noise = np.random.default_rng(8).bytes(64_000)
    path.write_bytes(noise)
    with pytest.raises(CosenseError, match="float32 numbers are not rows of"):
        read_cloud(path)


@pytest.mark.parametrize("text", ["x y intensity", "x x y z", ""])
def test_names_of_columns_need_x_y_and_z_once(text):
    with pytest.raises(CosenseError, match=f"--columns '{text}': '[xz]' is there . times; expected once"):
        column_names(text)


def test_what_more_columns_are_taken_for_is_said(tmp_path):
    path = written(tmp_path / "scan.bin", *columns_of("x y z intensity ring"))
    assert read_raw_cloud(path).remarks == ("5 columns are taken as x, y, z, intensity and others",)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f4", "f2"])
def test_arrays_of_numpy_are_read_with_as_many_columns_as_they_have(tmp_path, dtype):
    """Kind: clouds that a script has saved."""
    points = scan(64)
    for count in (3, 4, 5):
        np.save(tmp_path / "scan.npy", points[:, :count].astype(dtype))
        cloud = read_cloud(tmp_path / "scan.npy")
        expected = np.zeros((len(points), 4))
        expected[:, : min(count, 4)] = points[:, : min(count, 4)]
        assert_allclose(cloud.points, expected.astype(dtype), rtol=1e-6)


def test_records_of_numpy_are_read_by_their_names_and_other_arrays_are_refused(tmp_path):
    path = tmp_path / "scan.npy"
    records = np.zeros(2, [("z", "f8"), ("reflectivity", "u1"), ("y", "f8"), ("x", "f8")])
    records["x"], records["reflectivity"] = [1, 2], [255, 51]
    np.save(path, records)
    assert_allclose(read_cloud(path).points, [[1, 0, 0, 1], [2, 0, 0, 0.2]], rtol=1e-6)
    for wrong in (np.zeros((4, 500)), np.zeros(12), np.zeros((2, 3, 4)), np.array([["a", "b", "c"]])):
        np.save(path, wrong)
        with pytest.raises(
            CosenseError, match=r"scan\.npy: an array of .* with shape .*, expected numbers \(N"
        ):
            read_cloud(path)
    np.save(path, np.array([{"x": 1}]), allow_pickle=True)
    with pytest.raises(CosenseError, match=r"scan\.npy: not readable as an array of numpy"):
        read_cloud(path)
