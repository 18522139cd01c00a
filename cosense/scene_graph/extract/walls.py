"""Straight upright faces of one cloud: walls as lines seen from above.

Cells whose neighbours lie on a line grow together where the line goes on; what continues a fitted line up to
a corner joins it afterwards, because there the neighbours belong to two lines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cosense.scene_graph.extract.upright import Upright

_LEAST_SPAN_M = 0.5
_NEIGHBOURS, _NEIGHBOURS_WITHIN_M = 8, 2.0
_FEWEST = 4
_LINEAR, _THICKNESS_M = 0.9, 0.08
_TURN_RAD = np.radians(10)
_OFFSET_M = 0.15
_ABSORB_M = 0.12
# At a grazing angle the beams hit a wall at ever larger distances.
_GAP_M, _GAP_OF_RANGE = 0.5, 0.05
_SHORTEST_M = 2.0
_TWICE_M, _PARALLEL_COSINE = 0.25, 0.97


@dataclass(frozen=True)
class Wall:
    """A straight piece: `middle` + s `along` for s between `start_m` and `end_m`, seen from above.

    Attributes:
        middle: (2,) a place on the line, metres.
        along: (2,) unit vector.
        height_m: how high it was seen above the ground.
        z: mean height of its returns in the frame of the cloud.
    """

    middle: NDArray[np.float64]
    along: NDArray[np.float64]
    start_m: float
    end_m: float
    height_m: float
    z: float

    @property
    def length_m(self) -> float:
        return self.end_m - self.start_m

    def at(self, s_m: float) -> NDArray[np.float64]:
        return self.middle + self.along * s_m


def walls(upright: Upright) -> list[Wall]:
    """Return the straight pieces of at least 2 m, longest first."""
    standing = np.flatnonzero(upright.high_m - upright.low_m >= _LEAST_SPAN_M)
    xy = upright.xy[standing]
    if len(xy) < _FEWEST:
        return []
    lines = _fitted(xy, upright.high_m[standing], upright.z[standing], _grown(xy))
    return _without_parts(sorted(lines, key=lambda line: -line.length_m))


def _grown(xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the group (C,) of cells that follow one direction, -1 where there are too few of them."""
    distance, neighbour = cKDTree(xy).query(xy, k=_NEIGHBOURS, distance_upper_bound=_NEIGHBOURS_WITHIN_M)
    there = np.isfinite(distance)
    neighbour = np.where(there, neighbour, 0)
    count = there.sum(axis=1)
    place = xy[:, 0] + 1j * xy[:, 1]
    apart = (place[neighbour] - place[:, None]) * there
    spread = (apart - (apart.sum(axis=1) / count)[:, None]) * there
    # Squares of complex numbers add up along the line and cancel out across it.
    twice = (spread * spread).sum(axis=1)
    direction, difference = np.angle(twice) / 2, np.abs(twice)
    total = (spread * spread.conj()).real.sum(axis=1)
    thickness = np.sqrt(np.maximum(total - difference, 0) / 2 / count)
    linear = (
        (count >= _FEWEST) & (thickness < _THICKNESS_M) & (difference > _LINEAR * np.maximum(total, 1e-9))
    )
    one, nth = np.nonzero(there & linear[:, None] & linear[neighbour])
    other = neighbour[one, nth]
    turn = np.abs((direction[one] - direction[other] + np.pi / 2) % np.pi - np.pi / 2)
    linked = turn < _TURN_RAD
    along = np.exp(-1j * direction)
    for end in (one, other):
        linked &= np.abs((apart[one, nth] * along[end]).imag) < _OFFSET_M
    links = coo_matrix((np.ones(linked.sum()), (one[linked], other[linked])), shape=(len(xy), len(xy)))
    groups, group = connected_components(links, directed=False)
    large = np.bincount(group, minlength=groups) >= _FEWEST
    return np.where(large, large.cumsum() - 1, -1)[group]


def _fitted(
    xy: NDArray[np.float64], high_m: NDArray[np.float64], z: NDArray[np.float64], group: NDArray[np.int64]
) -> list[Wall]:
    """Fit a line to each group of cells and let it grow over the cells that continue it."""
    own = np.flatnonzero(group >= 0)
    of = group[own]
    count = np.bincount(of)
    middle = np.column_stack([np.bincount(of, axis) for axis in xy[own].T]) / count[:, None]
    spread = xy[own] - middle[of]
    xx, yy, xy_sum = (
        np.bincount(of, product)
        for product in (spread[:, 0] ** 2, spread[:, 1] ** 2, spread[:, 0] * spread[:, 1])
    )
    direction = 0.5 * np.arctan2(2 * xy_sum, xx - yy)
    along = np.column_stack([np.cos(direction), np.sin(direction)])
    s_own = (spread * along[of]).sum(axis=1)
    start_m, end_m, top_m = (np.full(len(count), fill) for fill in (np.inf, -np.inf, -np.inf))
    np.minimum.at(start_m, of, s_own)
    np.maximum.at(end_m, of, s_own)
    np.maximum.at(top_m, of, high_m[own])
    mean_z = np.bincount(of, z[own]) / count
    s_m = along @ xy.T - (along * middle).sum(axis=1)[:, None]
    normal = np.column_stack([-along[:, 1], along[:, 0]])
    on_line = np.abs(normal @ xy.T - (normal * middle).sum(axis=1)[:, None]) < _ABSORB_M
    lines = []
    for row in np.flatnonzero(end_m - start_m >= _SHORTEST_M / 2):
        line = Wall(middle[row], along[row], start_m[row], end_m[row], top_m[row], mean_z[row])
        beside = np.sort(s_m[row, on_line[row]])
        line = replace(
            line,
            start_m=_reached(line, line.start_m, beside[beside < line.start_m][::-1]),
            end_m=_reached(line, line.end_m, beside[beside > line.end_m]),
        )
        if line.length_m >= _SHORTEST_M:
            lines.append(line)
    return lines


def _reached(line: Wall, end_m: float, beyond: NDArray[np.float64]) -> float:
    """Return how far an end grows over what lies beyond it, nearest first."""
    if not len(beyond):
        return end_m
    from_m = np.concatenate([[end_m], beyond[:-1]])
    places = line.middle + from_m[:, None] * line.along
    too_far = np.abs(beyond - from_m) > np.maximum(_GAP_M, _GAP_OF_RANGE * np.hypot(*places.T))
    reached = int(too_far.argmax()) if too_far.any() else len(beyond)
    return float(beyond[reached - 1]) if reached else end_m


def _without_parts(lines: list[Wall]) -> list[Wall]:
    """Leave out what lies within a longer line, given first: two groups that have grown into one."""
    if not lines:
        return []
    along = np.array([line.along for line in lines])
    middle = np.array([line.at((line.start_m + line.end_m) / 2) for line in lines])
    half_m = np.array([line.length_m / 2 for line in lines])
    apart = middle - middle[:, None]
    s_m = np.abs((apart * along[:, None]).sum(axis=2))
    beside_m = np.abs(apart[..., 1] * along[:, None, 0] - apart[..., 0] * along[:, None, 1])
    part = (s_m <= half_m[:, None]) & (beside_m < _TWICE_M) & (np.abs(along @ along.T) > _PARALLEL_COSINE)
    kept: list[int] = []
    for row in range(len(lines)):
        if not part[kept, row].any():
            kept.append(row)
    return [lines[row] for row in kept]
