"""People who stand about, alone or in groups: on the walkway, where nobody walks and nothing stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bodies import Body, make_body
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.paths import Route
from cosense.simulation.scenes.roads import Arm
from cosense.simulation.scenes.scene import Parked

# Room beside the middle of a route that whoever follows it needs.
_PASSING_M = {"vehicle": 1.5, "cyclist": 0.7, "pedestrian": 0.55}
_KERB_GAP_M = 0.15
_APART_M = 0.12
_REACH_M = 70.0
_TRIES = 6
_GROUPS, _SHARES = (1, 2, 3, 4), (0.55, 0.27, 0.12, 0.06)


def stand_about(
    arms: Sequence[Arm], things: Sequence[Mesh], routes: Sequence[Route], rng: np.random.Generator
) -> list[Parked]:
    """Return people on the walkways of the arms, clear of the things that stand there and of the routes.

    They are fewer on most roads than on a few busy ones.
    """
    gap_m = float(rng.uniform(3, 40))
    low = np.array([mesh.vertices[:, :2].min(axis=0) for mesh in things]).reshape(-1, 2)
    high = np.array([mesh.vertices[:, :2].max(axis=0) for mesh in things]).reshape(-1, 2)
    ways = {
        user: cKDTree(np.concatenate([route.line for route in routes if route.user == user]))
        for user in {route.user for route in routes}
    }
    standing: list[Parked] = []
    for arm, side in [(arm, side) for arm in arms for side in (1, -1)]:
        along = arm.mouth_m + 1.0 + float(rng.exponential(gap_m))
        while along < arm.mouth_m + _REACH_M:
            # A group stands in a row, as close as people who know each other do.
            for _ in range(int(rng.choice(_GROUPS, p=_SHARES))):
                body = make_body(ObjectClass.PEDESTRIAN, rng)
                half = _half_m(body)
                nearest, farthest = arm.profile.kerb_m + _KERB_GAP_M + half, arm.profile.edge_m - half
                for share in rng.uniform(0, 1, _TRIES if nearest < farthest else 0):
                    left = side * (nearest + float(share) * (farthest - nearest))
                    x, y, yaw = arm.pose(along + half, left)
                    place = np.array([x, y])
                    covered = ((low - half < place) & (place < high + half)).all(axis=1).any()
                    if not covered and _is_passable(place, half, ways):
                        standing.append(Parked(body, x, y, yaw + float(rng.uniform(-np.pi, np.pi))))
                        break
                along += 2 * half + _APART_M
            along += float(rng.exponential(gap_m))
    return standing


def _half_m(body: Body) -> float:
    """Return the radius of the circle around a body and what stands beside it: a suitcase, a dog."""
    beside = float(np.linalg.norm(body.mesh.vertices[:, :2], axis=1).max())
    return max(float(np.hypot(body.size[0], body.size[1])) / 2, beside)


def _is_passable(place: NDArray[np.float64], half_m: float, ways: Mapping[str, cKDTree]) -> bool:
    """Return whether somebody at a place (2,) leaves room on all routes, given as the points of each user."""
    return all(way.query(place)[0] > half_m + _PASSING_M[user] for user, way in ways.items())
