"""Walls of one cloud, and the points of them that two agents see alike: corners, not middles.

Where a wall seems to end depends on the viewpoint, unless it really ends there. A corner is

- where the lines of two walls meet near an end of each, or
- the end of a wall beyond which the view goes on into the distance (the outline of a house: an agent at the
  other side sees the other wall end at the same edge), or beyond which a surface turns away.

An end in the shadow of something nearer, at the border of the field of view or of the reach is no corner. A
wall between two corners is a node as well: its middle is then as good as they are. Kerbs are no nodes: a kerb
is long and round, and no point of it is seen alike from two sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.cloud_index import REACH_M, Azimuths, UprightCells
from cosense.scene_graph.nodes import Nodes
from cosense.sensing.ground import GroundSurface

_LEAST_SPAN_M = 0.5
_NEIGHBOURS, _NEIGHBOURS_WITHIN_M = 8, 2.0
_FEWEST = 4
_LINEAR, _ACROSS_M = 0.9, 0.08
_TURN_RAD = np.radians(10)
_OFFSET_M = 0.15
_ABSORB_M = 0.12
# At a grazing angle the beams hit a wall at ever larger distances.
_GAP_M, _GAP_OF_RANGE = 0.5, 0.05
_SHORTEST_M = 2.0
_TWICE_M, _PARALLEL_COSINE = 0.25, 0.97
# Of two lines that make a corner: the sine between them, and how far from both ends they cross.
_LEAST_SINE = 0.5
_MEET_WITHIN_M = 0.7
_BORDER_M = 8.0
# The sector beside an end in which the view is examined: from 0.25 degrees to 0.9 degrees or 0.4 m.
_BESIDE_RAD, _BESIDE_M = (np.radians(0.25), np.radians(0.9)), 0.4
_NEARER_M, _FARTHER_M = 0.6, 1.0
_SHADOW_SHARE = 0.1
_FEWEST_BEYOND = 2
_ONE_CORNER_M = 0.5
_THICKNESS_M = 0.2
# (sigma in metres, score): how far apart two agents see the same corner, and how often both see it.
_MEETING, _OUTLINE, _TURNING, _BETWEEN = (0.06, 0.6), (0.12, 0.6), (0.18, 0.3), (0.2, 0.4)


@dataclass(frozen=True)
class Wall:
    """A straight wall seen from above: `middle` + s `along` for s between `start_m` and `end_m`.

    Attributes:
        middle: (2,) place on the line, metres.
        along: (2,) unit vector.
        start_m, end_m: both ends along the line, seen from `middle`.
        height_m: height above the ground up to which the wall was seen.
        z: mean height of the returns in the frame of the cloud.
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


def find_walls(cells: UprightCells) -> list[Wall]:
    """Return the walls of at least 2 m, longest first.

    Cells whose neighbours lie on a line grow together where the line continues. Cells that continue a fitted
    line up to a corner join it afterwards, because near a corner the neighbours belong to two lines.
    """
    tall = np.flatnonzero(cells.high_m - cells.low_m >= _LEAST_SPAN_M)
    xy = cells.xy[tall]
    if len(xy) < _FEWEST:
        return []
    lines = _fitted(xy, cells.high_m[tall], cells.z[tall], _grown(xy))
    return _without_parts(sorted(lines, key=lambda line: -line.length_m))


