"""Families of scenes that consist of arms: junctions and roads that only pass, from residential to rural."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.parking import drives
from cosense.simulation.scenes.plan import ROAD_M, finish, plan_arms
from cosense.simulation.scenes.relief import Country
from cosense.simulation.scenes.roads import (
    Arm,
    Profile,
    Stalls,
    arm_line,
    mouth_of,
)
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.surroundings.style import Style


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
    main = draw_profile(rng, lanes=int(rng.integers(1, 4)), parking=0.45)
    side = draw_profile(rng, lanes=int(rng.integers(1, 3)), parking=0.7)
    skew = rng.uniform(-0.3, 0.3)
    bend = rng.uniform(-0.12, 0.12, 2)
    headings = [turn, turn + np.pi / 2 + skew, turn + np.pi + bend[0], turn + 1.5 * np.pi + skew + bend[1]]
    return _junction(rng, "crossing", list(zip(headings, [main, side, main, side], strict=True)))


def t_junction(rng: np.random.Generator) -> Scene:
    """Return a T-junction whose side road has one lane in each direction."""
    turn = rng.uniform(0, 2 * np.pi)
    main = draw_profile(rng, lanes=int(rng.integers(1, 3)), parking=0.5)
    side = draw_profile(rng, lanes=1, parking=0.7)
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
