"""Which beams a cheaper LiDAR keeps."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cosense.errors import CosenseError
from cosense.sensing.beams.elevations import HDL64_DEG, PANDAR40P_DEG, VLP16_DEG
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.beams.table import BeamTable
from cosense.sensing.frame import AgentFrame


def table_of(elevations_deg) -> BeamTable:
    elevations = np.array(elevations_deg, np.float64)
    return BeamTable(elevations, None, np.zeros(len(elevations)), "given")


PANDAR = table_of(PANDAR40P_DEG)


@pytest.mark.parametrize("count", [20, 16, 10, 8, 5, 4])
def test_stride_keeps_evenly_spread_beams(count):
    kept = FewerBeams(count).chosen(PANDAR)
    assert len(kept) == count
    steps = np.diff(kept)
    assert steps.max() - steps.min() <= (0 if 40 % count == 0 else 1)
    assert abs(kept[0] - (39 - kept[-1])) <= 1, "as much is left out below as above"


@pytest.mark.parametrize("count", [20, 16, 10, 8, 5, 4])
def test_product_keeps_the_beams_nearest_to_those_of_a_cheap_lidar(count):
    kept = FewerBeams(count, "product").chosen(PANDAR)
    assert len(set(kept)) == count
    off = np.array(PANDAR40P_DEG)[kept] - np.linspace(-15, 14.794, count)
    # The Pandar40P has five beams above 2 degrees.
    assert np.abs(off).max() < 6.0
    assert np.median(np.abs(off)) < 1.5


def test_product_reaches_as_far_as_the_lidar_does():
    kept = np.array(HDL64_DEG)[FewerBeams(8, "product").chosen(table_of(HDL64_DEG))]
    assert kept.max() == 2.0
    assert kept.min() == pytest.approx(-15, abs=0.3)


@pytest.mark.parametrize("spread", ["stride", "product"])
def test_a_lidar_with_fewer_beams_keeps_them_all(spread):
    assert_array_equal(FewerBeams(32, spread).chosen(table_of(VLP16_DEG)), np.arange(16))


def test_beams_of_unknown_elevation_are_the_last_choice():
    elevations = np.array(VLP16_DEG)
    elevations[:4] = np.nan
    assert FewerBeams(12, "product").chosen(table_of(elevations)).tolist() == list(range(4, 16))


def frame_of(points, kind="vehicle", rings=None) -> AgentFrame:
    return AgentFrame("a", kind, 0, np.eye(4), points, rings=rings)


def fan(elevations_deg, columns=360) -> np.ndarray:
    """Return points (N,4) at 20 m, beam by beam, in even steps of azimuth, in mixed order."""
    elevation, azimuth = np.meshgrid(
        np.radians(elevations_deg), np.radians(np.arange(columns)), indexing="ij"
    )
    parts = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    points = np.column_stack([20 * part.ravel() for part in parts] + [np.arange(elevation.size) % 2])
    return np.random.default_rng(0).permutation(points).astype(np.float32)


def test_points_of_the_other_beams_go_with_their_rings():
    points = fan(VLP16_DEG)
    rings = np.rint((np.degrees(np.arcsin(points[:, 2] / 20)) + 15) / 2).astype(np.int16)
    fewer = FewerBeams(4)
    frame = frame_of(points, rings=rings)
    reduced = fewer.reduced(frame, fewer.table_of("roof", [frame]))
    assert_array_equal(np.unique(reduced.rings), [2, 6, 10, 14])
    assert len(reduced.points) == len(reduced.rings) == 4 * 360
    again = frame_of(points)
    assert_array_equal(fewer.reduced(again, fewer.table_of("roof", [again])).points, reduced.points)


def test_every_second_point_of_a_beam_is_a_step_of_azimuth_of_twice_the_size():
    frame = frame_of(fan(VLP16_DEG))
    fewer = FewerBeams.parse("16,azimuth/2")
    points = fewer.reduced(frame, fewer.table_of("roof", [frame])).points
    assert len(points) == 16 * 180
    azimuth = np.degrees(np.arctan2(points[:, 1], points[:, 0])).round().astype(int) % 2
    assert len(set(azimuth)) == 1


def test_roadside_units_keep_their_beams_unless_all_are_meant():
    vehicle, unit = frame_of(np.zeros((0, 4))), frame_of(np.zeros((0, 4)), "infrastructure")
    assert FewerBeams.parse("16").applies_to(vehicle)
    assert not FewerBeams.parse("16").applies_to(unit)
    assert FewerBeams.parse("16,all").applies_to(unit)


@pytest.mark.parametrize("text", ["0", "0,product", "0,azimuth/2"])
def test_no_beam_is_no_point(text):
    given = frame_of(fan(VLP16_DEG))
    fewer = FewerBeams.parse(text)
    assert fewer.reduced(given, fewer.table_of("roof", [given])).points.shape == (0, 4)


@pytest.mark.parametrize("text", ["16", "0", "8,product", "16,azimuth/2", "4,product,azimuth/3,all"])
def test_text_is_read_back(text):
    assert str(FewerBeams.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "00", "-4", "16.5", "16,some", "16,product,stride", "16,azimuth/1", "16,"]
)
def test_what_is_no_number_of_beams_is_refused(text):
    with pytest.raises(CosenseError, match="expected a number of beams"):
        FewerBeams.parse(text)


def test_it_is_said_what_was_assumed(caplog):
    points = fan(VLP16_DEG)
    with caplog.at_level(logging.INFO):
        FewerBeams(32).table_of("roof", [frame_of(points)])
        FewerBeams(4).table_of("mast", [frame_of(points[:50])])
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]
    assert "roof: 16 beams, by elevations, which are those of a VLP-16" in caplog.messages[0]
    assert "fewer than the 32 asked for" in caplog.messages[1]
    assert "mast: 64 slices" in caplog.messages[2]


def test_a_cloud_without_points_stays_one():
    frame = frame_of(np.zeros((0, 4), np.float32))
    fewer = FewerBeams.parse("8,azimuth/2")
    assert fewer.reduced(frame, fewer.table_of("roof", [frame])).points.shape == (0, 4)