def _grown(xy: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the group (C,) of each cell that follows one direction, -1 where the group has too few cells."""
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
    linear = (count >= _FEWEST) & (thickness < _ACROSS_M) & (difference > _LINEAR * np.maximum(total, 1e-9))
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
    """Return the end of a line after it has grown over the cells beyond it, given nearest first."""
    if not len(beyond):
        return end_m
    from_m = np.concatenate([[end_m], beyond[:-1]])
    places = line.middle + from_m[:, None] * line.along
    too_far = np.abs(beyond - from_m) > np.maximum(_GAP_M, _GAP_OF_RANGE * np.hypot(*places.T))
    reached = int(too_far.argmax()) if too_far.any() else len(beyond)
    return float(beyond[reached - 1]) if reached else end_m


def _without_parts(lines: list[Wall]) -> list[Wall]:
    """Leave out lines that lie within a longer one, given first: two groups that have grown into one."""
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


@dataclass(frozen=True)
class _Corner:
    xy: NDArray[np.float64]
    quality: tuple[float, float]


def corners_and_walls(walls: list[Wall], azimuths: Azimuths, ground: GroundSurface) -> Nodes:
    """Return CORNER nodes, and WALL nodes between two of them.

    Args:
        walls: walls of the cloud, see `find_walls`.
        azimuths: all returns of the cloud.
        ground: ground of the cloud.
    """
    at_end: dict[tuple[int, int], _Corner] = {}
    for one, other, xy in _meetings(walls):
        at_end[one] = at_end[other] = _Corner(xy, _MEETING)
    for row, wall in enumerate(walls):
        for end in (0, 1):
            if (row, end) not in at_end:
                quality = _seen_to_end(wall, end, azimuths)
                if quality is not None:
                    at_end[row, end] = _Corner(_end_of(wall, end), quality)
    distinct = _distinct(list(at_end.values()))
    corner_nodes = _nodes(
        NodeClass.CORNER,
        np.array([corner.xy for corner in distinct]).reshape(-1, 2),
        np.array([corner.quality for corner in distinct]).reshape(-1, 2),
        ground,
    )
    between = [
        (wall, at_end[row, 0].xy, at_end[row, 1].xy)
        for row, wall in enumerate(walls)
        if (row, 0) in at_end and (row, 1) in at_end
    ]
    ends = np.array([(first, last) for _, first, last in between]).reshape(-1, 2, 2)
    pieces = _nodes(NodeClass.WALL, ends.mean(axis=1), np.tile(_BETWEEN, (len(ends), 1)), ground)
    direction = ends[:, 1] - ends[:, 0]
    pieces.sizes[:, 0] = np.hypot(*direction.T)
    pieces.sizes[:, 2] = [wall.height_m for wall, _, _ in between]
    pieces.yaws[:] = np.arctan2(direction[:, 1], direction[:, 0]) % np.pi
    return Nodes.concatenate([corner_nodes, pieces])


def _nodes(
    kind: NodeClass, xy: NDArray[np.float64], quality: NDArray[np.float64], ground: GroundSurface
) -> Nodes:
    size = np.full((len(xy), 3), _THICKNESS_M)
    return Nodes.static(
        classes=np.full(len(xy), kind),
        positions=np.column_stack([xy, ground.at(xy[:, 0], xy[:, 1])]),
        sizes=size,
        sigmas_m=quality[:, 0],
        scores=quality[:, 1],
    )


def _end_of(wall: Wall, end: int) -> NDArray[np.float64]:
    return wall.at(wall.end_m if end else wall.start_m)


def _meetings(walls: list[Wall]) -> list[tuple[tuple[int, int], tuple[int, int], NDArray[np.float64]]]:
    """Return pairs of wall ends (row, 0 or 1) that meet, and where they meet."""
    if not walls:
        return []
    middle = np.array([wall.middle for wall in walls])
    along = np.array([wall.along for wall in walls])
    ends = np.array([(wall.start_m, wall.end_m) for wall in walls])
    one, other = np.triu_indices(len(walls), 1)
    sine = _cross(along[one], along[other])
    crossing = np.abs(sine) >= _LEAST_SINE
    one, other, sine = one[crossing], other[crossing], sine[crossing]
    apart = middle[other] - middle[one]
    s_one, s_other = _cross(apart, along[other]) / sine, _cross(apart, along[one]) / sine
    gap_one, gap_other = np.abs(ends[one] - s_one[:, None]), np.abs(ends[other] - s_other[:, None])
    return [
        (
            (int(one[pair]), int(gap_one[pair].argmin())),
            (int(other[pair]), int(gap_other[pair].argmin())),
            middle[one[pair]] + along[one[pair]] * s_one[pair],
        )
        for pair in np.flatnonzero(np.maximum(gap_one.min(1), gap_other.min(1)) <= _MEET_WITHIN_M)
    ]


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _seen_to_end(wall: Wall, end: int, azimuths: Azimuths) -> tuple[float, float] | None:
    """Return the quality of the end of a wall as a corner, None where the wall may go on unseen."""
    xy = _end_of(wall, end)
    range_m = float(np.hypot(*xy))
    if range_m > REACH_M - _BORDER_M:
        return None
    outward = wall.along * (1 if end else -1)
    turn = np.sign(xy[0] * outward[1] - xy[1] * outward[0])
    azimuth = float(np.arctan2(xy[1], xy[0]))
    beside = sorted(
        azimuth + turn * angle for angle in (_BESIDE_RAD[0], max(_BESIDE_RAD[1], _BESIDE_M / range_m))
    )
    ranges, slopes = azimuths.between(*beside)
    # An object that hides the wall reaches at least as high as the middle of its visible part.
    upper = slopes >= wall.z / range_m - 0.01
    shadow = np.count_nonzero(upper & (ranges < range_m - _NEARER_M))
    beyond = np.count_nonzero(ranges > range_m + _FARTHER_M)
    level = np.count_nonzero(upper & (np.abs(ranges - range_m) <= _NEARER_M))
    if shadow > _SHADOW_SHARE * beyond:
        return None
    if level > _FEWEST_BEYOND:
        return _TURNING
    return _OUTLINE if beyond >= _FEWEST_BEYOND else None


def _distinct(corners: list[_Corner]) -> list[_Corner]:
    """Keep the best of several sights of one corner, ordered by quality and place."""
    kept: list[_Corner] = []
    for corner in sorted(corners, key=lambda c: (c.quality[0], float(c.xy[0]), float(c.xy[1]))):
        if all(np.hypot(*(corner.xy - other.xy)) > _ONE_CORNER_M for other in kept):
            kept.append(corner)
    return kept
