"""Data sets whose vehicles have LiDARs with fewer beams."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.sensing.beams.elevations import VLP16_DEG


def write_drive(folder, frames=3):
    """Write clouds x y z intensity ring of a LiDAR with 16 beams."""
    for number in range(frames):
        elevation, azimuth = np.meshgrid(np.radians(VLP16_DEG), np.radians(np.arange(number, 360)))
        parts = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        xyz = np.column_stack([20 * part.ravel() for part in parts])
        rings = np.broadcast_to(np.arange(16), elevation.shape).ravel()
        table = np.column_stack([xyz, np.full(len(xyz), 0.5), rings]).astype(np.float32)
        np.save(folder / f"{number}.npy", table)


@pytest.mark.parametrize("columns", ["x y z intensity ring", ""], ids=["with rings", "without"])
def test_every_frame_has_the_points_of_the_same_beams(tmp_path, columns):
    write_drive(tmp_path)
    whole = open_dataset(tmp_path, columns=columns)
    fewer = open_dataset(tmp_path, columns=columns, beams="4")
    assert len(fewer) == len(whole) == 3
    for index in range(3):
        points = fewer[index].ego.points
        assert len(points) == len(whole[index].ego.points) / 4
        elevations = np.degrees(np.arcsin(points[:, 2] / 20)).round(1)
        assert set(elevations) == {-11.0, -3.0, 5.0, 13.0}


def test_it_says_what_it_is(tmp_path):
    write_drive(tmp_path)
    fewer = open_dataset(tmp_path, beams="8,product")
    assert "LiDARs reduced to 8,product beams" in fewer.kind
    assert fewer.description()["beams"] == "8,product"
    assert "LiDARs reduced to 8,product beams" in str(fewer[0].provenance)
    assert fewer.info().kind == fewer.kind


def test_a_wrong_number_is_refused_before_anything_is_read(tmp_path):
    write_drive(tmp_path)
    with pytest.raises(CosenseError, match="beams 'few'"):
        open_dataset(tmp_path, beams="few")
