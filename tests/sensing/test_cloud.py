"""What is common to clouds of all formats: which field is what, and what is no cloud of a sensor."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cosense.errors import CosenseError
from cosense.sensing.cloud import RawCloud, SensorClouds, find_fields, read_alone, spread


@pytest.mark.parametrize(
    ("names", "wanted", "remark"),
    [
        ("x y z", (0, 1, 2), "there is no field of intensities: they are 0"),
        ("x y z ring", (0, 1, 2, 3), "there is no field of intensities, only ring: they are 0"),
        ("X Y Z Intensity", (0, 1, 2, 3), None),
        ("i z y x", (3, 2, 1, 0), "the intensity is the field 'i'"),
        ("x y z reflectivity", (0, 1, 2, 3), "the intensity is the field 'reflectivity'"),
        ("x y z reflectance", (0, 1, 2, 3), "the intensity is the field 'reflectance'"),
        ("x y z reflectivity intensity", (0, 1, 2, 4), None),
        ("x y z scalar_Intensity", (0, 1, 2, 3), "the intensity is the field 'scalar_Intensity'"),
        ("x x y z intensity", (0, 2, 3, 4), "field 'x' comes twice, the first is read"),
        ("x y z rgb intensity", (0, 1, 2, 4), None),
        ("x y z rgb", (0, 1, 2, 3), None),
        ("x y z red green blue", (0, 1, 2, 3, 4, 5), None),
        ("x y intensity", None, None),
    ],
)
def test_fields_are_found_by_their_names_in_all_formats(names, wanted, remark):
    """Kind: every driver and tool has a name of its own for the intensity."""
    found = find_fields(names.split())
    assert (None if found is None else found.wanted) == wanted
    assert found is None or list(found.remarks) == ([remark] if remark else [])


def raw(xyz, intensity=None, remarks=()):
    columns = np.asarray(xyz, dtype=np.float64).T
    return RawCloud("scan 7", (columns[0], columns[1], columns[2]), intensity, remarks)


@pytest.mark.parametrize("factor", [1000.0, 100.0])
def test_millimetres_and_coordinates_of_a_map_are_refused(factor):
    """Kind: coordinates that are no metres in the frame of the sensor; nothing would be found in them."""
    xyz = np.column_stack([np.linspace(5, 60, 40), np.full(40, 12.0), np.full(40, -1.7)])
    assert_array_equal(read_alone(raw(xyz)).xyz, xyz.astype("f4"))
    with pytest.raises(CosenseError, match=r"scan 7: half of the points are \d+ or more away .* millimetres"):
        read_alone(raw(xyz * factor))
    with pytest.raises(CosenseError, match="coordinates of a map back to the sensor"):
        read_alone(raw(xyz + np.array([691_000.0, 5_335_000.0, 500.0])))
    with pytest.raises(CosenseError, match=r"4e-07 or less away .* type or byte order of the fields"):
        read_alone(raw(np.full((40, 3), 4e-7)))
    mostly_near = np.concatenate([xyz, xyz[:10] * 1e6])
    assert len(read_alone(raw(mostly_near))) == 50


def test_beams_without_a_return_are_left_out_and_said():
    """Kind: organised clouds; half of the points would lie in the sensor."""
    told: list[str] = []
    sensor = SensorClouds("roof", tell=lambda _, note: told.append(note))
    xyz = [[0, 0, 0], [1, 2, 3], [0, 0, 1], [np.nan] * 3]
    for _ in range(2):
        assert_array_equal(
            sensor.read(raw(xyz, np.array([9, 51, 255, 0], "u1"))).intensity, np.float32([0.2, 1])
        )
    assert told == ["roof: points at exactly 0, 0, 0 are beams without a return, and left out"]


def test_a_cloud_whose_intensities_are_all_nan_keeps_its_points():
    """Kind: a field that is there and never filled."""
    cloud = read_alone(raw([[1, 2, 3], [4, 5, 6]], np.full(2, np.nan)))
    assert_array_equal(cloud.points, [[1, 2, 3, 0], [4, 5, 6, 0]])


def test_a_point_whose_intensity_is_no_number_is_kept_and_said():
    """Kind: a return without a measured intensity; dropping it would hide an obstacle."""
    sensor = SensorClouds("roof", [], tell=lambda *_: None)
    cloud = sensor.read(raw([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.array([0.5, np.nan, np.inf])))
    assert_array_equal(cloud.points, [[1, 2, 3, 0.5], [4, 5, 6, 0], [7, 8, 9, 0]])
    assert sensor.notes == ["roof: intensities that are no finite numbers are 0"]


def test_what_was_assumed_is_told_once_and_a_cut_is_a_warning():
    told: list[tuple[int, str]] = []
    xyz = [[1, 2, 3], [4, 5, 6]]
    bright = raw(xyz, np.array([100, 4000], "u2"), ("the intensity is the field 'i'",))
    sensor = SensorClouds("roof", [bright], lambda level, note: told.append((level, note)))
    for _ in range(2):
        sensor.read(bright)
        sensor.read(raw(xyz, np.array([-5, 5000], "i2")))
    assert told == [
        (logging.INFO, "roof: the intensity is the field 'i'"),
        (logging.INFO, "roof: intensities (uint16, up to 4000) are divided by 4095"),
        (logging.INFO, "roof: intensities (int16, up to 5000) are divided by 65535"),
        (logging.WARNING, "roof: 1 of 2 intensities of a cloud are below 0 and become 0"),
    ]
    assert sensor.notes == [note for _, note in told]


def test_a_sequence_is_sampled_from_first_to_last_without_what_is_broken():
    def read(index: int) -> RawCloud:
        if index == 0:
            raise CosenseError("broken")
        return raw([[index, 0, 0]])

    seen = [cloud.xyz[0][0] for cloud in spread(range(1000), read)]
    assert len(seen) == 15
    assert seen[-1] == 999
    assert np.ptp(np.diff(seen)) <= 1
    assert [cloud.xyz[0][0] for cloud in spread(range(3), read)] == [1, 2]
    assert not list(spread([], read))


def test_rings_stay_beside_their_points():
    """Kind: a driver fills beams without a return with zeros, and counts its beams."""
    found = find_fields(["x", "y", "z", "rgb", "intensity", "ring"])
    assert found is not None
    columns = [np.array([0.0, 1.0, 2.0])] * 3 + [np.array([9, 8, 7]), np.array([3, 4, 5], np.uint16)]
    assert found.wanted == (0, 1, 2, 4, 5)
    cloud = read_alone(found.assembled("scan", columns))
    assert cloud.rings is not None
    assert cloud.rings.tolist() == [4, 5]
