"""Turns arms into a scene: paints and shapes the ground, furnishes it, and lays out who moves and watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosense.geometry.transforms import wrap_angle
from cosense.simulation.scenes.bystanders import stand_about
from cosense.simulation.scenes.hinterland import hinterland
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.parking import park_along
from cosense.simulation.scenes.paths import STEP_M, Route
from cosense.simulation.scenes.relief import Country, Slab, Way, shape
from cosense.simulation.scenes.roads import (
    Arm,
    cyclist_routes,
    paint_roads,
    pedestrian_routes,
    vehicle_routes,
)
from cosense.simulation.scenes.scene import Mast, Parked, Scene
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, draw_barrier
from cosense.simulation.scenes.surroundings.frontages import furnish
from cosense.simulation.scenes.surroundings.placing import FURNISHED_M, facing_road
from cosense.simulation.scenes.surroundings.stock import Stock
from cosense.simulation.scenes.surroundings.style import Style
from cosense.simulation.scenes.surroundings.trees import street_tree

ROAD_M = 190.0
_MIDDLE_WITHIN_RAD = 0.7
# With what is built on the relief, a scene stays below 400 000 triangles, which a caster builds in a moment.
_MOST_TRIANGLES = 390_000


@dataclass(frozen=True)
class Plan:
    """A place of arms before it is furnished.

    Attributes:
        family: name of the family of scenes.
        arms: the arms, sorted by heading.
        style: how it is built up.
        country: how uneven it is.
        ground: its ground, painted.
        vehicles: routes of vehicles.
        others: routes of cyclists and pedestrians.
        ways: its roads as the relief needs them.
        parked: parked vehicles.
        slabs: parts of the relief besides the arms.
        built: returns what is built on the finished relief, in place.
        clear_m: distance from the middle within which no mast stands.
        spacing_m: smallest and largest length of lane for each moving vehicle.
    """

    family: str
    arms: list[Arm]
    style: Style
    country: Country
    ground: Ground
    vehicles: Sequence[Route]
    others: Sequence[Route]
    ways: Sequence[Way]
    parked: Sequence[Parked] = ()
    slabs: Sequence[Slab] = ()
    built: Callable[[Ground], list[Mesh]] = lambda _: []
    clear_m: float = 0.0
    spacing_m: tuple[float, float] = (28.0, 75.0)


def plan_arms(rng: np.random.Generator, family: str, arms: list[Arm], style: Style, country: Country) -> Plan:
    """Return a place of arms with its painted ground, its routes and the vehicles parked along them."""
    ground = Ground()
    paint_roads(ground, arms)
    return Plan(
        family,
        arms,
        style,
        country,
        ground,
        vehicle_routes(arms),
        (*cyclist_routes(arms), *pedestrian_routes(arms)),
        ways_of(arms),
        park_along(arms, style.parked, rng),
    )


def finish(plan: Plan, rng: np.random.Generator) -> Scene:
    """Furnish a place, shape its relief, and put everything on it."""
    arms, ground = plan.arms, plan.ground
    things = [*furnish(ground, arms, plan.style, rng), *_islands(arms, rng)]
    things += hinterland(ground, plan.style.built_up, rng)
    shape(ground, plan.country, plan.ways, rng, plan.slabs)
    ego_routes = _ego_routes(arms, plan.vehicles, rng)
    lanes_m = sum(2 * arm.profile.open_lanes * ROAD_M for arm in arms)
    return Scene(
        family=plan.family,
        surroundings=(*ground.lifted(light_enough(things)), *plan.built(ground)),
        ground=ground,
        routes=(*plan.vehicles, *plan.others),
        masts=_masts(arms, plan.clear_m, rng),
        parked=(*plan.parked, *stand_about(arms, things, (*plan.vehicles, *plan.others), rng)),
        ego_routes=tuple(ego_routes),
        focus_m=tuple(_middle(plan.vehicles[row]) for row in ego_routes),
        movers={
            "vehicle": int(np.clip(lanes_m / rng.uniform(*plan.spacing_m), 6, 45)),
            "cyclist": int(rng.integers(0, 8)),
            "pedestrian": int(rng.integers(2, 14)),
        },
    )


def light_enough(things: Sequence[Mesh]) -> Sequence[Mesh]:
    """Leave out what stands farthest from the middle where there are too many triangles to cast."""
    if sum(map(len, things)) <= _MOST_TRIANGLES:
        return things
    nearest_first = np.argsort([np.hypot(*thing.middle) for thing in things])
    triangles = np.cumsum([len(things[row]) for row in nearest_first])
    return [things[row] for row in np.sort(nearest_first[triangles <= _MOST_TRIANGLES])]


def _islands(arms: Sequence[Arm], rng: np.random.Generator) -> list[Mesh]:
    """Return guard rails, a hedge or trees on medians, and trees on separators."""
    made: list[Mesh] = []
    stock = Stock(rng)
    median_m = min(arm.profile.median_m for arm in arms)
    kind = str(rng.choice(["guard_rail", "hedge", "trees", "jersey", "bare"], p=[0.35, 0.2, 0.2, 0.1, 0.15]))
    barrier = draw_barrier(rng, kind) if kind in ("guard_rail", "hedge", "jersey") else None
    gap_m = float(rng.uniform(7, 20))
    for arm in arms:
        start = arm.mouth_m + (9.0 if arm.crossing else 4.0)
        if median_m and barrier is not None and barrier.width_m < median_m - 0.6:
            for along in np.arange(start + PIECE_M / 2, FURNISHED_M, PIECE_M):
                made.append(barrier.piece(rng).at(*arm.pose(along, 0.0)))
        elif median_m and kind == "trees":
            for along in np.arange(start, FURNISHED_M, gap_m):
                made.append(stock.take(street_tree, 4).mesh.at(*arm.pose(along, 0.0)))
        if arm.profile.separator_m is not None:
            for side in (-1, 1):
                for along in (*np.arange(start + 4, 68.0, gap_m), *np.arange(82.0, FURNISHED_M, gap_m)):
                    pose = facing_road(arm, side, along, sum(arm.profile.separator_m) / 2)
                    made.append(stock.take(street_tree, 4).mesh.at(*pose))
    return made


def ways_of(arms: Sequence[Arm]) -> list[Way]:
    """Return arms as the relief needs them: two that continue each other are one road."""
    if len(arms) == 2:
        profile = arms[0].profile
        line = np.concatenate([arms[1].line[:0:-1], arms[0].line])
        return [Way(line, profile.kerb_m, profile.edge_m)]
    return [Way(arm.line, arm.profile.kerb_m, arm.profile.edge_m, arm.mouth_m + 2.0) for arm in arms]


def _ego_routes(arms: list[Arm], routes: Sequence[Route], rng: np.random.Generator) -> list[int]:
    """Draw routes for the ego: each arm equally often, whatever its number of lanes."""
    starts = np.array([route.line[0] for route in routes])
    ends = np.array([arm.line[-1] for arm in arms])
    origin = np.linalg.norm(starts[:, None] - ends, axis=2).argmin(axis=1)
    return [int(row) for arm in range(len(arms)) for row in rng.choice(np.flatnonzero(origin == arm), 4)]


def _middle(route: Route) -> float:
    """Return the arc length at which a route is nearest to the middle of the scene."""
    return float(np.argmin(np.linalg.norm(route.line, axis=1)) * route.step_m)


def _masts(arms: list[Arm], clear_m: float, rng: np.random.Generator) -> tuple[Mast, ...]:
    """Return places beside the mouths of the arms, in random order; each mast looks down another arm."""
    masts = []
    for arm, side in [(arm, side) for arm in arms for side in (1, -1)]:
        along_m = max(arm.mouth_m, clear_m) + rng.uniform(1.0, 8.0)
        x, y, _ = arm.pose(along_m, side * (arm.profile.kerb_m + 0.45))
        others = [other for other in arms if other is not arm]
        watched = others[rng.integers(len(others))]
        look_x, look_y = watched.line[int(rng.uniform(25, 55) / STEP_M)]
        yaw = np.arctan2(look_y - y, look_x - x)
        # The middle of the place stays in the field of view.
        aside = wrap_angle(yaw - np.arctan2(-y, -x))
        yaw += np.clip(aside, -_MIDDLE_WITHIN_RAD, _MIDDLE_WITHIN_RAD) - aside
        masts.append(Mast(x, y, float(rng.uniform(4.0, 9.0)), float(yaw)))
    return tuple(masts[row] for row in rng.permutation(len(masts)))
