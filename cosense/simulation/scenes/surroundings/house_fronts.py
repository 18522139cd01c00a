"""Fronts of houses: walls with openings, and shops with glass, goods, awnings and arcades.

A front lies in y = 0 and faces -y. Glass lies in recesses; behind it are rooms with things in them, because a
share of the rays passes glass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.shapes import box, boxes, quads
from cosense.simulation.scenes.surroundings.colours import any_colour
from cosense.simulation.scenes.surroundings.street_things import mannequin


@dataclass(frozen=True)
class House:
    """What a house is like.

    Attributes:
        length_m: extent along the road.
        depth_m: extent away from the road.
        floors: number of storeys.
        shop: whether its ground floor is a shop.
        walkway: whether it stands at the edge of a walkway, so that nothing low may stick out.
    """

    length_m: float
    depth_m: float
    floors: int
    shop: bool
    walkway: bool


def wall_with_openings(
    length_m: float,
    z: tuple[float, float],
    openings: NDArray[np.float64],
    recess_m: float,
    material: Material,
    colour: Colour | None,
    reflectance: float,
) -> tuple[Mesh, NDArray[np.float64]]:
    """Return a wall in y = 0 without its openings (n,4: x0, x1, z0, z1, in order), and what fills these.

    Returns:
        wall: the wall, with the sides of its recesses.
        panes: (n,4,3) corners of a flat face at the bottom of each recess.
    """
    x0, x1, z0, z1 = np.asarray(openings, dtype=np.float64).reshape(-1, 4).T
    low, high = np.full(len(x0), z[0]), np.full(len(x0), z[1])
    starts = np.concatenate([[-length_m / 2], x1])
    ends = np.concatenate([x0, [length_m / 2]])
    solid = _upright(starts, ends, np.full(len(starts), z[0]), np.full(len(starts), z[1]), 0.0)
    frame = np.concatenate([_upright(x0, x1, low, z0, 0.0), _upright(x0, x1, z1, high, 0.0)])
    panes = _upright(x0, x1, z0, z1, recess_m)
    mouth = _upright(x0, x1, z0, z1, 0.0)
    sides = [
        np.stack([mouth[:, a], mouth[:, b], panes[:, b], panes[:, a]], axis=1)
        for a, b in ((0, 1), (1, 2), (2, 3), (3, 0))
    ]
    return quads(np.concatenate([solid, frame, *sides]), material, colour, reflectance), panes


def _upright(x0: NDArray, x1: NDArray, z0: NDArray, z1: NDArray, y: float) -> NDArray[np.float64]:
    at = np.full(len(x0), y)
    corners = [(x0, z0), (x1, z0), (x1, z1), (x0, z1)]
    return np.stack([np.column_stack([a, at, b]) for a, b in corners], axis=1)


def shop_front(
    plan: House,
    z: tuple[float, float],
    material: Material,
    colour: Colour | None,
    bright: float,
    rng: np.random.Generator,
) -> Mesh:
    """Return large panes between piers, with goods, shelves and figures behind them, and a sign above."""
    count = max(1, int(plan.length_m / rng.uniform(2.2, 5.0)))
    pitch = plan.length_m / count
    middle = (np.arange(count) - (count - 1) / 2) * pitch
    wide = np.full(count, pitch - float(rng.uniform(0.2, 0.7)))
    low, high = (
        np.full(count, float(rng.choice([0.05, 0.35, 0.6]))),
        np.full(count, z[1] - float(rng.uniform(0.5, 0.9))),
    )
    door = int(rng.integers(count))
    low[door] = 0.02
    openings = np.column_stack([middle - wide / 2, middle + wide / 2, low, high])
    recess = float(rng.uniform(0.03, 0.4))
    wall, panes = wall_with_openings(plan.length_m, z, openings, recess, material, colour, bright)
    parts = [wall, quads(panes, Material.GLASS), _goods(plan, recess, rng)]
    if rng.random() < 0.7:
        sign = any_colour(rng)
        parts.append(
            box((0, -0.1, z[1] - 0.3), (plan.length_m * 0.8, 0.18, 0.45), Material.PLASTIC, colour=sign)
        )
    if rng.random() < 0.35:
        parts.append(_awning(plan.length_m * float(rng.uniform(0.4, 0.95)), z[1] - 0.5, rng))
    return join(parts)


def _goods(plan: House, recess: float, rng: np.random.Generator) -> Mesh:
    """Return boxes, shelves and upright figures on the first metres of the floor."""
    n = int(plan.length_m * rng.uniform(0.8, 2.5))
    size = rng.uniform([0.2, 0.2, 0.2], [1.6, 0.6, 1.6], (n, 3))
    figure = rng.random(n) < 0.15
    size[figure] = rng.uniform([0.25, 0.25, 1.4], [0.45, 0.45, 1.8], (int(figure.sum()), 3))
    x = rng.uniform(-0.48, 0.48, n) * plan.length_m
    y = recess + rng.uniform(0.4, max(0.6, min(3.0, plan.depth_m * 0.35 - recess)), n)
    place = np.column_stack([x, y, size[:, 2] / 2])
    boxed = boxes(place, size, Material.CLOTH, rng.normal(0, 0.3, n), rng.uniform(0.1, 0.8, (n, 3)))
    if rng.random() < 0.85:
        return boxed
    dummy = mannequin(rng)
    count = int(rng.integers(1, 4))
    return join(
        [
            boxed,
            *(dummy.at(float(rng.uniform(-0.4, 0.4)) * plan.length_m, recess + 0.6) for _ in range(count)),
        ]
    )


def _awning(width_m: float, z: float, rng: np.random.Generator) -> Mesh:
    out, drop = float(rng.uniform(0.8, 1.4)), float(rng.uniform(0.15, 0.4))
    low = max(2.25, z - drop)
    x = width_m / 2
    faces = [
        [(-x, 0, z), (-x, -out, low), (x, -out, low), (x, 0, z)],
        [(-x, -out, low), (x, -out, low), (x, -out, low - 0.15), (-x, -out, low - 0.15)],
    ]
    return quads(np.array(faces), Material.CLOTH, any_colour(rng))


def arcade(
    plan: House, z: tuple[float, float], material: Material, colour: Colour | None, rng: np.random.Generator
) -> Mesh:
    """Return pillars below the front, and the ceiling behind them."""
    count = max(2, int(plan.length_m / rng.uniform(2.5, 4.0)) + 1)
    thick = float(rng.uniform(0.3, 0.6))
    x = np.linspace(-plan.length_m / 2 + thick / 2, plan.length_m / 2 - thick / 2, count)
    pillars = boxes(np.column_stack([x, 0 * x + thick / 2, 0 * x + z[1] / 2]), (thick, thick, z[1]), material)
    half = plan.length_m / 2
    ceiling = [[(-half, 0, z[1]), (half, 0, z[1]), (half, 2.6, z[1]), (-half, 2.6, z[1])]]
    return join([pillars, quads(np.array(ceiling), material, colour)])
