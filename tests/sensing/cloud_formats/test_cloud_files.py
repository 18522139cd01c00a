"""Which reader a file gets, which files get none, and what is read back of one that was written."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.sensing.cloud_formats.cloud_files import read_cloud
from cosense.sensing.cloud_formats.pcd import ENCODINGS, write_pcd


def test_endings_are_read_in_capitals_and_after_others(tmp_path):
    points = np.array([[1, 2, 3, 0.5]], dtype=np.float32)
    write_pcd(tmp_path / "A.PCD", points)
    (tmp_path / "a.pcd.bin").write_bytes(points.tobytes())
    for name in ("A.PCD", "a.pcd.bin"):
        np.testing.assert_array_equal(read_cloud(tmp_path / name).points, points)


def test_compressed_and_unknown_files_are_refused_with_the_cure(tmp_path):
    """Kind: files as they are downloaded."""
    write_pcd(tmp_path / "a.pcd", np.zeros((1, 4)))
    for name in ("b.pcd.gz", "b.pcd"):
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "a.pcd").read_bytes()))
        with pytest.raises(CosenseError, match=rf"is compressed; unpack it first, as with `gunzip {name}`"):
            read_cloud(tmp_path / name)
    (tmp_path / "a.laz").write_bytes(b"LASF")
    with pytest.raises(
        CosenseError, match=r"a\.laz: no file of a cloud; expected one that ends in \.pcd, \.ply"
    ):
        read_cloud(tmp_path / "a.laz")
    (tmp_path / "a.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(CosenseError, match=r"a\.bin: is a pointer of Git LFS; .* `git lfs pull`"):
        read_cloud(tmp_path / "a.bin")
    for name in ("e.bin", "e.npy", "e.pcd"):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(CosenseError, match=rf"{name}: the file is empty; fetch or write it again"):
            read_cloud(tmp_path / name)
    with pytest.raises(CosenseError, match=r"a\.pcd: names its fields itself"):
        read_cloud(tmp_path / "a.pcd", ("x", "y", "z"))
    with pytest.raises(CosenseError, match=r"none\.pcd: no such file"):
        read_cloud(tmp_path / "none.pcd")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rings_are_written_in_two_bytes_and_read_back(tmp_path, encoding):
    points, rings = np.array([[1, 2, 3, 0.5], [-4, 5, 6, 0.25]], np.float32), np.array([300, 0], np.int16)
    write_pcd(tmp_path / "cloud.pcd", points, encoding, rings=rings)
    content = (tmp_path / "cloud.pcd").read_bytes()
    assert b"FIELDS x y z intensity ring\nSIZE 4 4 4 4 2\nTYPE F F F F U\nCOUNT 1 1 1 1 1\n" in content
    cloud = read_cloud(tmp_path / "cloud.pcd")
    np.testing.assert_array_equal(cloud.points, points)
    np.testing.assert_array_equal(cloud.rings, rings)
