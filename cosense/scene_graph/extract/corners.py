"""Which points of walls two agents see alike: upright edges, not middles.

Where a wall seems to end depends on who looks, unless it really ends there. A corner is

- where the lines of two walls meet near an end of each, or
- the end of one wall beyond which the view goes on into the distance (the outline of a house: somebody at
  the other side sees the other wall end at the same edge), or beyond which a surface turns away.

An end in the shadow of something nearer, at the border of the field of view or of the reach is none. A wall
between two corners is a node as well: its middle is then as good as they are. Kerbs are no nodes: a kerb is
long and round, and no point of it is seen alike from two sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.azimuths import Azimuths
from cosense.scene_graph.extract.ground_levels import GroundLevels
from cosense.scene_graph.extract.upright import REACH_M
from cosense.scene_graph.extract.walls import Wall
from cosense.scene_graph.found import Nodes

_LEAST_SINE = 0.5
_MEET_WITHIN_M = 0.7
_BORDER_M = 8.0
# Looked at beside an end, from a direction on: 0.25 degrees to 0.9 degrees or 0.4 m.
_BESIDE_RAD, _BESIDE_M = (np.radians(0.25), np.radians(0.9)), 0.4
_NEARER_M, _FARTHER_M = 0.6, 1.0
_SHADOW_SHARE = 0.1
_FEWEST_BEYOND = 2
_ONE_CORNER_M = 0.5
_THICKNESS_M = 0.2
# (sigma in metres, score): how far apart two agents see the same corner, and how often both do.
_MEETING, _OUTLINE, _TURNING, _BETWEEN = (0.06, 0.6), (0.12, 0.6), (0.18, 0.3), (0.2, 0.4)


@dataclass(frozen=True)
class _Corner:
    xy: NDArray[np.float64]
    quality: tuple[float, float]


def corners_and_walls(walls: list[Wall], azimuths: Azimuths, ground: GroundLevels) -> Nodes:
    """Return CORNER nodes, and WALL nodes between two of them.

    Args:
        walls: as `walls` found them.
        azimuths: all returns of the cloud.
        ground: below them.
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
    kind: NodeClass, xy: NDArray[np.float64], quality: NDArray[np.float64], ground: GroundLevels
) -> Nodes:
    size = np.full((len(xy), 3), _THICKNESS_M)
    return Nodes.standing(
        classes=np.full(len(xy), kind),
        positions=np.column_stack([xy, ground.at(xy[:, 0], xy[:, 1])]),
        sizes=size,
        sigmas_m=quality[:, 0],
        scores=quality[:, 1],
    )


def _end_of(wall: Wall, end: int) -> NDArray[np.float64]:
    return wall.at(wall.end_m if end else wall.start_m)


def _meetings(walls: list[Wall]) -> list[tuple[tuple[int, int], tuple[int, int], NDArray[np.float64]]]:
    """Return which ends (row, 0 or 1) of two walls meet, and where."""
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
    """Return the quality of a wall's end as a corner, None where the wall may well go on unseen."""
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
    # Whatever hides the wall reaches at least as high as the middle of what is seen of it.
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
    """Keep the best of corners that are one, and order them by place: nothing depends on dictionaries."""
    kept: list[_Corner] = []
    for corner in sorted(corners, key=lambda c: (c.quality[0], float(c.xy[0]), float(c.xy[1]))):
        if all(np.hypot(*(corner.xy - other.xy)) > _ONE_CORNER_M for other in kept):
            kept.append(corner)
    return kept
