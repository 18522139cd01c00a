"""People who stand about, alone or in groups: on the walkway between the kerb and where others walk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bodies import make_body
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.roads import WALK_IN_M, Arm
from cosense.simulation.scenes.scene import Parked
from cosense.simulation.scenes.surroundings.placing import station

# Room that somebody who walks past needs beside the line that is walked along.
_PASSING_M = 0.55
_KERB_GAP_M = 0.15
_APART_M = 0.12
_REACH_M = 70.0


def stand_about(arms: Sequence[Arm], things: Sequence[Mesh], rng: np.random.Generator) -> list[Parked]:
    """Return people on the walkways of the arms, clear of the things that stand there.

    They are fewer on most roads than on a few busy ones.
    """
    standing: list[Parked] = []
    gap_m = float(rng.uniform(12, 90))
    low, high = _extents(things)
    for arm in arms:
        for side in (1, -1):
            along = arm.mouth_m + (5.5 if arm.crossing else 1.0) + float(rng.exponential(gap_m))
            while along < arm.mouth_m + _REACH_M:
                # A group stands in a row, as close as people who know each other do.
                for _ in range(int(rng.choice([1, 2, 3, 4], p=[0.55, 0.27, 0.12, 0.06]))):
                    along = _join_group(standing, arm, side, along, (low, high), rng)
                along += float(rng.exponential(gap_m))
    return standing


def _join_group(
    standing: list[Parked],
    arm: Arm,
    side: int,
    along: float,
    extents: tuple[NDArray[np.float64], NDArray[np.float64]],
    rng: np.random.Generator,
) -> float:
    """Add one person at an arc length if there is room, and return where the next one may stand."""
    body = make_body(ObjectClass.PEDESTRIAN, rng)
    half = float(np.hypot(*body.size[:2])) / 2
    nearest = arm.profile.kerb_m + _KERB_GAP_M + half
    farthest = arm.profile.edge_m - WALK_IN_M - _PASSING_M - half
    if nearest < farthest:
        x, y, yaw = station(arm, along + half, side * float(rng.uniform(nearest, farthest)))
        place = np.array([x, y])
        low, high = extents
        if not ((low - half < place) & (place < high + half)).all(axis=1).any():
            standing.append(Parked(body, x, y, yaw + float(rng.uniform(-np.pi, np.pi))))
    return along + 2 * half + _APART_M


def _extents(things: Sequence[Mesh]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest x and y (T,2) of each thing."""
    low = np.array([mesh.vertices[:, :2].min(axis=0) for mesh in things]).reshape(-1, 2)
    high = np.array([mesh.vertices[:, :2].max(axis=0) for mesh in things]).reshape(-1, 2)
    return low, high
