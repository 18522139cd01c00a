"""Which beams a LiDAR has, and from which of them each point comes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cosense.sensing.beams.elevations import PANDAR40P_DEG, VLP16_DEG, VLP32_DEG, blocks
from cosense.sensing.beams.table import SLICES, BeamTable
from cosense.sensing.cloud_formats.cloud_files import read_cloud

# Of no product, fine about the horizon.
UNEVEN_DEG = np.array(blocks((-21, -7, 8), (-5.5, 1.5, 22), (3, 12, 4)))


def scan(elevations_deg, *, points=300, jitter_deg=0.0, height_m=0.0, seed=0):
    """Return points (N,3) of beams that each meet something at some distance, and their beams (N,)."""
    rng = np.random.default_rng(seed)
    beam = np.repeat(np.arange(len(elevations_deg)), points)
    elevation = np.radians(np.asarray(elevations_deg)[beam] + rng.normal(0, jitter_deg, len(beam)))
    azimuth, level_m = rng.uniform(-np.pi, np.pi, len(beam)), rng.uniform(3, 60, len(beam))
    xyz = [level_m * np.cos(azimuth), level_m * np.sin(azimuth), level_m * np.tan(elevation) + height_m]
    return np.stack(xyz, axis=1).astype(np.float32), beam


@pytest.mark.parametrize(("jitter_deg", "right"), [(0.0, 1.0), (0.02, 0.999), (0.04, 0.99)])
def test_beams_are_found_by_elevation_over_many_clouds(jitter_deg, right):
    clouds = [scan(UNEVEN_DEG, jitter_deg=jitter_deg, seed=seed) for seed in range(8)]
    table = BeamTable.of([(points, None) for points, _ in clouds])
    assert len(table) == len(UNEVEN_DEG)
    assert not table.are_slices
    assert_allclose(table.elevations_deg, UNEVEN_DEG, atol=0.02)
    points, beam = scan(UNEVEN_DEG, jitter_deg=jitter_deg, seed=99)
    assert (table.beams_of(points, None) == beam).mean() >= right


def test_beams_that_meet_above_the_origin_are_found_there():
    points, beam = scan(UNEVEN_DEG, height_m=0.2)
    table = BeamTable.of([(points, None)])
    assert_allclose(table.heights_m, 0.2, atol=0.011)
    assert len(table) == len(UNEVEN_DEG)
    assert (table.beams_of(points, None) == beam).mean() > 0.98


def test_a_product_has_all_its_beams_though_the_lowest_have_met_nothing():
    table = BeamTable.of([(scan(PANDAR40P_DEG[2:])[0], None)])
    assert len(table) == 40
    assert "Pandar40P" in table.how
    assert set(table.beams_of(scan(PANDAR40P_DEG[2:])[0], None)) == set(range(2, 40))


@pytest.mark.parametrize(
    ("numbers", "count"),
    [(np.arange(16), 16), (np.arange(16) + 1, 16), (np.arange(16)[::-1], 16), (np.r_[0:15, 15] * 2, 16)],
    ids=["from zero", "from one", "from the top", "with gaps"],
)
def test_rings_count_more_than_elevations_and_are_put_in_order(numbers, count):
    points, beam = scan(VLP16_DEG, jitter_deg=0.4)
    table = BeamTable.of([(points, numbers[beam].astype(np.int16))])
    assert table.how == "by the rings of the points"
    assert len(table) == count
    assert_allclose(table.beams_of(points, numbers[beam].astype(np.int16)), beam)


def test_a_ring_without_points_keeps_its_place():
    points, beam = scan(VLP16_DEG)
    seen = beam != 0
    table = BeamTable.of([(points[seen], beam[seen].astype(np.int16))])
    assert len(table) == 16
    assert np.isnan(table.elevations_deg[0])
    assert set(table.beams_of(points[seen], beam[seen].astype(np.int16))) == set(range(1, 16))


def test_rings_that_say_nothing_are_not_taken():
    points, _ = scan(UNEVEN_DEG)
    assert len(BeamTable.of([(points, np.zeros(len(points), np.int16))])) == len(UNEVEN_DEG)


def test_elevations_without_lines_are_cut_into_slices_with_equally_many_points():
    points, _ = scan(np.linspace(-20, 5, 5000), points=4)
    table = BeamTable.of([(points, None)])
    assert table.are_slices
    assert "form no lines" in table.how
    counts = np.bincount(table.beams_of(points, None), minlength=SLICES)
    assert_allclose(counts, len(points) / SLICES, rtol=0.1)


def test_points_at_one_elevation_are_one_beam():
    points, _ = scan([1.0], points=2000)
    table = BeamTable.of([(points, None)])
    assert len(table) == 1
    assert set(table.beams_of(points, None)) == {0}


@pytest.mark.parametrize("points", [np.zeros((0, 4), np.float32), np.ones((5, 4), np.float32)])
def test_a_few_points_show_no_beams(points):
    table = BeamTable.of([(points, None)])
    assert table.are_slices
    assert len(table.beams_of(points, None)) == len(points)


@pytest.mark.parametrize(("name", "beams"), [("pandar40p", 40), ("vlp16", 16), ("vlp32", 32), ("xt32", 32)])
def test_beams_of_real_scanners(shared_data, name, beams):
    cloud = read_cloud(shared_data / "lidar_scans" / f"{name}.pcd")
    by_elevation = BeamTable.of([(cloud.points, None)])
    assert len(by_elevation) == beams
    assert not by_elevation.are_slices
    if name == "vlp16":
        assert cloud.rings is not None
        by_rings = BeamTable.of([(cloud.points, cloud.rings)])
        assert len(by_rings) == beams
        same = by_rings.beams_of(cloud.points, cloud.rings) == by_elevation.beams_of(cloud.points, None)
        assert same.all()


def test_the_64_beams_of_a_real_drive(shared_data):
    paths = sorted((shared_data / "real_frames" / "kitti_drive" / "velodyne").glob("*.bin"))[::9]
    clouds = [read_cloud(path).points for path in paths]
    table = BeamTable.of([(points, None) for points in clouds])
    assert len(table) == 64
    # The file has the points beam by beam, from the highest down, each a turn to the left.
    azimuth = np.arctan2(clouds[0][:, 1], clouds[0][:, 0])
    turns = np.flatnonzero((azimuth[:-1] < 0) & (azimuth[1:] >= 0)) + 1
    true = 63 - np.searchsorted(turns, np.arange(len(azimuth)), side="right")
    assert (table.beams_of(clouds[0], None) == true).mean() > 0.9


def test_two_lidars_in_one_cloud_are_told_apart():
    # The lower one hangs upside down.
    upper, first = scan(VLP32_DEG, points=100)
    lower, second = scan(np.sort(-np.array(VLP32_DEG)), points=100, height_m=-0.12, seed=1)
    table = BeamTable.of([(np.concatenate([upper, lower]), None)])
    assert len(table) == 64
    assert not table.are_slices
    heights, count = np.unique(table.heights_m.round(3), return_counts=True)
    assert (heights.tolist(), count.tolist()) == ([-0.12, 0.0], [32, 32])
    for points, beam, height, sides in ((upper, first, 0.0, 1), (lower, second, -0.12, -1)):
        found = table.beams_of(points, None)
        assert (np.isclose(table.heights_m[found], height)).mean() > 0.95
        right = np.isclose(table.elevations_deg[found], np.sort(sides * np.array(VLP32_DEG))[beam])
        assert right.mean() > 0.95


def test_the_two_lidars_of_real_cars(shared_data):
    paths = sorted((shared_data / "real_frames" / "argoverse2" / "velodyne").glob("*.bin"))
    table = BeamTable.of([(read_cloud(path).points, None) for path in paths])
    assert not table.are_slices
    assert len(table) == 64
    assert_allclose(np.unique(table.heights_m), [-0.11, 0.0], atol=0.02)
