"""The family "underpass": a road that dips below a bridge: two grounds, one above the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.paths import STEP_M, ribbon
from cosense.simulation.scenes.plan import ROAD_M, finish, plan_arms
from cosense.simulation.scenes.relief import Country, Way
from cosense.simulation.scenes.roads import Arm, arm_line
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.shapes import box
from cosense.simulation.scenes.streets import draw_profile, through_arms
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.style import Style

_DECK_M = 0.8
# Width of the slopes of the cutting at the bridge, and of the walkways on it.
_SLOPE_M, _SIDE_M = 16.0, 1.5
# The road is lowest within the first distance of the bridge, and level with the country from the second on.
_LOWEST_M, _UP_AGAIN_M = 20.0, 130.0
# Masts stand clear of the bridge.
_CLEAR_M = 26.0


def underpass(rng: np.random.Generator) -> Scene:
    """Return a road of one or two lanes in each direction in a cutting, and a bridge above."""
    profile = draw_profile(rng, lanes=int(rng.integers(1, 3)), parking=0.0)
    arms = through_arms(rng, profile, float(rng.uniform(-1, 1) / 600), 0.0)
    depth_m = float(rng.uniform(5.6, 6.4))
    country = replace(Country.drawn(rng), bank_m=depth_m + 0.3)
    style = replace(
        Style.drawn(rng, rng.uniform(0, 0.5)),
        built_up=float(rng.uniform(0.0, 0.5)),
        set_back_m=(_SLOPE_M, _SLOPE_M + 8.0),
        walls=0.0,
    )
    plan = plan_arms(rng, "underpass", arms, style, country)
    heading = arms[0].heading + np.pi / 2 + rng.uniform(-0.2, 0.2)
    half_width = float(rng.uniform(4.0, 6.0))
    start = profile.edge_m + _SLOPE_M
    above = [Arm(arm_line(h, ROAD_M - 20, 0.0), profile, start, False) for h in (heading, heading + np.pi)]
    ways = [replace(plan.ways[0], sink_m=_sink(len(plan.ways[0].line), depth_m))]
    for arm in above:
        far = arm.line[int(start / STEP_M) :]
        plan.ground.paint(ribbon(far, half_width, -half_width), Material.PAVING)
        plan.ground.paint(ribbon(far, half_width - _SIDE_M, _SIDE_M - half_width), Material.ASPHALT)
        ways.append(Way(arm.line[int((start + half_width) / STEP_M) :], half_width - _SIDE_M, half_width))

    def bridge(ground: Ground) -> list[Mesh]:
        return _bridge(ground, heading, start + 1.0, half_width, profile.edge_m + 2.0)

    return finish(replace(plan, ways=ways, built=bridge, clear_m=_CLEAR_M), rng)


def _sink(points: int, depth_m: float) -> np.ndarray:
    """Return by how much each point of the road lies below the country."""
    along = np.abs(np.arange(points) - points // 2) * STEP_M
    share = np.clip((along - _LOWEST_M) / (_UP_AGAIN_M - _LOWEST_M), 0, 1)
    return np.asarray(depth_m * (1 - share * share * (3 - 2 * share)))


def _bridge(ground: Ground, heading: float, half_m: float, half_width_m: float, pier_m: float) -> list[Mesh]:
    """Return deck, parapets, piers and abutments of a bridge across the middle of the scene."""
    ahead = np.array([np.cos(heading), np.sin(heading)])
    low, high = ground.relief_at(np.array([-half_m * ahead, half_m * ahead]))
    rise, middle = (high - low) / (2 * half_m), (low + high) / 2
    T_scene_deck = np.eye(4)
    T_scene_deck[:3, 0] = [*ahead, rise] / np.hypot(1, rise)
    T_scene_deck[:2, 1] = [-ahead[1], ahead[0]]
    T_scene_deck[:3, 2] = np.cross(T_scene_deck[:3, 0], T_scene_deck[:3, 1])
    T_scene_deck[2, 3] = middle
    length, width = 2 * half_m, 2 * half_width_m
    deck = [
        box((0, 0, -_DECK_M / 2), (length, width, _DECK_M), Material.CONCRETE),
        box((0, 0, 0.01), (length, width - 2 * _SIDE_M, 0.02), Material.ASPHALT),
    ]
    for side in (-1, 1):
        deck.append(
            box((0, side * (half_width_m - 0.15), 0.5), (length, 0.3, 1.0), Material.CONCRETE),
        )
        deck.append(
            box((side * (half_m - 1.5), 0, -3.9), (3.0, width, 6.2), Material.CONCRETE),
        )
        for column in (-0.6, 0.0, 0.6):
            deck.append(
                box(
                    (side * pier_m, column * half_width_m, -_DECK_M / 2 - 3.5),
                    (0.9, 0.9, 7.0),
                    Material.CONCRETE,
                )
            )
    return [join(deck).placed(T_scene_deck)]
