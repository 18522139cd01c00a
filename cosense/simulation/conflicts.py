"""Where the routes of a scene cross or merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.spatial.distance import cdist

from cosense.simulation.scenes.paths import Route

# Width that a user of a route needs.
_WIDTH_M = {"vehicle": 2.6, "cyclist": 0.8, "pedestrian": 0.7}
_MARGIN_M = 0.4
# A merge ends once both drive in one lane: from there on, the one behind follows the other.
_MERGE_M = 14.0
# Conflicts closer together than this are entered all at once, so that nobody waits inside a junction.
_JOIN_M = 7.0
# Routes that start closer together than this share their first lane.
_SAME_LANE_M = 0.5
# Only every n-th point of the routes is compared.
_SUBSAMPLE = 3


@dataclass(frozen=True)
class Conflict:
    """A stretch of one route that comes too near to another route, in arc lengths of both.

    Attributes:
        start_m, end_m: arc lengths on the route itself.
        other: row of the other route.
        other_start_m, other_end_m: arc lengths on the other route.
    """

    start_m: float
    end_m: float
    other: int
    other_start_m: float
    other_end_m: float


@dataclass(frozen=True)
class Cluster:
    """Conflicts of one route that are entered together, in arc lengths; users stop at `start_m`."""

    start_m: float
    end_m: float
    conflicts: tuple[Conflict, ...]


# The clusters of every route, in order of arc length.
Conflicts = tuple[tuple[Cluster, ...], ...]


def find_conflicts(routes: Sequence[Route]) -> Conflicts:
    """Return the conflicts among routes, found by comparing all pairs."""
    found: list[list[Conflict]] = [[] for _ in routes]
    for one, route in enumerate(routes):
        for other in range(one, len(routes)):
            for (start_m, end_m), (other_start_m, other_end_m) in _between(route, routes[other]):
                found[one].append(Conflict(start_m, end_m, other, other_start_m, other_end_m))
                found[other].append(Conflict(other_start_m, other_end_m, one, start_m, end_m))
    return tuple(_join(conflicts) for conflicts in found)


Stretch = tuple[float, float]


def _between(route: Route, other: Route) -> list[tuple[Stretch, Stretch]]:
    """Return the stretches of two routes that come too near to each other; a route may also cross itself.

    In the table of distances between the points of both routes, each connected patch of small distances is
    one conflict.
    """
    near = (_WIDTH_M[route.user] + _WIDTH_M[other.user]) / 2 + _MARGIN_M
    distance = cdist(route.line[::_SUBSAMPLE], other.line[::_SUBSAMPLE])
    close = distance < near
    if route is other:
        rows, columns = np.indices(close.shape)
        close &= (columns - rows) * _SUBSAMPLE * route.step_m > _MERGE_M
    if not close.any():
        return []
    starts_shared = distance[0, 0] < _SAME_LANE_M
    patches, _ = label(close, structure=np.ones((3, 3)))
    stretches = []
    for number, patch in enumerate(find_objects(patches), start=1):
        if starts_shared and patches[0, 0] == number:
            continue
        stretches.append(
            (_stretch(patch[0], route.step_m * _SUBSAMPLE), _stretch(patch[1], other.step_m * _SUBSAMPLE))
        )
    return stretches


def _stretch(points: slice, step_m: float) -> Stretch:
    """Return the arc lengths of a range of points; a merge is cut after its beginning."""
    start_m = points.start * step_m
    return max(0.0, start_m - step_m), min(points.stop * step_m, start_m + _MERGE_M)


def _join(conflicts: list[Conflict]) -> tuple[Cluster, ...]:
    clusters: list[Cluster] = []
    for conflict in sorted(conflicts, key=lambda c: c.start_m):
        if clusters and conflict.start_m < clusters[-1].end_m + _JOIN_M:
            last = clusters[-1]
            clusters[-1] = Cluster(last.start_m, max(last.end_m, conflict.end_m), (*last.conflicts, conflict))
        else:
            clusters.append(Cluster(conflict.start_m, conflict.end_m, (conflict,)))
    return tuple(clusters)
