"""PLY files: every encoding, names, types, and files that are broken."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cosense.errors import CosenseError
from cosense.sensing.cloud_formats.cloud_files import read_cloud

POINTS = np.array([[1, 2, 3, 0.25], [-4.5, 5e-3, 6, 1], [7, 8, 900, 0]], dtype=np.float32)
NAMES = {"f4": "float", "f8": "double", "u1": "uchar", "u2": "uint16", "i4": "int"}
ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


def ply_bytes(columns, encoding, before=b"", before_header="", after_header="", after=b"", end="\n") -> bytes:
    """Write a PLY of (name, type, values) without the code under test."""
    count = len(columns[0][2])
    header = f"ply{end}format {encoding} 1.0{end}comment of a test{end}{before_header}"
    header += f"element vertex {count}{end}"
    header += "".join(f"property {NAMES[kind]} {name}{end}" for name, kind, _ in columns)
    header += f"{after_header}end_header{end}"
    records = np.zeros(count, [(f"{k}", ORDERS[encoding] + kind) for k, (_, kind, _) in enumerate(columns)])
    for k, (_, _, values) in enumerate(columns):
        records[f"{k}"] = values
    if encoding == "ascii":
        body = "".join(" ".join(str(v) for v in row) + end for row in records.tolist()).encode()
    else:
        body = records.tobytes()
    return header.encode() + before + body + after


def columns_of(points=POINTS, kind="f4"):
    return [(name, kind, points[:, k]) for k, name in enumerate(("x", "y", "z", "intensity"))]


def read(tmp_path, content: bytes):
    (tmp_path / "cloud.ply").write_bytes(content)
    return read_cloud(tmp_path / "cloud.ply")


every_encoding = pytest.mark.parametrize("encoding", ORDERS)


@every_encoding
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_points_are_read_in_every_encoding(tmp_path, encoding, kind, end):
    """Kind: a format that mapping tools and scanners write."""
    assert_array_equal(read(tmp_path, ply_bytes(columns_of(kind=kind), encoding, end=end)).points, POINTS)


@every_encoding
def test_other_properties_and_elements_do_not_matter(tmp_path, encoding):
    columns = [("nx", "f4", POINTS[:, 0]), *columns_of()[::-1], ("ring", "u1", [1, 2, 3])]
    camera = np.array([4, 5], ORDERS[encoding] + "i4")
    content = ply_bytes(
        columns,
        encoding,
        before=b"4\n5\n" if encoding == "ascii" else camera.tobytes(),
        before_header="element camera 2\nproperty int id\n",
        after_header="element face 1\nproperty list uchar int vertex_indices\n",
        after=b"3 0 1 2\n" if encoding == "ascii" else b"\x03" + bytes(12),
    )
    assert_array_equal(read(tmp_path, content).points, POINTS)


@pytest.mark.parametrize(
    ("name", "kind", "values", "expected"),
    [
        ("scalar_Intensity", "f4", [0, 51, 255], [0, 0.2, 1]),
        ("reflectance", "u2", [0, 819, 4095], [0, 0.2, 1]),
        ("intensity", "u1", [0, 51, 255], [0, 0.2, 1]),
        ("label", "i4", [0, 51, 255], [0, 0, 0]),
    ],
)
def test_intensities_are_those_of_all_formats(tmp_path, name, kind, values, expected):
    content = ply_bytes([*columns_of()[:3], (name, kind, values)], "binary_little_endian")
    assert_allclose(read(tmp_path, content).intensity, expected, rtol=1e-6)


def test_gray_vertices_have_an_intensity_and_colored_ones_have_none(tmp_path):
    for green, expected in (([255, 51, 0], [1, 0.2, 0]), ([1, 2, 3], [0, 0, 0])):
        gray = [("red", "u1", [255, 51, 0]), ("green", "u1", green), ("blue", "u1", [255, 51, 0])]
        content = ply_bytes([*columns_of()[:3], *gray], "ascii")
        assert_allclose(read(tmp_path, content).intensity, expected, rtol=1e-6)


def test_no_vertices_are_no_points(tmp_path):
    for encoding in ORDERS:
        assert read(tmp_path, ply_bytes(columns_of(POINTS[:0]), encoding)).points.shape == (0, 4)


BINARY = ply_bytes(columns_of(), "binary_little_endian")
ASCII = ply_bytes(columns_of(), "ascii")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (BINARY.replace(b"vertex 3", b"vertex 2"), "2 vertices take 32 bytes, but 48 are there"),
        (ASCII.replace(b"vertex 3", b"vertex 2"), "the header names 2 vertices, but 3 are there"),
        (
            ASCII.replace(b"float intensity", b"uchar intensity").replace(b"0.25", b"300"),
            "do not fit into 1 byte",
        ),
        (b"ply\nformat ascii 1.0\n" * 9000, "no PLY header"),
        (BINARY[:-1], "3 vertices take 48 bytes, but 47 are there"),
        (BINARY.replace(b"vertex 3", b"vertex 999999999999"), "vertices take 15999999999984 bytes, but 48"),
        (BINARY.replace(b"vertex 3", b"vertex -3"), "'element vertex -3' is no element"),
        (BINARY.replace(b"vertex", b"point"), "no element 'vertex'"),
        (BINARY.replace(b"float z", b"float w"), "a vertex has 'x y w intensity', expected x, y and z"),
        (BINARY.replace(b"float z", b"real z"), "'property real z' is no property"),
        (BINARY.replace(b"little", b"litle"), "did you mean 'binary_little_endian'"),
        (BINARY.replace(b"float intensity", b"list uchar int i"), "element 'vertex' has lists"),
        (ASCII[: ASCII.index(b"7.0")], "the header names 3 vertices, but 2 are there"),
        (ASCII.replace(b"0.25", b""), "a vertex has 3 numbers, expected 4"),
        (ASCII.replace(b"0.25", b"O.25"), "a value is no number: .*O.25"),
    ],
)
def test_broken_files_are_one_error(tmp_path, content, message):
    with pytest.raises(CosenseError, match=rf"cloud\.ply: .*{message}") as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)
