"""Which nodes of a graph are neighbours: the published distance rule with outdoor bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.messages.scene_graph import NodeClass

R_MIN_M, R_MAX_M = 15.0, 30.0
# How long a wall or kerb is says nothing about who is near its middle, and two agents see different lengths.
_LONG = (NodeClass.WALL, NodeClass.KERB)
_LONG_RADIUS_M = 1.0


def edges_between(
    classes: NDArray[np.int64], positions: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the neighbours (E,2), smaller index first, ascending.

    Nodes i and j are neighbours when |ci - cj| < clip(2 max(ri, rj), R_min, R_max) with r half the diagonal
    of a box, as published. Indoors R_min is 1 m and R_max 6 m. Along roads things stand 5 to 15 m apart
    (parked cars 6 m, trees 7 to 30 m, lamps 22 to 38 m), and a node needs two neighbours for a triplet: R_min
    is 15 m. Beyond R_max = 30 m a heading error of a degree moves a neighbour by more than its own sigma.

    Args:
        classes: (N,) values of `NodeClass`.
        positions: (N,3) finite, metres; heights do not count, agents disagree on them.
        sizes: (N,3) metres.
    """
    if len(classes) < 2:
        return np.zeros((0, 2), np.int64)
    radius = np.linalg.norm(sizes, axis=1) / 2
    radius[np.isin(classes, _LONG)] = _LONG_RADIUS_M
    pairs = cKDTree(positions[:, :2]).query_pairs(R_MAX_M, output_type="ndarray").astype(np.int64)
    first, second = pairs.T
    reach = np.clip(2 * np.maximum(radius[first], radius[second]), R_MIN_M, R_MAX_M)
    near = np.hypot(*(positions[first, :2] - positions[second, :2]).T) < reach
    pairs = np.sort(pairs[near], axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
