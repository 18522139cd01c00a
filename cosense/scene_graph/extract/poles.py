"""Poles and trunks of one cloud: columns that are thin, tall and isolated.

The position of a pole is where its axis meets the ground, behind the returns, which all come from the side
that faces the sensor. A wall that is seen at a grazing angle falls apart into columns, too; each of these has
neighbours along the line of sight, which distinguishes them from poles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.cloud_index import REACH_M, UprightCells
from cosense.scene_graph.nodes import Nodes
from cosense.sensing.ground import GroundSurface

_TALL_M, _LEAST_SPAN_M = 2.0, 0.7
_LINK_M = 0.5
_THICKEST_M = 0.8
_ALONE_M = 1.5
_FEWEST_RETURNS = 4
# A column with a neighbour within 8 % of its distance and 20 degrees of the line of sight is a wall.
_CHAIN_OF_RANGE, _CHAIN_LONGEST_M, _CHAIN_SINE = 0.08, 5.0, 0.35
# Returns lie on the near half of the surface, on average this share of the thickness before the axis.
_AXIS_BEHIND = 0.35
# A crown: returns beside the axis at a height where a lamp post has none.
_CROWN_M, _CROWN_LOWEST_M, _CROWN_HIGHEST_M = (0.5, 2.0), 3.2, 6.5
_CROWN_RETURNS = 3
_SIGMA_M, _SIGMA_PER_M = 0.06, 0.0015
_SCORE = 0.8


def poles_and_trunks(cells: UprightCells, high: NDArray[np.float64], ground: GroundSurface) -> Nodes:
    """Return a POLE or TRUNK node for each isolated column.

    Args:
        cells: cells of the cloud.
        high: (K,2) places of the returns at the height of crowns, see `crown_places`.
        ground: ground of the cloud.
    """
    tall = np.flatnonzero((cells.high_m >= _TALL_M) & (cells.high_m - cells.low_m >= _LEAST_SPAN_M))
    groups = [group for group in _isolated(cells.xy[tall], tall) if _has_enough_returns(cells, group)]
    found = [_shape(cells, group) for group in groups]
    shapes = np.array([shape for shape in found if shape[2] <= _THICKEST_M]).reshape(-1, 4)
    if not len(shapes):
        return Nodes.empty()
    xy, thickness, top = shapes[:, :2], shapes[:, 2], shapes[:, 3]
    range_m = np.hypot(*xy.T)
    return Nodes.static(
        classes=np.where(_has_crown(xy, high), NodeClass.TRUNK, NodeClass.POLE),
        positions=np.column_stack([xy, ground.at(xy[:, 0], xy[:, 1])]),
        sizes=np.column_stack([thickness, thickness, top]),
        sigmas_m=_SIGMA_M + _SIGMA_PER_M * range_m,
        scores=np.full(len(xy), _SCORE),
    )


def crown_places(xyz: NDArray[np.float32], above_m: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the places (K,2) of those returns of a cloud (3,N) that are as high as crowns."""
    used = (above_m > _CROWN_LOWEST_M) & (above_m < _CROWN_HIGHEST_M)
    return xyz[:2, used].T.astype(np.float64)


def _isolated(xy: NDArray[np.float64], tall: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the cells of each group of tall cells that is thin and isolated."""
    if not len(tall):
        return []
    tree = cKDTree(xy)
    near = tree.query_pairs(_LINK_M, output_type="ndarray")
    links = coo_matrix((np.ones(len(near)), tuple(near.T)), shape=(len(tall), len(tall)))
    groups, group = connected_components(links, directed=False)
    low, high = np.full((groups, 2), np.inf), np.full((groups, 2), -np.inf)
    np.minimum.at(low, group, xy)
    np.maximum.at(high, group, xy)
    thin = (high - low).max(axis=1) < _THICKEST_M - 0.2
    one = np.flatnonzero(thin[group])
    chain_m = np.minimum(_CHAIN_OF_RANGE * np.hypot(*xy[one].T), _CHAIN_LONGEST_M)
    around = tree.query_ball_point(xy[one], np.maximum(chain_m, _ALONE_M))
    one = np.repeat(one, [len(others) for others in around])
    other = np.concatenate([*around, []]).astype(np.int64)
    foreign = group[one] != group[other]
    one, other = one[foreign], other[foreign]
    apart = xy[other] - xy[one]
    distance = np.hypot(*apart.T)
    sine = np.abs(apart[:, 0] * xy[one, 1] - apart[:, 1] * xy[one, 0]) / (distance * np.hypot(*xy[one].T))
    crowded = (distance < _ALONE_M) | (sine < _CHAIN_SINE)
    thin[group[one[crowded]]] = False
    return [tall[group == index] for index in np.flatnonzero(thin)]


def _has_enough_returns(cells: UprightCells, group: NDArray[np.int64]) -> bool:
    return bool(cells.count[group].sum() >= _FEWEST_RETURNS)


def _shape(cells: UprightCells, group: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """Return x and y of the axis, the thickness, and the height seen above the ground."""
    rows = cells.returns_of(group)
    xy = cells.points[rows, :2].astype(np.float64)
    middle = xy.mean(axis=0)
    ray = middle / np.hypot(*middle)
    thickness = float(np.ptp((xy - middle) @ np.array([-ray[1], ray[0]])))
    x, y = middle + ray * _AXIS_BEHIND * thickness
    return float(x), float(y), max(thickness, 0.05), float(cells.above_m[rows].max())


def _has_crown(xy: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which axes (K,2) have foliage around them."""
    # Most foliage of a street is near no axis: only returns in the nine cells around an axis are looked at.
    size = round(2 * REACH_M / _CROWN_M[1]) + 3
    around = np.zeros((size, size), bool)
    column, row = _crown_cells(xy, size)
    for step in range(9):
        around[column + step // 3 - 1, row + step % 3 - 1] = True
    high = high[around[_crown_cells(high, size)]]
    distance, nearest = cKDTree(xy).query(high, distance_upper_bound=_CROWN_M[1])
    beside = (distance >= _CROWN_M[0]) & np.isfinite(distance)
    return np.bincount(nearest[beside], minlength=len(xy)) >= _CROWN_RETURNS


def _crown_cells(xy: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return column and row of places (K,2) in cells as wide as a crown; those outside fall on the border."""
    column, row = np.clip((xy.T + REACH_M) / _CROWN_M[1] + 1, 1, size - 2).astype(np.int64)
    return column, row
