"""The family "roundabout": three or four arms that meet at an island, and traffic around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.parking import park_along
from cosense.simulation.scenes.paths import Line, Route, connect, length_of, offset, part
from cosense.simulation.scenes.plan import ROAD_M, Plan, finish
from cosense.simulation.scenes.relief import Country, Hills, Slab, Values, Way
from cosense.simulation.scenes.roads import (
    WALK_IN_M,
    WALK_OUT_M,
    WALK_ROUTE_M,
    Arm,
    arm_line,
    paint_roads,
)
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.streets import draw_profile
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.style import Style

# Angle on the circle between the axis of an arm and where its traffic enters or leaves.
_ENTRY_RAD = 0.55


def roundabout(rng: np.random.Generator) -> Scene:
    """Return a roundabout with one lane and an island of 7 to 14 m radius."""
    island_m, ring_m = float(rng.uniform(7, 14)), float(rng.uniform(5.5, 7.5))
    outer_m = island_m + ring_m
    count = int(rng.integers(3, 5))
    profile = replace(draw_profile(rng, lanes=1, parking=0.3), cycle_m=0.0, blocked=False)
    turn = rng.uniform(0, 2 * np.pi)
    headings = turn + 2 * np.pi * np.arange(count) / count + rng.uniform(-0.1, 0.1, count)
    mouth_m = outer_m + profile.walk_m + float(rng.uniform(1, 4))
    arms = [
        Arm(
            arm_line(float(heading), ROAD_M, float(rng.uniform(-1, 1) / 500)),
            profile,
            mouth_m,
            crossing=bool(rng.random() < 0.7),
        )
        for heading in headings
    ]
    ground = Ground()
    _paint(ground, arms, island_m, outer_m, profile.walk_m)
    country = Country.drawn(rng)
    style = replace(Style.drawn(rng, rng.beta(2.2, 1.3)), parapet=False)
    plan = Plan(
        "roundabout",
        arms,
        style,
        country,
        ground,
        _vehicle_routes(arms, headings, (island_m + outer_m) / 2),
        _walks(arms, headings, outer_m + profile.walk_m),
        ways=_ways(arms, outer_m + profile.walk_m),
        parked=park_along(arms, style.parked, rng),
        slabs=[_slab(island_m, outer_m + profile.walk_m, country.crossfall, float(rng.uniform(0.1, 1.2)))],
    )
    return finish(plan, rng)


def _circle(radius_m: float, start: float = 0.0, end: float = 2 * np.pi) -> Line:
    """Return an arc around the middle of the scene."""
    angle = np.linspace(start, end, max(3, int(abs(end - start) * radius_m / 0.5) + 1))
    return np.column_stack([np.cos(angle), np.sin(angle)]) * radius_m


def _paint(ground: Ground, arms: list[Arm], island_m: float, outer_m: float, walk_m: float) -> None:
    for arm in arms:
        paint_roads(ground, [arm])
    ground.paint(_circle(outer_m + walk_m), Material.PAVING)
    for arm in arms:
        half = arm.profile.kerb_m
        mouth = part(arm.line, 0.0, arm.mouth_m)
        ground.paint(np.concatenate([offset(mouth, half), offset(mouth, -half)[::-1]]), Material.ASPHALT)
    ground.paint(_circle(outer_m), Material.ASPHALT)
    ground.paint(_circle(island_m), Material.PAVING)
    ground.paint(_circle(island_m - 1.2), Material.GRASS)


def _slab(island_m: float, edge_m: float, crossfall: float, dome_m: float) -> Slab:
    """Return a ring that falls outwards around an island with a mound."""

    def height(xy: Line, hills: Hills) -> Values:
        radius = np.linalg.norm(xy, axis=1)
        mound = dome_m * np.clip(1 - (radius / (island_m - 1)) ** 2, 0, 1)
        rise = mound + crossfall * (edge_m - np.clip(radius, island_m, edge_m))
        return np.asarray(rise + hills(np.zeros((1, 2))))

    return Slab(lambda xy: np.maximum(np.linalg.norm(xy, axis=1) - edge_m, 0), height)


def _ways(arms: list[Arm], edge_m: float) -> list[Way]:
    """Return the arms from where they have left the ring."""
    ways = []
    for arm in arms:
        kerb_m, half_m = arm.profile.kerb_m, arm.profile.edge_m
        ways.append(Way(part(arm.line, edge_m + half_m, length_of(arm.line)), kerb_m, half_m, 3.0))
    return ways


def _vehicle_routes(arms: list[Arm], headings: np.ndarray, radius_m: float) -> list[Route]:
    """Return the routes from each arm to each other one, and back where one came from."""
    routes = []
    for origin, entry in zip(arms, headings, strict=True):
        for target, leave in zip(arms, headings, strict=True):
            start = entry + _ENTRY_RAD
            sweep = (leave - _ENTRY_RAD - start) % (2 * np.pi)
            if target is origin:
                continue
            arc = _circle(radius_m, start, start + sweep)
            middle = origin.profile.lane_middle_m(0)
            way = connect(
                connect(origin.inbound(middle), arc), target.outbound(target.profile.lane_middle_m(0))
            )
            routes.append(Route.along(way, "vehicle", origin.profile.speed_mps))
    return routes


def _walks(arms: list[Arm], headings: np.ndarray, edge_m: float) -> list[Route]:
    """Return the routes of pedestrians around the corners, in both directions, and over the crossings."""
    routes = []
    for index, arm in enumerate(arms):
        other = arms[(index + 1) % len(arms)]
        for from_edge_m, reverse in ((WALK_IN_M, False), (WALK_OUT_M, True)):
            near, far = (_walk(a, side, from_edge_m, 0.0) for a, side in ((arm, 1), (other, -1)))
            radius = edge_m - from_edge_m
            aside = [np.arcsin(min(0.9, (a.profile.edge_m - from_edge_m) / radius)) for a in (arm, other)]
            start, end = headings[index] + aside[0], headings[(index + 1) % len(arms)] - aside[1]
            sweep = (end - start) % (2 * np.pi)
            way = np.concatenate([near[::-1], _circle(radius, start, start + sweep), far])
            routes.append(Route.along(way[::-1] if reverse else way, "pedestrian", 1.3))
        if arm.crossing:
            near, far = (_walk(arm, side, WALK_IN_M, 2.1) for side in (1, -1))
            way = np.concatenate([near[::-1], far])
            routes.append(Route.along(way, "pedestrian", 1.3))
    return routes


def _walk(arm: Arm, side: int, from_edge_m: float, beyond_mouth_m: float) -> Line:
    way = offset(arm.line, side * (arm.profile.edge_m - from_edge_m))
    start = arm.mouth_m + beyond_mouth_m
    return part(way, start, min(start + WALK_ROUTE_M, length_of(way)))
