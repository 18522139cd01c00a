"""The five families of scenes; the seed draws widths, angles, houses, vegetation and parked vehicles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cosense.geometry.transforms import wrap_angle
from cosense.simulation.scenes.car_park import car_park
from cosense.simulation.scenes.furniture import Style, furnish, park_along, station
from cosense.simulation.scenes.paths import Route, length_of
from cosense.simulation.scenes.roads import (
    Arm,
    Profile,
    arm_line,
    cyclist_routes,
    mouth_of,
    paint_roads,
    pedestrian_routes,
    vehicle_routes,
)
from cosense.simulation.scenes.scene import Mast, Scene
from cosense.simulation.scenes.solids import meshes
from cosense.simulation.scenes.surface import Ground

ROAD_M = 190.0
_MIDDLE_WITHIN_RAD = 0.7


def build_scene(family: str, rng: np.random.Generator) -> Scene:
    """Return a scene of one of `FAMILIES`."""
    return _BUILDERS[family](rng)


def _profile(rng: np.random.Generator, *, lanes: int, parking: float) -> Profile:
    """Draw a cross-section; `parking` is the probability of parking strips."""
    return Profile(
        lanes=lanes,
        lane_m=float(rng.uniform(3.2, 3.7)),
        cycle_m=float(rng.uniform(1.3, 1.9)) if rng.random() < 0.6 else 0.0,
        parking_m=float(rng.uniform(2.2, 2.5)) if rng.random() < parking else 0.0,
        walk_m=float(rng.uniform(2.8, 4.2)),
        speed_mps=float(rng.uniform(8.0, 13.5)),
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
    return _scene_of_arms(rng, family, arms, Style.drawn(rng, rng.beta(3.0, 0.8)))


def _crossing(rng: np.random.Generator) -> Scene:
    turn = rng.uniform(0, 2 * np.pi)
    main = _profile(rng, lanes=int(rng.integers(1, 4)), parking=0.25)
    side = _profile(rng, lanes=int(rng.integers(1, 3)), parking=0.5)
    skew = rng.uniform(-0.3, 0.3)
    bend = rng.uniform(-0.12, 0.12, 2)
    headings = [turn, turn + np.pi / 2 + skew, turn + np.pi + bend[0], turn + 1.5 * np.pi + skew + bend[1]]
    return _junction(rng, "crossing", list(zip(headings, [main, side, main, side], strict=True)))


def _t_junction(rng: np.random.Generator) -> Scene:
    turn = rng.uniform(0, 2 * np.pi)
    main = _profile(rng, lanes=int(rng.integers(1, 3)), parking=0.35)
    side = _profile(rng, lanes=1, parking=0.5)
    headings = [turn, turn + np.pi / 2 + rng.uniform(-0.35, 0.35), turn + np.pi + rng.uniform(-0.12, 0.12)]
    return _junction(rng, "t_junction", list(zip(headings, [main, side, main], strict=True)))


def _through_road(
    rng: np.random.Generator, family: str, profile: Profile, bend: float, style: Style
) -> Scene:
    """Return a scene of one road with a constant bend (1/radius) that passes the middle, as two arms."""
    turn = rng.uniform(0, 2 * np.pi)
    arms = [
        Arm(arm_line(turn, ROAD_M, bend), profile, 1.0, crossing=bool(rng.random() < 0.7)),
        Arm(arm_line(turn + np.pi, ROAD_M, -bend), profile, 1.0, crossing=False),
    ]
    return _scene_of_arms(rng, family, arms, style)


def _parked_road(rng: np.random.Generator) -> Scene:
    profile = _profile(rng, lanes=int(rng.integers(1, 4)), parking=1.0)
    style = Style.drawn(rng, rng.beta(2.2, 1.3))
    style = replace(style, parked=float(rng.uniform(0.6, 0.95)), parapet=False)
    return _through_road(rng, "parked_road", profile, float(rng.uniform(-1, 1) / 1500), style)


def _curved_road(rng: np.random.Generator) -> Scene:
    profile = _profile(rng, lanes=int(rng.integers(1, 3)), parking=0.5)
    bend = float(rng.choice([-1, 1]) / rng.uniform(75, 170))
    style = replace(Style.drawn(rng, rng.beta(2.2, 1.3)), parapet=bool(rng.random() < 0.5))
    return _through_road(rng, "curved_road", profile, bend, style)


def _scene_of_arms(rng: np.random.Generator, family: str, arms: list[Arm], style: Style) -> Scene:
    ground = Ground()
    paint_roads(ground, arms)
    solids = furnish(ground, arms, style, rng)
    vehicles = vehicle_routes(arms)
    routes = (*vehicles, *cyclist_routes(arms), *pedestrian_routes(arms))
    ego_routes = _ego_routes(arms, vehicles, rng)
    lanes_m = sum(2 * arm.profile.lanes * ROAD_M for arm in arms)
    return Scene(
        family=family,
        surroundings=tuple(ground.lift(mesh) for mesh in meshes(solids)),
        ground=ground,
        routes=routes,
        masts=_masts(arms, rng),
        parked=tuple(park_along(arms, style, rng)),
        ego_routes=tuple(ego_routes),
        focus_m=tuple(_middle(vehicles[row]) for row in ego_routes),
        vehicles=int(np.clip(lanes_m / rng.uniform(28, 75), 10, 45)),
        pedestrians=int(rng.integers(2, 14)),
        cyclists=int(rng.integers(0, 8)),
    )


def _ego_routes(arms: list[Arm], routes: list[Route], rng: np.random.Generator) -> list[int]:
    """Draw routes for the ego: each arm equally often, whatever its number of lanes."""
    starts = np.array([route.line[0] for route in routes])
    ends = np.array([arm.line[-1] for arm in arms])
    origin = np.linalg.norm(starts[:, None] - ends, axis=2).argmin(axis=1)
    return [int(row) for arm in range(len(arms)) for row in rng.choice(np.flatnonzero(origin == arm), 4)]


def _middle(route: Route) -> float:
    """Return the arc length at which a route is nearest to the middle of the scene."""
    return float(np.argmin(np.linalg.norm(route.line, axis=1)) * route.step_m)


def _masts(arms: list[Arm], rng: np.random.Generator) -> tuple[Mast, ...]:
    """Return places beside the mouths of the arms, in random order; each mast looks down another arm."""
    masts = []
    for arm, side in [(arm, side) for arm in arms for side in (1, -1)]:
        along_m = min(arm.mouth_m + rng.uniform(1.0, 8.0), length_of(arm.line) - 1)
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


_BUILDERS: dict[str, Callable[[np.random.Generator], Scene]] = {
    "crossing": _crossing,
    "t_junction": _t_junction,
    "parked_road": _parked_road,
    "curved_road": _curved_road,
    "car_park": car_park,
}
FAMILIES: tuple[str, ...] = tuple(_BUILDERS)
