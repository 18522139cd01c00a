"""Where the routes of a scene cross or merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.spatial.distance import cdist

from cosense.simulation.scenes.paths import Route

# Room that one user of a route needs across, in metres.
_WIDTH_M = {"vehicle": 2.6, "cyclist": 0.8, "pedestrian": 0.7}
_MARGIN_M = 0.4
# A merge is over once both drive in one lane: from there on, whoever is behind follows.
_MERGE_M = 14.0
# Conflicts closer together than this are entered all or none, so that nobody waits inside a junction.
_JOIN_M = 7.0
# Routes that start closer together than this start in one lane.
_SAME_LANE_M = 0.5
# Every how many points of the routes are compared.
_SUBSAMPLE = 3


@dataclass(frozen=True)
class Conflict:
    """A stretch of one route that another one comes too near, in arc lengths of both."""

    start_m: float
    end_m: float
    other: int
    other_start_m: float
    other_end_m: float


@dataclass(frozen=True)
class Cluster:
    """Conflicts of one route that are entered together; `start_m` is where its users stop."""

    start_m: float
    end_m: float
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True)
class Conflicts:
    """The clusters of every route, in order of arc length."""

    clusters: tuple[tuple[Cluster, ...], ...]

    def of(self, route: int) -> tuple[Cluster, ...]:
        return self.clusters[route]


def find_conflicts(routes: Sequence[Route]) -> Conflicts:
    """Compare all pairs of routes."""
    found: list[list[Conflict]] = [[] for _ in routes]
    for one, route in enumerate(routes):
        for other in range(one, len(routes)):
            for (start_m, end_m), (other_start_m, other_end_m) in _between(route, routes[other]):
                found[one].append(Conflict(start_m, end_m, other, other_start_m, other_end_m))
                found[other].append(Conflict(other_start_m, other_end_m, one, start_m, end_m))
    return Conflicts(tuple(_join(conflicts) for conflicts in found))


Stretch = tuple[float, float]


def _between(route: Route, other: Route) -> list[tuple[Stretch, Stretch]]:
    """Stretches of both routes that come too near each other; a route may also cross itself.

    In the table of distances between points of the one and of the other, each connected patch of small ones
    is one meeting of the two.
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
    """Arc lengths of a range of points; of a merge only the beginning."""
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
