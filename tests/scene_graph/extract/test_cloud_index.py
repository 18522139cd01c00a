from __future__ import annotations

import numpy as np

from cosense.scene_graph.extract.cloud_index import Azimuths


def ring(degrees, range_m, z=0.0) -> Azimuths:
    turns = np.radians(np.asarray(degrees, np.float32))
    range_m = np.broadcast_to(np.float32(range_m), turns.shape)
    height = np.full(turns.shape, z, np.float32)
    return Azimuths.of(np.stack([range_m * np.cos(turns), range_m * np.sin(turns), height]))


def test_returns_are_found_by_their_direction():
    seen = ring([10.1, 20.1, -30.1], [1.0, 2.0, 3.0])
    ranges, slopes = seen.between(np.radians(15), np.radians(25))
    np.testing.assert_allclose(ranges, [2.0], rtol=1e-6)
    np.testing.assert_allclose(slopes, [0.0])
    np.testing.assert_allclose(
        sorted(seen.between(np.radians(-40), np.radians(15))[0]), [1.0, 3.0], rtol=1e-6
    )


def test_behind_the_sensor_the_circle_closes():
    seen = ring([179.9, -179.9, 0.1], [1.0, 2.0, 3.0], 0.5)
    for turn in (0, 360, -360):
        ranges, slopes = seen.between(np.radians(179 + turn), np.radians(181 + turn))
        np.testing.assert_allclose(sorted(ranges), [1.0, 2.0], rtol=1e-6)
        np.testing.assert_allclose(sorted(slopes), [0.25, 0.5], rtol=1e-6)


def test_every_direction_has_its_place():
    degrees = np.arange(-179.875, 180, 0.25)
    seen = ring(degrees, 5.0)
    assert np.diff(seen.first).tolist() == [1] * 1440
