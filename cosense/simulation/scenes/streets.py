"""Families of scenes that consist of arms: junctions and roads that only pass, from residential to rural."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cosense.geometry.transforms import wrap_angle
from cosense.simulation.scenes.bystanders import stand_about
from cosense.simulation.scenes.hinterland import hinterland
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.parking import drives, park_along
from cosense.simulation.scenes.paths import Route
from cosense.simulation.scenes.relief import Country, Slab, Way, shape
from cosense.simulation.scenes.roads import (
    Arm,
    Profile,
    Stalls,
    arm_line,
    cyclist_routes,
    mouth_of,
    paint_roads,
    pedestrian_routes,
    vehicle_routes,
)
from cosense.simulation.scenes.scene import Mast, Parked, Scene
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, draw_barrier
from cosense.simulation.scenes.surroundings.frontages import furnish
from cosense.simulation.scenes.surroundings.placing import FURNISHED_M, facing_road, station
from cosense.simulation.scenes.surroundings.stock import Stock
from cosense.simulation.scenes.surroundings.style import Style
from cosense.simulation.scenes.surroundings.trees import street_tree

ROAD_M = 190.0
_MIDDLE_WITHIN_RAD = 0.7


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


def draw_profile(rng: np.random.Generator, *, lanes: int, parking: float) -> Profile:
    """Draw a cross-section in town; `parking` is the probability of parking strips."""
    stalls, parking_m = Stalls.PARALLEL, 0.0
    if rng.random() < parking:
        stalls = Stalls(int(rng.choice([0, 60, 90], p=[0.7, 0.15, 0.15])))
        parking_m = float(rng.uniform(2.2, 2.5) if stalls is Stalls.PARALLEL else rng.uniform(4.9, 5.3))
    return Profile(
        lanes=lanes,
        lane_m=float(rng.uniform(3.2, 3.7)),
        cycle_m=float(rng.uniform(1.3, 1.9)) if rng.random() < 0.6 else 0.0,
        parking_m=parking_m,
        walk_m=float(rng.uniform(2.8, 4.2)),
        speed_mps=float(rng.uniform(8.0, 13.5)),
        stalls=stalls,
        median_m=float(rng.uniform(1.5, 4.0)) if lanes > 1 and rng.random() < 0.2 else 0.0,
        blocked=bool(lanes > 1 and rng.random() < 0.25),
    )


def _junction(rng: np.random.Generator, family: str, arms_at: list[tuple[float, Profile]]) -> Scene:
    """Return a scene of arms that meet, given by heading in radians and cross-section, sorted by heading."""
    arms = []
    fillet_m = float(rng.uniform(4.0, 7.5))
    for index, (heading, profile) in enumerate(arms_at):
        others = arms_at[:index] + arms_at[index + 1 :]
        arms.append(
            Arm(
                arm_line(heading, ROAD_M, float(rng.uniform(-1, 1) / 400)),
                profile,
                mouth_of(heading, profile, others, fillet_m),
                crossing=bool(rng.random() < 0.75),
            )
        )
    # Most corners are built up closely, so that houses hide the side roads.
    return finish(plan_arms(rng, family, arms, Style.drawn(rng, rng.beta(3.0, 0.8)), Country.drawn(rng)), rng)


def crossing(rng: np.random.Generator) -> Scene:
    """Return a crossing of two roads of one to three lanes in each direction."""
    turn = rng.uniform(0, 2 * np.pi)
    main = draw_profile(rng, lanes=int(rng.integers(1, 4)), parking=0.25)
    side = draw_profile(rng, lanes=int(rng.integers(1, 3)), parking=0.5)
    skew = rng.uniform(-0.3, 0.3)
    bend = rng.uniform(-0.12, 0.12, 2)
    headings = [turn, turn + np.pi / 2 + skew, turn + np.pi + bend[0], turn + 1.5 * np.pi + skew + bend[1]]
    return _junction(rng, "crossing", list(zip(headings, [main, side, main, side], strict=True)))


def t_junction(rng: np.random.Generator) -> Scene:
    """Return a T-junction whose side road has one lane in each direction."""
    turn = rng.uniform(0, 2 * np.pi)
    main = draw_profile(rng, lanes=int(rng.integers(1, 3)), parking=0.35)
    side = draw_profile(rng, lanes=1, parking=0.5)
    headings = [turn, turn + np.pi / 2 + rng.uniform(-0.35, 0.35), turn + np.pi + rng.uniform(-0.12, 0.12)]
    return _junction(rng, "t_junction", list(zip(headings, [main, side, main], strict=True)))


def through_arms(
    rng: np.random.Generator, profile: Profile, bend_per_m: float, crossing_share: float
) -> list[Arm]:
    """Return a road with a constant bend (1/radius) that passes the middle, as two arms."""
    turn = rng.uniform(0, 2 * np.pi)
    return [
        Arm(arm_line(turn, ROAD_M, bend_per_m), profile, 1.0, crossing=bool(rng.random() < crossing_share)),
        Arm(arm_line(turn + np.pi, ROAD_M, -bend_per_m), profile, 1.0, crossing=False),
    ]


def parked_road(rng: np.random.Generator) -> Scene:
    """Return a road with rows of parked vehicles on both sides."""
    profile = draw_profile(rng, lanes=int(rng.integers(1, 4)), parking=1.0)
    style = Style.drawn(rng, rng.beta(2.2, 1.3))
    style = replace(style, parked=float(rng.uniform(0.6, 0.95)), parapet=False)
    arms = through_arms(rng, profile, float(rng.uniform(-1, 1) / 1500), 0.7)
    return finish(plan_arms(rng, "parked_road", arms, style, Country.drawn(rng)), rng)


def curved_road(rng: np.random.Generator) -> Scene:
    """Return a road in a bend with a radius of 75 to 170 m."""
    profile = draw_profile(rng, lanes=int(rng.integers(1, 3)), parking=0.5)
    bend = float(rng.choice([-1, 1]) / rng.uniform(75, 170))
    style = replace(Style.drawn(rng, rng.beta(2.2, 1.3)), parapet=bool(rng.random() < 0.5))
    arms = through_arms(rng, profile, bend, 0.7)
    return finish(plan_arms(rng, "curved_road", arms, style, Country.drawn(rng)), rng)


def residential(rng: np.random.Generator) -> Scene:
    """Return a narrow street, or a crossing of two, with front gardens and cars on driveways."""
    profile = Profile(
        lanes=1,
        lane_m=float(rng.uniform(3.05, 3.3)),
        cycle_m=0.0,
        parking_m=float(rng.uniform(2.1, 2.3)) if rng.random() < 0.6 else 0.0,
        walk_m=float(rng.uniform(2.8, 3.4)),
        speed_mps=float(rng.uniform(5.5, 9.0)),
        marked=bool(rng.random() < 0.3),
    )
    style = replace(
        Style.drawn(rng, rng.uniform(0.0, 0.5)),
        set_back_m=(3.5, float(rng.uniform(5.0, 9.0))),
        floors=(1, 3),
        parked=float(rng.uniform(0.15, 0.7)),
    )
    country = Country.drawn(rng)
    if rng.random() < 0.5:
        arms = through_arms(rng, profile, float(rng.uniform(-1, 1) / 150), 0.2)
    else:
        turn = rng.uniform(0, 2 * np.pi)
        skew = np.pi / 2 + rng.uniform(-0.3, 0.3)
        headings = [turn, turn + skew, turn + np.pi, turn + np.pi + skew]
        arms = [
            Arm(
                arm_line(heading, ROAD_M, float(rng.uniform(-1, 1) / 300)),
                profile,
                mouth_of(heading, profile, [(h, profile) for h in headings if h != heading], 4.0),
                crossing=bool(rng.random() < 0.2),
            )
            for heading in headings
        ]
    plan = plan_arms(rng, "residential", arms, style, country)
    on_drives = drives(plan.ground, arms, float(rng.uniform(0.4, 0.9)), rng)
    return finish(replace(plan, parked=(*plan.parked, *on_drives), spacing_m=(45.0, 140.0)), rng)


def arterial(rng: np.random.Generator) -> Scene:
    """Return a dual carriageway with a median, often with a service lane and stalls at an angle beside it."""
    service = rng.random() < 0.6
    stalls = Stalls(int(rng.choice([60, 90]))) if service else Stalls.PARALLEL
    profile = Profile(
        lanes=int(rng.integers(2, 4)),
        lane_m=float(rng.uniform(3.2, 3.7)),
        cycle_m=float(rng.uniform(1.3, 1.9)) if rng.random() < 0.4 else 0.0,
        parking_m=float(rng.uniform(4.9, 5.3)) if service else 0.0,
        walk_m=float(rng.uniform(2.8, 4.5)),
        speed_mps=float(rng.uniform(12.0, 17.0)),
        stalls=stalls,
        median_m=float(rng.uniform(2.0, 6.0)),
        service_m=float(rng.uniform(3.3, 3.8)) if service else 0.0,
        blocked=bool(not service and rng.random() < 0.2),
    )
    style = replace(Style.drawn(rng, rng.beta(2.0, 1.3)), parked=float(rng.uniform(0.5, 0.95)))
    arms = through_arms(rng, profile, float(rng.uniform(-1, 1) / 400), 0.4)
    plan = plan_arms(rng, "arterial", arms, style, Country.drawn(rng))
    return finish(replace(plan, spacing_m=(30.0, 90.0)), rng)


def rural_road(rng: np.random.Generator) -> Scene:
    """Return a road through fields without kerbs, with ditches and trees, or a crossing of two."""
    profile = Profile(
        lanes=1,
        lane_m=float(rng.uniform(3.1, 3.75)),
        cycle_m=0.0,
        parking_m=0.0,
        walk_m=float(rng.uniform(2.8, 3.5)),
        speed_mps=float(rng.uniform(13.0, 19.0)),
        walkway=Material(rng.choice([Material.DRY_GRASS, Material.GRAVEL])),
        marked=bool(rng.random() < 0.8),
    )
    style = replace(
        Style.drawn(rng, 0.0), built_up=float(rng.uniform(0.0, 0.3)), set_back_m=(4.0, 20.0), floors=(1, 2)
    )
    country = Country.drawn(rng, rural=True)
    if rng.random() < 0.6:
        arms = through_arms(rng, profile, float(rng.uniform(-1, 1) / 120), 0.0)
    else:
        turn = rng.uniform(0, 2 * np.pi)
        skew = rng.uniform(1.1, 2.0)
        headings = [turn, turn + skew, turn + np.pi, turn + np.pi + skew]
        arms = [
            Arm(
                arm_line(heading, ROAD_M, float(rng.uniform(-1, 1) / 400)),
                profile,
                mouth_of(heading, profile, [(h, profile) for h in headings if h != heading], 7.0),
                crossing=False,
            )
            for heading in headings
        ]
    plan = plan_arms(rng, "rural_road", arms, style, country)
    return finish(replace(plan, spacing_m=(30.0, 110.0)), rng)


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
        surroundings=(*(ground.lift(thing) for thing in things), *plan.built(ground)),
        ground=ground,
        routes=(*plan.vehicles, *plan.others),
        masts=_masts(arms, plan.clear_m, rng),
        parked=(*plan.parked, *stand_about(arms, things, (*plan.vehicles, *plan.others), rng)),
        ego_routes=tuple(ego_routes),
        focus_m=tuple(_middle(plan.vehicles[row]) for row in ego_routes),
        vehicles=int(np.clip(lanes_m / rng.uniform(*plan.spacing_m), 6, 45)),
        pedestrians=int(rng.integers(2, 14)),
        cyclists=int(rng.integers(0, 8)),
    )


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
                made.append(
                    barrier.pieces[int(rng.integers(len(barrier.pieces)))].at(*station(arm, along, 0.0))
                )
        elif median_m and kind == "trees":
            for along in np.arange(start, FURNISHED_M, gap_m):
                made.append(stock.take(street_tree, 4).mesh.at(*station(arm, along, 0.0)))
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
        x, y, _ = station(arm, along_m, side * (arm.profile.kerb_m + 0.45))
        others = [other for other in arms if other is not arm]
        watched = others[rng.integers(len(others))]
        look_x, look_y = watched.line[int(rng.uniform(25, 55) / 0.5)]
        yaw = np.arctan2(look_y - y, look_x - x)
        # The middle of the place stays in the field of view.
        aside = wrap_angle(yaw - np.arctan2(-y, -x))
        yaw += np.clip(aside, -_MIDDLE_WITHIN_RAD, _MIDDLE_WITHIN_RAD) - aside
        masts.append(Mast(x, y, float(rng.uniform(4.0, 9.0)), float(yaw)))
    return tuple(masts[row] for row in rng.permutation(len(masts)))
