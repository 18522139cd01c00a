"""Where the routes of a scene cross or merge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosense.simulation.paths import Route

# Room that one user of a route needs across, in metres.
_WIDTH_M = {"vehicle": 2.6, "cyclist": 0.8, "pedestrian": 0.7}
_MARGIN_M = 0.4
# A merge is over once both drive in one lane: from there on, whoever is behind follows.
_MERGE_M = 14.0
# Conflicts closer together than this are entered all or none, so that nobody waits inside a junction.
_JOIN_M = 7.0


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
        for other, other_route in enumerate(routes):
            if one != other:
                found[one] += _between(route, other, other_route)
    return Conflicts(tuple(_join(conflicts) for conflicts in found))


def _between(route: Route, other: int, other_route: Route) -> list[Conflict]:
    """Stretches of `route` that come too near the other route, without a lane that both start in."""
    near = (_WIDTH_M[route.user] + _WIDTH_M[other_route.user]) / 2 + _MARGIN_M
    distance, index = other_route.tree.query(route.line, distance_upper_bound=near)
    close = np.flatnonzero(distance < near)
    if len(close) == 0:
        return []
    conflicts = []
    for run in np.split(close, np.flatnonzero(np.diff(close) > 1) + 1):
        if run[0] == 0 and distance[0] < 0.5:
            continue
        start_m = run[0] * route.step_m
        kept = run[run * route.step_m <= start_m + _MERGE_M]
        theirs = index[kept] * other_route.step_m
        conflicts.append(
            Conflict(start_m, kept[-1] * route.step_m, other, float(theirs.min()), float(theirs.max()))
        )
    return conflicts


def _join(conflicts: list[Conflict]) -> tuple[Cluster, ...]:
    clusters: list[Cluster] = []
    for conflict in sorted(conflicts, key=lambda c: c.start_m):
        if clusters and conflict.start_m < clusters[-1].end_m + _JOIN_M:
            last = clusters[-1]
            clusters[-1] = Cluster(last.start_m, max(last.end_m, conflict.end_m), (*last.conflicts, conflict))
        else:
            clusters.append(Cluster(conflict.start_m, conflict.end_m, (conflict,)))
    return tuple(clusters)
