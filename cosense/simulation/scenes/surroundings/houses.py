"""Houses: façades with windows, doors, shop fronts, bays, balconies, arcades and awnings, below many roofs.

The front of a house is its -y side. Windows lie in recesses; behind the glass are rooms with things in them,
because a share of the rays passes glass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, box, boxes, join, quads, tube
from cosense.simulation.scenes.surroundings.colours import any_colour, shade

# Houses go down this far, so that they stand on sloping ground.
CELLAR_M = 1.5
_FACADES = (
    (0.74, 0.68, 0.57),
    (0.80, 0.78, 0.74),
    (0.66, 0.47, 0.38),
    (0.58, 0.60, 0.62),
    (0.70, 0.60, 0.42),
    (0.52, 0.44, 0.42),
    (0.86, 0.84, 0.80),
    (0.36, 0.38, 0.40),
)


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


def house(plan: House, rng: np.random.Generator) -> Mesh:
    """Return a house with the middle of its footprint at the origin."""
    material = Material(
        rng.choice(
            [Material.PLASTER, Material.BRICK, Material.CONCRETE, Material.STONE], p=[0.55, 0.3, 0.1, 0.05]
        )
    )
    colour: Colour | None = _FACADES[rng.integers(len(_FACADES))] if material == Material.PLASTER else None
    ground_m = float(rng.uniform(3.0, 4.4) if plan.shop else rng.uniform(2.6, 3.6))
    storey_m = float(rng.uniform(2.6, 3.4))
    height = ground_m + (plan.floors - 1) * storey_m + float(rng.uniform(0.2, 1.0))
    bright = float(rng.uniform(0.25, 0.75))
    front = -plan.depth_m / 2
    arcade = plan.shop and rng.random() < 0.12
    parts = []
    levels = [0.0, *(ground_m + storey_m * floor for floor in range(plan.floors - 1)), height]
    for floor in range(plan.floors):
        z = (float(levels[floor]), float(levels[floor + 1]))
        if floor == 0 and plan.shop:
            back = 2.4 if arcade else 0.0
            parts.append(_shop_front(plan, z, material, colour, bright, rng).at(0, front + back))
            if arcade:
                parts.append(_arcade(plan, z, material, colour, rng).at(0, front))
        else:
            parts.append(_storey(plan, z, floor, material, colour, bright, rng).at(0, front))
    parts.append(_shell(plan, height, material, colour, bright))
    parts.append(_roof(plan, height, rng))
    parts += _extras(plan, levels, material, colour, rng)
    return join(parts)


def _shell(plan: House, height: float, material: Material, colour: Colour | None, bright: float) -> Mesh:
    """Return ends, rear, flat top, the cellar below the front, and a wall behind the windows."""
    x, y, low = plan.length_m / 2, plan.depth_m / 2, -CELLAR_M
    room = -y + min(3.5, plan.depth_m * 0.4)
    faces = [
        [(x, -y, low), (x, y, low), (x, y, height), (x, -y, height)],
        [(-x, y, low), (-x, -y, low), (-x, -y, height), (-x, y, height)],
        [(x, y, low), (-x, y, low), (-x, y, height), (x, y, height)],
        [(-x, -y, height), (x, -y, height), (x, y, height), (-x, y, height)],
        [(-x, -y, low), (x, -y, low), (x, -y, 0.0), (-x, -y, 0.0)],
        [(-x, room, 0.0), (x, room, 0.0), (x, room, height), (-x, room, height)],
        [(-x, -y, 0.02), (x, -y, 0.02), (x, room, 0.02), (-x, room, 0.02)],
    ]
    return quads(np.array(faces), material, colour, bright)


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


def _storey(
    plan: House,
    z: tuple[float, float],
    floor: int,
    material: Material,
    colour: Colour | None,
    bright: float,
    rng: np.random.Generator,
) -> Mesh:
    """Return the front of a storey: windows in bays, below them a door and perhaps a garage."""
    bay = float(rng.uniform(2.0, 3.6))
    count = max(1, int(plan.length_m / bay))
    middle = (np.arange(count) - (count - 1) / 2) * plan.length_m / count
    wide = np.full(count, float(rng.uniform(0.4, 0.75)) * min(plan.length_m / count, 2.6))
    sill = z[0] + float(rng.uniform(0.75, 1.1))
    lintel = min(z[1] - 0.25, sill + float(rng.uniform(1.2, 1.7)))
    low, high = np.full(count, sill), np.full(count, lintel)
    recess = float(rng.uniform(0.06, 0.3))
    door = int(rng.integers(count)) if floor == 0 else -1
    garage = int(rng.integers(count)) if floor == 0 and plan.length_m > 8 and rng.random() < 0.25 else -1
    if floor == 0:
        low[door], high[door], wide[door] = 0.0, min(2.2, z[1] - 0.2), 1.1
        if garage != door and garage >= 0:
            low[garage], high[garage], wide[garage] = (
                0.0,
                min(2.3, z[1] - 0.2),
                min(2.6, plan.length_m / count - 0.1),
            )
    openings = np.column_stack([middle - wide / 2, middle + wide / 2, low, high])
    wall, panes = wall_with_openings(plan.length_m, z, openings, recess, material, colour, bright)
    closed = np.zeros(count, bool)
    if floor == 0:
        closed[door] = True
        if garage >= 0:
            closed[garage] = True
    # Shutters and blinds are down here and there.
    closed |= rng.random(count) < rng.uniform(0.0, 0.35)
    leaf = (0.25, 0.17, 0.12) if rng.random() < 0.5 else (0.75, 0.75, 0.73)
    parts = [wall, quads(panes[~closed], Material.GLASS), quads(panes[closed], Material.WOOD, leaf)]
    # Curtains hang right behind many windows.
    drawn = ~closed & (rng.random(count) < 0.5)
    parts.append(quads(panes[drawn] + [0, 0.25, 0], Material.CLOTH, (0.7, 0.68, 0.64)))
    return join(parts)


def _shop_front(
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
    """Return boxes and shelves of all sizes, and slim upright figures, on the first metres of the floor."""
    n = int(plan.length_m * rng.uniform(0.8, 2.5))
    size = rng.uniform([0.2, 0.2, 0.2], [1.6, 0.6, 1.6], (n, 3))
    figure = rng.random(n) < 0.25
    size[figure] = rng.uniform([0.25, 0.25, 1.4], [0.45, 0.45, 1.8], (int(figure.sum()), 3))
    x = rng.uniform(-0.48, 0.48, n) * plan.length_m
    y = recess + rng.uniform(0.4, max(0.6, min(3.0, plan.depth_m * 0.35 - recess)), n)
    return boxes(
        np.column_stack([x, y, size[:, 2] / 2]),
        size,
        Material.CLOTH,
        rng.normal(0, 0.3, n),
        rng.uniform(0.1, 0.8, (n, 3)),
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


def _arcade(
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


def _roof(plan: House, height: float, rng: np.random.Generator) -> Mesh:
    x, y = plan.length_m / 2, plan.depth_m / 2
    kind = rng.random()
    if kind < 0.35:
        return join(
            [
                box((0, -y + 0.12, height + 0.25), (plan.length_m, 0.24, 0.5), Material.CONCRETE),
                box((0, y * 0.2, height + 0.9), (x * 0.7, y * 0.6, 1.8), Material.CONCRETE),
            ]
        )
    ridge = height + y * float(rng.uniform(0.4, 1.1))
    over = float(rng.uniform(0.0, 0.6))
    low = height - over * (ridge - height) / y
    hip = min(x * 0.8, y) if kind > 0.75 else 0.0
    a, b = -x - (over if hip else 0.2), x + (over if hip else 0.2)
    front = [(a, -y - over, low), (b, -y - over, low), (b - hip, 0, ridge), (a + hip, 0, ridge)]
    rear = [(b, y + over, low), (a, y + over, low), (a + hip, 0, ridge), (b - hip, 0, ridge)]
    ends = [
        [(b, -y - over, low), (b, y + over, low), (b - hip, 0, ridge), (b - hip, 0, ridge)],
        [(a, y + over, low), (a, -y - over, low), (a + hip, 0, ridge), (a + hip, 0, ridge)],
    ]
    dark = shade((0.50, 0.24, 0.17), float(rng.uniform(0.5, 1.2)))
    roof = [quads(np.array([front, rear, *ends]), Material.TILE, dark)]
    if rng.random() < 0.5:
        roof.append(box((float(rng.uniform(-0.5, 0.5)) * x, 0.2 * y, ridge), (0.6, 0.6, 2.0), Material.BRICK))
    return join(roof)


def _extras(
    plan: House, levels: list[float], material: Material, colour: Colour | None, rng: np.random.Generator
) -> list[Mesh]:
    """Return balconies, bays, pilasters, cornice, downpipes; where there is room, steps, porch and ramp."""
    parts: list[Mesh] = []
    front, x = -plan.depth_m / 2, plan.length_m / 2
    height = levels[-1]
    if rng.random() < 0.5:
        parts.append(
            box((0, front - 0.1, height - 0.15), (plan.length_m + 0.2, 0.3, 0.3), material, colour=colour)
        )
    for side in (-1, 1):
        if rng.random() < 0.6:
            line = [(side * (x - 0.15), front - 0.08, -0.1), (side * (x - 0.15), front - 0.08, height - 0.2)]
            parts.append(tube(line, 0.05, Material.METAL, around=5))
    if rng.random() < 0.25:
        count = max(2, int(plan.length_m / rng.uniform(2.5, 5)))
        piers = np.linspace(-x + 0.3, x - 0.3, count)
        out = float(rng.uniform(0.06, 0.16))
        parts.append(
            boxes(
                np.column_stack([piers, 0 * piers + front - out / 2, 0 * piers + height / 2]),
                (0.5, out, height),
                material,
                colour=colour,
            )
        )
    if plan.floors > 1 and rng.random() < 0.4:
        parts += _balconies(plan, levels, rng)
    if plan.floors > 1 and rng.random() < 0.2:
        out, wide = float(rng.uniform(0.5, 1.0)), float(rng.uniform(1.8, 3.0))
        low = levels[1] if plan.walkway else 0.0
        at = float(rng.uniform(-0.6, 0.6)) * (x - wide / 2)
        parts.append(
            box(
                (at, front - out / 2, (low + height * 0.9) / 2),
                (wide, out, height * 0.9 - low),
                material,
                colour=colour,
            )
        )
    if not plan.walkway:
        at = float(rng.uniform(-0.7, 0.7)) * x
        steps = int(rng.integers(1, 5))
        for step in range(steps):
            out = 0.3 * (steps - step) + 0.3
            parts.append(box((at, front - out / 2, 0.085 + 0.17 * step), (1.6, out, 0.17), Material.STONE))
        if rng.random() < 0.35:
            reach = float(rng.uniform(0.9, 1.6))
            parts.append(box((at, front - reach / 2, 2.5), (2.0, reach, 0.15), Material.TILE))
            posts = np.array([(at + s * 0.9, front - reach + 0.1, 1.2) for s in (-1, 1)])
            parts.append(boxes(posts, (0.12, 0.12, 2.5), Material.WOOD))
    return parts


def _balconies(plan: House, levels: list[float], rng: np.random.Generator) -> list[Mesh]:
    front = -plan.depth_m / 2
    out, wide = float(rng.uniform(0.5, 1.2)), float(rng.uniform(1.4, 3.2))
    count = max(1, int(plan.length_m / rng.uniform(4, 9)))
    x = (np.arange(count) - (count - 1) / 2) * plan.length_m / count
    z = np.array(levels[1:-1])
    at = np.stack(np.meshgrid(x, z), axis=2).reshape(-1, 2)
    slab = np.column_stack([at[:, 0], np.full(len(at), front - out / 2), at[:, 1]])
    parts = [boxes(slab, (min(wide, plan.length_m / count), out, 0.15), Material.CONCRETE)]
    wide = min(wide, plan.length_m / count)
    if rng.random() < 0.5:
        rail = slab + np.array([0, -out / 2 + 0.03, 0.55])
        parts.append(boxes(rail, (wide, 0.05, 0.95), Material.METAL))
    else:
        bars = np.arange(-wide / 2, wide / 2, 0.2)
        place = slab[:, None] + np.stack([bars, 0 * bars - out / 2 + 0.03, 0 * bars + 0.55], axis=1)
        parts.append(boxes(place.reshape(-1, 3), (0.03, 0.03, 0.95), Material.METAL))
    return parts


def shed(rng: np.random.Generator, size: tuple[float, float, float]) -> Mesh:
    """Return a garage, a hall or a shed of (length, depth, height), with doors in its front."""
    length, depth, height = size
    material = Material(
        rng.choice([Material.METAL, Material.CONCRETE, Material.PLASTER, Material.WOOD, Material.BRICK])
    )
    painted = material in (Material.METAL, Material.PLASTER)
    colour = any_colour(rng) if painted else None
    count = max(1, int(length / rng.uniform(2.9, 6.0)))
    middle = (np.arange(count) - (count - 1) / 2) * length / count
    half = min(length / count * 0.42, 2.4)
    top = min(height - 0.3, float(rng.uniform(2.0, 4.2)))
    openings = np.column_stack([middle - half, middle + half, 0 * middle, 0 * middle + top])
    front, panes = wall_with_openings(length, (0.0, height), openings, 0.12, material, colour, 0.4)
    plan = House(length, depth, 1, False, False)
    doors = quads(panes, Material.METAL, any_colour(rng))
    low_roof = box((0, 0, height), (length + 0.2, depth + 0.2, 0.15), Material.METAL)
    return join(
        [join([front, doors]).at(0, -depth / 2), _shell(plan, height, material, colour, 0.4), low_roof]
    )
