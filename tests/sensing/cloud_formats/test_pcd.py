"""PCD files: every encoding, field order, padding and type, and files that are broken in all ways."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from cosense.errors import CosenseError
from cosense.sensing.cloud_formats import lzf
from cosense.sensing.cloud_formats.pcd import ENCODINGS, PointCloud, read_pcd, write_pcd

POINTS = np.array([[1, 2, 3, 0.25], [-4.5, 5e-3, 6, 1], [7, 8, 9e3, 0]], dtype=np.float32)


def pcd_bytes(columns, encoding="binary", *, points=None, version="0.7", end="\n", **replaced) -> bytes:
    """Write a PCD without the code under test.

    Args:
        columns: (name, type such as "F4", values (N,) or (N, COUNT)) in the order of the file.
        points: what the header says, where it lies.
        replaced: header lines that say something else, or None for a line that is left out.
    """
    arrays = [np.asarray(values).astype(f"<{kind.lower()}") for _, kind, values in columns]
    arrays = [array.reshape(len(array), -1) for array in arrays]
    count = len(arrays[0])
    lines = {
        "VERSION": version,
        "FIELDS": " ".join(name for name, _, _ in columns),
        "SIZE": " ".join(kind[1] for _, kind, _ in columns),
        "TYPE": " ".join(kind[0] for _, kind, _ in columns),
        "COUNT": " ".join(str(array.shape[1]) for array in arrays),
        "WIDTH": count,
        "HEIGHT": 1,
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": count if points is None else points,
        "DATA": encoding,
    }
    lines.update(replaced)
    header = "# .PCD - Point Cloud Data file format" + end
    header += "".join(f"{key} {value}{end}" for key, value in lines.items() if value is not None)
    rows = [b"".join(array[k].tobytes() for array in arrays) for k in range(count)]
    if encoding == "ascii":
        text = [" ".join(repr(v) for a in arrays for v in a[k].tolist()) for k in range(count)]
        body = "".join(row + end for row in text).encode()
    elif encoding == "binary_compressed":
        plain = b"".join(array.tobytes() for array in arrays)
        stream = lzf.compress(plain)
        body = np.array([len(stream), len(plain)], dtype="<u4").tobytes() + stream
    else:
        body = b"".join(rows)
    return header.encode() + body


def columns_of(points, kinds=("F4", "F4", "F4", "F4")):
    names = ("x", "y", "z", "intensity")
    return [(name, kind, points[:, k]) for k, (name, kind) in enumerate(zip(names, kinds, strict=True))]


def read_bytes(tmp_path, content: bytes) -> PointCloud:
    path = tmp_path / "cloud.pcd"
    path.write_bytes(content)
    return read_pcd(path)


every_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@every_encoding
def test_written_points_are_read_back(tmp_path, encoding):
    write_pcd(tmp_path / "cloud.pcd", POINTS, encoding)
    cloud = read_pcd(tmp_path / "cloud.pcd")
    assert_array_equal(cloud.points, POINTS)
    assert cloud.xyz.dtype == cloud.intensity.dtype == cloud.points.dtype == np.float32
    assert len(cloud) == 3


metres = st.floats(-1000, 1000, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])


@every_encoding
@settings(max_examples=60)
@given(
    xyz=st.lists(st.tuples(*[metres] * 3, st.floats(0, 1, width=32)), max_size=40),
)
def test_any_points_are_read_back(tmp_path_factory, encoding, xyz):
    points = np.array(xyz, dtype=np.float32).reshape(-1, 4)
    path = tmp_path_factory.getbasetemp() / f"any_{encoding}.pcd"
    write_pcd(path, points, encoding)
    is_return = np.isfinite(points).all(axis=1) & points[:, :3].any(axis=1)
    assert_array_equal(read_pcd(path).points, points[is_return])


@every_encoding
def test_no_points(tmp_path, encoding):
    write_pcd(tmp_path / "cloud.pcd", np.zeros((0, 4)), encoding)
    cloud = read_pcd(tmp_path / "cloud.pcd")
    assert cloud.xyz.shape == (0, 3)
    assert cloud.points.shape == (0, 4)
    assert cloud.intensity.shape == (0,)


@every_encoding
def test_an_independent_writer_is_read(tmp_path, encoding):
    assert_array_equal(read_bytes(tmp_path, pcd_bytes(columns_of(POINTS), encoding)).points, POINTS)
    with_returns = pcd_bytes(columns_of(POINTS), encoding, end="\r\n")
    assert_array_equal(read_bytes(tmp_path, with_returns).points, POINTS)


@every_encoding
def test_our_files_say_what_is_in_them(tmp_path, encoding):
    write_pcd(tmp_path / "cloud.pcd", POINTS, encoding)
    comment, content = (tmp_path / "cloud.pcd").read_bytes().split(b"\n", 1)
    assert comment == b"# .PCD v0.7 - Point Cloud Data file format"
    expected = pcd_bytes(columns_of(POINTS), encoding).split(b"\n", 1)[1]
    if encoding == "ascii":
        start = content.index(b"DATA")
        assert content[:start] == expected[:start]
        assert_array_equal(np.loadtxt(content[start:].decode().splitlines()[1:], dtype=np.float32), POINTS)
    else:
        assert content == expected


def test_compressed_files_are_smaller(tmp_path):
    points = np.zeros((5000, 4), dtype=np.float32)
    points[:, 0] = np.repeat(np.arange(50), 100)
    sizes = {}
    for encoding in ENCODINGS:
        write_pcd(tmp_path / encoding, points, encoding)
        sizes[encoding] = (tmp_path / encoding).stat().st_size
    assert sizes["binary_compressed"] < sizes["binary"] / 20


kinds = st.sampled_from(["F4", "F8", "I1", "I2", "I4", "I8", "U1", "U2", "U4", "U8"])


@every_encoding
@settings(max_examples=80)
@given(data=st.data())
def test_any_order_type_count_and_padding(tmp_path_factory, encoding, data):
    count = data.draw(st.integers(1, 5))
    values = data.draw(st.lists(st.integers(1, 100), min_size=4 * count, max_size=4 * count))
    points = np.array(values).reshape(count, 4)
    fields = columns_of(points, [data.draw(kinds) for _ in range(4)])
    for name in data.draw(st.lists(st.sampled_from(["_", "ring", "time_stamp"]), max_size=4)):
        shape = (count, data.draw(st.integers(1, 4)))
        fields.append((name, data.draw(kinds), np.full(shape, 77)))
    fields = data.draw(st.permutations(fields))
    path = tmp_path_factory.getbasetemp() / f"fields_{encoding}.pcd"
    path.write_bytes(pcd_bytes(fields, encoding))
    cloud = read_pcd(path)
    assert_array_equal(cloud.xyz, points[:, :3])
    is_real = next(kind for name, kind, _ in fields if name == "intensity").startswith("F")
    scale = 1 if is_real and points[:, 3].max() <= 1 else 255
    assert_allclose(cloud.intensity, points[:, 3] / scale, rtol=1e-6)


def test_padding_that_is_left_out_of_compressed_data(tmp_path):
    content = pcd_bytes(
        columns_of(POINTS),
        "binary_compressed",
        FIELDS="x y _ z intensity",
        SIZE="4 4 1 4 4",
        TYPE="F F U F F",
        COUNT="1 1 12 1 1",
    )
    assert_array_equal(read_bytes(tmp_path, content).points, POINTS)


@every_encoding
@pytest.mark.parametrize("has_room", [False, True])
def test_fields_with_a_count_of_zero_are_passed_over(tmp_path, encoding, has_room):
    """Kind: padding that drivers name (Ouster, PCL); the size of the file says whether it takes room."""
    padding = np.zeros((3, int(has_room)))
    columns = columns_of(POINTS)
    fields = [*columns[:2], ("_", "F4", padding), columns[2], ("t", "U1", padding), columns[3]]
    content = pcd_bytes(fields, encoding, COUNT="1 1 0 1 0 1")
    assert_array_equal(read_bytes(tmp_path, content).points, POINTS)


def test_the_first_of_two_fields_with_one_name_counts_and_a_viewpoint_is_said(tmp_path, caplog):
    """Kind: headers that are legal, and ask for a decision."""
    caplog.set_level(logging.INFO)
    fields = [*columns_of(POINTS), ("x", "F4", POINTS[:, 1])]
    content = pcd_bytes(fields, VIEWPOINT="0 0 1.8 1 0 0 0")
    assert_array_equal(read_bytes(tmp_path, content).points, POINTS)
    assert "field 'x' comes twice, the first is read" in caplog.text
    assert "VIEWPOINT is 0 0 1.8 1 0 0 0 and not applied" in caplog.text


@every_encoding
def test_a_wrong_number_of_points_loses_none(tmp_path, encoding, caplog):
    """Kind: a header that contradicts itself; the size of the file says who is right."""
    caplog.set_level(logging.INFO)
    for points in (0, 1, 2):
        content = pcd_bytes(columns_of(POINTS), encoding, points=points)
        assert_array_equal(read_bytes(tmp_path, content).points, POINTS)
        assert f"POINTS is {points}, and WIDTH times HEIGHT 3, as many as are there" in caplog.text


def test_half_precision_and_names_in_capitals(tmp_path):
    fields = [(name.upper(), "F2", values) for name, _, values in columns_of(POINTS)]
    assert_allclose(read_bytes(tmp_path, pcd_bytes(fields)).points, POINTS, rtol=1e-3)


@pytest.mark.parametrize("name", ["intensity", "i", "reflectivity"])
def test_names_of_intensity(tmp_path, name):
    fields = [*columns_of(POINTS)[:3], (name, "F4", POINTS[:, 3]), ("rgb", "U4", [0, 0, 0])]
    assert_array_equal(read_bytes(tmp_path, pcd_bytes(fields)).intensity, POINTS[:, 3])


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("F4", [0, 0.5, 1], [0, 0.5, 1]),
        ("F4", [0, 51, 255], [0, 0.2, 1]),
        ("F4", [0, 1.5, 0], [0, 1.5 / 255, 0]),
        ("F4", [-3, 51, 300], [0, 51 / 1023, 300 / 1023]),
        ("F4", [0, 4000, 1000], [0, 4000 / 4095, 1000 / 4095]),
        ("F4", [-0.5, 0.5, 0], [0, 0.5, 0]),
        ("U1", [0, 1, 0], [0, 1 / 255, 0]),
        ("U1", [0, 51, 255], [0, 0.2, 1]),
        ("U2", [100, 200, 255], [100 / 255, 200 / 255, 1]),
        ("U2", [0, 51, 40000], [0, 51 / 65535, 40000 / 65535]),
        ("I1", [0, 51, -4], [0, 0.2, 0]),
    ],
)
def test_scale_of_intensity(tmp_path, kind, stored, expected):
    fields = [*columns_of(POINTS)[:3], ("intensity", kind, stored)]
    assert_allclose(read_bytes(tmp_path, pcd_bytes(fields)).intensity, expected, rtol=1e-6)


def test_a_guessed_scale_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    read_bytes(tmp_path, pcd_bytes(columns_of(POINTS)))
    assert not caplog.records
    read_bytes(tmp_path, pcd_bytes(columns_of(POINTS * [1, 1, 1, 200])))
    assert "cloud.pcd: intensities (float32, up to 200) are divided by 255" in caplog.text


@every_encoding
@pytest.mark.parametrize("name", ["rgb", "rgba"])
@pytest.mark.parametrize("kind", ["U4", "I4", "F4"])
def test_red_alone_is_an_intensity(tmp_path, encoding, name, kind):
    """Kind: a color that is none, as OPV2V stores the intensity."""
    packed = np.array([0x00FF0000, 0x00330000, 0x00000000], dtype=np.uint32)
    color = packed.view(np.float32) if kind == "F4" else packed
    content = pcd_bytes([(name, kind, color), *columns_of(POINTS)[:3]], encoding)
    cloud = read_bytes(tmp_path, content)
    assert_allclose(cloud.intensity, [1, 0.2, 0], rtol=1e-6)
    assert_array_equal(cloud.xyz, POINTS[:, :3])


@pytest.mark.parametrize(
    ("packed", "expected"),
    [([0xFFFFFF, 0x333333, 0], [1, 0.2, 0]), ([0xFF0102, 0x33FEFE, 1], [0, 0, 0])],
)
def test_gray_is_an_intensity_and_a_real_color_is_none(tmp_path, caplog, packed, expected):
    """Kind: a color that is one says nothing of how strongly a laser is reflected."""
    caplog.set_level(logging.INFO)
    content = pcd_bytes([*columns_of(POINTS)[:3], ("rgb", "U4", packed)])
    assert_allclose(read_bytes(tmp_path, content).intensity, expected, rtol=1e-6)
    assert ("there is no field of intensities but a color" in caplog.text) == (expected[0] == 0)


def test_opaque_colors_are_no_missing_values(tmp_path):
    # An alpha of 255 makes the bits of the float a NaN.
    color = np.array([0xFFFF0000, 0xFF330000, 0xFF000000], dtype=np.uint32).view(np.float32)
    cloud = read_bytes(tmp_path, pcd_bytes([*columns_of(POINTS)[:3], ("rgb", "F4", color)]))
    assert_allclose(cloud.intensity, [1, 0.2, 0], rtol=1e-6)


@every_encoding
def test_without_intensity_it_is_zero(tmp_path, encoding):
    cloud = read_bytes(tmp_path, pcd_bytes(columns_of(POINTS)[:3], encoding))
    assert_array_equal(cloud.points, POINTS * [1, 1, 1, 0])


@every_encoding
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("column", range(4))
def test_points_that_are_not_finite_are_dropped_but_not_for_an_intensity(tmp_path, encoding, value, column):
    points = POINTS.astype(np.float64)
    points[1, column] = value
    cloud = read_bytes(tmp_path, pcd_bytes(columns_of(points, ["F8"] * 4), encoding))
    if column == 3:
        assert_array_equal(cloud.xyz, POINTS[:, :3])
        assert cloud.intensity[1] == (1 if value == 1e300 else 0)
    else:
        assert_array_equal(cloud.points, POINTS[[0, 2]])


def test_older_versions(tmp_path):
    xyz = columns_of(POINTS)[:3]
    oldest = b"VERSION .5\nCOLUMNS x y z\nPOINTS 2\nDATA ascii\n1 2 3\n-4 5e-3 nan\n"
    assert_array_equal(read_bytes(tmp_path, oldest).xyz, [[1, 2, 3]])
    content = pcd_bytes(xyz, version=".6", COUNT=None, VIEWPOINT=None)
    assert_array_equal(read_bytes(tmp_path, content).xyz, POINTS[:, :3])
    content = pcd_bytes(xyz, POINTS=None, WIDTH=1, HEIGHT=3)
    assert_array_equal(read_bytes(tmp_path, content).xyz, POINTS[:, :3])


def test_bytes_after_the_last_point_do_not_matter_unless_they_are_points(tmp_path):
    """Kind: a header that was never brought up to date; its points would be lost in silence."""
    columns = columns_of(POINTS)
    for encoding, rest in zip(ENCODINGS, (b"\0\1", b"\n", bytes(64)), strict=True):
        assert_array_equal(read_bytes(tmp_path, pcd_bytes(columns, encoding) + rest).points, POINTS)
    assert_array_equal(read_bytes(tmp_path, pcd_bytes(columns) + bytes(64)).points, POINTS)
    for points, encoding, there in (("1", "binary", 48), ("0", "binary", 48), ("1", "ascii", 12)):
        content = pcd_bytes(columns, encoding, POINTS=points, WIDTH=points)
        with pytest.raises(CosenseError, match=f"POINTS is {points}, .* but {there} are there"):
            read_bytes(tmp_path, content)


def test_a_row_of_text_has_as_many_numbers_as_fields(tmp_path):
    """Kind: a column more than the header names, where both numbers divide that of all."""
    with pytest.raises(CosenseError, match="a row has 4 numbers, and FIELDS and COUNT name 3"):
        read_bytes(tmp_path, b"FIELDS x y z\nPOINTS 4\nDATA ascii\n" + b"1 2 3 7\n" * 3)


def test_what_is_no_number_on_windows_is_none_here(tmp_path):
    for word in (b"-nan(ind)", b"nan(snan)", b"1.#QNAN", b"-1.#IND00", b"-nan"):
        rows = b"FIELDS x y z\nPOINTS 2\nDATA ascii\n1 2 3\n4 5 " + word
        assert len(read_bytes(tmp_path, rows)) == 1


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"FIELDS": "x y a intensity"}, "'x y a intensity', expected x, y and z among them"),
        ({"FIELDS": None}, "names no FIELDS"),
        ({"FIELDS": "x y z"}, "SIZE has 4 entries, expected 3"),
        ({"SIZE": "4 4 4"}, "SIZE has 3 entries, expected 4"),
        ({"SIZE": "4 4 3 4"}, "field 'z' has TYPE F and SIZE 3"),
        ({"SIZE": "4 4 -4 4"}, "SIZE is '-4'"),
        ({"TYPE": "F F F"}, "TYPE has 3 entries for 4 FIELDS"),
        ({"TYPE": "F F Q F"}, "field 'z' has TYPE Q and SIZE 4"),
        ({"COUNT": "1 1 0 1", "POINTS": "2"}, "FIELDS with content are 'x y intensity', expected x, y and z"),
        ({"COUNT": "1 1 -1 1"}, "COUNT is '-1', expected a whole number of at least 0"),
        ({"COUNT": "1 1 1 99999999999"}, "which takes 1.* bytes, but 48 are there"),
        ({"POINTS": "-3"}, "POINTS is '-3', expected a whole number of at least 0"),
        ({"POINTS": "2.5"}, "POINTS is '2.5', expected a whole number"),
        ({"POINTS": "many"}, "POINTS is 'many'"),
        ({"POINTS": "٣"}, "POINTS is"),
        ({"POINTS": "9" * 5000}, "expected a whole number"),
        ({"POINTS": ""}, "POINTS has 0 entries, expected 1"),
        ({"POINTS": "4"}, "POINTS is 4, which takes 64 bytes, but 48 are there"),
        ({"POINTS": "100000000000000"}, "which takes 1600000000000000 bytes, but 48 are there"),
        ({"POINTS": None, "WIDTH": None}, "neither POINTS nor WIDTH"),
        ({"POINTS": None, "WIDTH": "-1"}, "WIDTH is '-1'"),
        ({"DATA": "binari"}, "DATA is 'binari', did you mean 'binary'"),
        ({"DATA": "ascii"}, "a row has 1 number, and FIELDS and COUNT name 4"),
        ({"DATA": None}, "no PCD header"),
    ],
)
def test_a_broken_header_is_one_error(tmp_path, replaced, message):
    content = pcd_bytes(columns_of(POINTS), **replaced)
    with pytest.raises(CosenseError, match=message) as caught:
        read_bytes(tmp_path, content)
    assert "cloud.pcd: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no PCD header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100_000), "no PCD header"),
        (b"hello\n" * 100_000, "no PCD header"),
        (pcd_bytes(columns_of(POINTS), "ascii").replace(b"9000.0", b"9OOO.0"), "no number: .*9OOO"),
        (pcd_bytes(columns_of(POINTS), "ascii")[:-6], "takes 12 numbers in rows of 4, but 11 are there"),
        (pcd_bytes(columns_of(POINTS), "ascii") + b"1 2", "but 14 are there"),
        (
            pcd_bytes([*columns_of(POINTS)[:3], ("intensity", "U1", [1, 2, 3])], "ascii").replace(
                b".0 3\n", b".0 300\n"
            ),
            "do not fit into 1 byte of type U",
        ),
        (
            pcd_bytes([*columns_of(POINTS)[:3], ("rgb", "U1", [1, 2, 3])]),
            "a packed color has 1 byte, expected 4",
        ),
        (pcd_bytes(columns_of(POINTS))[:-1], "which takes 48 bytes, but 47 are there"),
        (pcd_bytes(columns_of(POINTS), "binary_compressed")[:-1], "compressed data take"),
        (pcd_bytes(columns_of(POINTS), "binary_compressed", points=4), "takes 64 bytes, but .* to hold 48"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value[:20],
)
def test_broken_content_is_one_error(tmp_path, content, message):
    with pytest.raises(CosenseError, match=message):
        read_bytes(tmp_path, content)


def test_compressed_sizes_are_checked_before_they_are_believed(tmp_path):
    header = pcd_bytes(columns_of(POINTS), "binary_compressed", points=200_000_000)
    header = header[: header.index(b"compressed\n") + len(b"compressed\n")]
    for body, message in (
        (b"", "ends before the sizes"),
        (np.array([4, 3_200_000_000], dtype="<u4").tobytes() + bytes(4), "4 compressed bytes are said"),
        (np.array([9, 3_200_000_000], dtype="<u4").tobytes() + bytes(4), "take 9 bytes, but 4 are there"),
    ):
        with pytest.raises(CosenseError, match=message):
            read_bytes(tmp_path, header + body)
    broken = pcd_bytes(columns_of(POINTS), "binary_compressed")
    start = broken.index(b"compressed\n") + len(b"compressed\n") + 8
    with pytest.raises(CosenseError, match="compressed data are broken"):
        read_bytes(tmp_path, broken[:start] + b"\xff" * (len(broken) - start))


@every_encoding
@settings(max_examples=150)
@given(
    changes=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
    length=st.one_of(st.none(), st.integers(0, 300)),
)
def test_damaged_files_give_a_cloud_or_one_error(tmp_path_factory, encoding, changes, length):
    content = bytearray(pcd_bytes(columns_of(POINTS), encoding))
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged_{encoding}.pcd"
    path.write_bytes(content[:length])
    try:
        cloud = read_pcd(path)
    except CosenseError:
        return
    assert np.isfinite(cloud.points).all()
    assert np.all((cloud.intensity >= 0) & (cloud.intensity <= 1))


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(CosenseError, match=r"none\.pcd: no such file"):
        read_pcd(tmp_path / "none.pcd")
    with pytest.raises(CosenseError, match="cannot be read"):
        read_pcd(tmp_path)
    with pytest.raises(CosenseError, match="cannot be written"):
        write_pcd(tmp_path / "none" / "cloud.pcd", POINTS)


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(CosenseError, match="unknown encoding 'binry', did you mean 'binary'"):
        write_pcd(tmp_path / "cloud.pcd", POINTS, "binry")
    with pytest.raises(ValueError, match=r"shape \(3, 3\)"):
        write_pcd(tmp_path / "cloud.pcd", POINTS[:, :3])
    with pytest.raises(ValueError, match="outside of"):
        write_pcd(tmp_path / "cloud.pcd", POINTS * [1, 1, 1, 255])
    assert not list(tmp_path.iterdir())
