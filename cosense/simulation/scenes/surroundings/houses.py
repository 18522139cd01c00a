"""Houses: windows, doors, bays, balconies, steps, and what hangs on walls, below many roofs.

The front of a house is its -y side.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.shapes import box, boxes, quads, tube
from cosense.simulation.scenes.surroundings.colours import any_colour, shade
from cosense.simulation.scenes.surroundings.house_fronts import House, arcade, shop_front, wall_with_openings
from cosense.simulation.scenes.surroundings.plants import foliage, oblong

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
    open_below = plan.shop and rng.random() < 0.12
    parts = []
    levels = [0.0, *(ground_m + storey_m * floor for floor in range(plan.floors - 1)), height]
    for floor in range(plan.floors):
        z = (float(levels[floor]), float(levels[floor + 1]))
        if floor == 0 and plan.shop:
            back = 2.4 if open_below else 0.0
            parts.append(shop_front(plan, z, material, colour, bright, rng).at(0, front + back))
            if open_below:
                parts.append(arcade(plan, z, material, colour, rng).at(0, front))
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
    parts.append(_wall_things(plan, rng))
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


def _wall_things(plan: House, rng: np.random.Generator) -> Mesh:
    """Return what hangs on the lowest three metres of a front: boxes, pipes, lamps, flowers, ivy."""
    front = -plan.depth_m / 2
    n = int(rng.poisson(0.25 * plan.length_m))
    size = rng.uniform([0.1, 0.06, 0.1], [0.8, 0.22, 0.9], (n, 3))
    place = rng.uniform([-0.47 * plan.length_m, 0, 0.4], [0.47 * plan.length_m, 0, 3.0], (n, 3))
    place[:, 1] = front - size[:, 1] / 2
    parts = [boxes(place, size, Material.METAL, colour=rng.uniform(0.2, 0.8, (n, 3)))]
    if rng.random() < 0.12:
        wide, tall = float(rng.uniform(1.5, 3.0)), float(rng.uniform(1.5, 5.0))
        side = np.array([(1.0, 0.0), (1.0, 0.6 * tall), (0.5, tall), (0.0, tall * 1.02)])
        ivy = foliage(oblong(wide, 0.3), side, rng, 45.0, (0.12, 0.28), 0.1, 0.0)
        parts.append(ivy.at(float(rng.uniform(-0.5, 0.5)) * (plan.length_m - wide), front))
    if rng.random() < 0.15:
        side = np.array([(0.8, 0.0), (1.1, 0.25), (0.0, 0.4)])
        flowers = foliage(oblong(0.9, 0.22), side, rng, 60.0, (0.06, 0.16), 0.08, 0.0)
        for at in np.arange(-plan.length_m / 2 + 1.5, plan.length_m / 2 - 1.0, 3.0):
            parts.append(flowers.at(float(at), front - 0.12, 0.0, 0.95))
    return join(parts)


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
