"""A thinned cloud has one point for each occupied cube."""

from __future__ import annotations

import numpy as np

from cosense.sensing.thinning import thinned


def test_thinning_takes_the_mean_of_each_cube():
    points = np.array([[0.1, 0.1, 0.1, 7], [0.3, 0.1, 0.3, 7], [-0.1, 0, 0, 7], [np.nan, 0, 0, 7]])
    np.testing.assert_allclose(sorted(thinned(points, 0.5).tolist()), [[-0.1, 0, 0], [0.2, 0.1, 0.2]])
    assert thinned(np.zeros((0, 4)), 0.5).shape == (0, 3)
