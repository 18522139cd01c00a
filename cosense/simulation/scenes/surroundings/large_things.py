"""Things as large as vehicles that are none: containers, skips, stalls, trailers, machines, toys."""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.paints import paint
from cosense.simulation.scenes.road_users.parts import level, wheels
from cosense.simulation.scenes.road_users.superstructures import box_body, flat_bed
from cosense.simulation.scenes.shapes import box, boxes, prism, profile, quads, tube, tubes
from cosense.simulation.scenes.surroundings.colours import any_colour


def recycling(rng: np.random.Generator) -> Mesh:
    """Return one to three bottle banks: bells or boxes, taller than a car."""
    parts = []
    count = int(rng.integers(1, 4))
    bell = rng.random() < 0.5
    for number in range(count):
        colour = ((0.12, 0.32, 0.16), (0.8, 0.8, 0.78), (0.35, 0.22, 0.1), (0.15, 0.25, 0.5))[rng.integers(4)]
        if bell:
            line = [(0, 0, z) for z in (0.0, 0.3, 1.0, 1.45, 1.65)]
            thing = tube(line, [0.6, 0.75, 0.7, 0.45, 0.1], Material.PLASTIC, colour, around=10)
        else:
            size = (float(rng.uniform(1.1, 1.5)), float(rng.uniform(1.0, 1.5)), float(rng.uniform(1.4, 1.9)))
            thing = box((0, 0, size[2] / 2), size, Material.METAL, colour=colour)
        parts.append(
            thing.at((number - (count - 1) / 2) * 1.7, float(rng.normal(0, 0.08)), float(rng.normal(0, 0.06)))
        )
    return join(parts)


def container(rng: np.random.Generator) -> Mesh:
    """Return a shipping or site container with ribbed walls, sometimes with a window and a door."""
    long, wide, tall = float(rng.choice([3.0, 6.06])), 2.44, float(rng.uniform(2.3, 2.6))
    colour = any_colour(rng)
    parts = [box((0, 0, tall / 2 + 0.1), (long, wide, tall), Material.METAL, colour=colour)]
    x = np.arange(-long / 2 + 0.2, long / 2, 0.4)
    ribs = np.concatenate(
        [np.column_stack([x, 0 * x + s * (wide / 2 + 0.02), 0 * x + tall / 2 + 0.1]) for s in (-1, 1)]
    )
    parts.append(boxes(ribs, (0.18, 0.06, tall * 0.9), Material.METAL, colour=colour))
    if rng.random() < 0.5:
        parts.append(box((long * 0.2, -wide / 2 - 0.06, 1.6), (1.2, 0.04, 0.9), Material.GLASS))
    return join(parts)


def pallets(rng: np.random.Generator) -> Mesh:
    """Return stacks of pallets, bricks, sacks or boards."""
    parts = []
    for x in (-0.7, 0.7) if rng.random() < 0.5 else (0.0,):
        layers = int(rng.integers(1, 9))
        z = 0.075 + 0.15 * np.arange(layers)
        skew = rng.normal(0, 0.02, (layers, 2))
        parts.append(
            boxes(
                np.column_stack([x + skew[:, 0], skew[:, 1], z]),
                (1.2, 0.8, 0.11),
                Material.WOOD,
                rng.normal(0, 0.03, layers),
            )
        )
        if rng.random() < 0.6:
            tall = float(rng.uniform(0.3, 1.0))
            material = Material(rng.choice([Material.BRICK, Material.PLASTIC, Material.CONCRETE]))
            parts.append(box((x, 0, z[-1] + tall / 2), (1.1, 0.75, tall), material))
    return join(parts)


def stack(rng: np.random.Generator) -> Mesh:
    """Return pipes, logs or bales of hay lying on each other."""
    radius, long = float(rng.uniform(0.1, 0.7)), float(rng.uniform(1.2, 3.0))
    material = Material(rng.choice([Material.CONCRETE, Material.WOOD, Material.DRY_GRASS, Material.PLASTIC]))
    base = max(1, int(rng.uniform(1.0, 2.4) / (2 * radius)))
    parts = []
    for row in range(min(base, 1 + int(1.2 / (2 * radius)))):
        for i in range(base - row):
            y = (i - (base - row - 1) / 2) * 2 * radius
            z = radius + row * radius * 1.75
            parts.append(tube([(-long / 2, y, z), (long / 2, y, z)], radius, material, around=8))
    return join(parts)


def trailer(rng: np.random.Generator) -> Mesh:
    """Return a trailer for a car, alone: open, or with a box or a tarpaulin; its drawbar is ahead."""
    long, wide = float(rng.uniform(1.8, 4.0)), float(rng.uniform(1.25, 2.0))
    rear, front = -long / 2 - 0.5, long / 2 - 0.5
    top = float(rng.choice([0.0, rng.uniform(1.2, 2.5)]))
    body = box_body if top else flat_bed
    axle = (rear + front) / 2 - 0.15
    return join(
        [
            body((rear, front), wide, (0.55, max(top, 1.0)), rng),
            tubes([((front, 0, 0.48), (front + 1.1, 0, 0.45), 0.04, 0.04)], Material.METAL, corners=4),
            tubes([((front + 0.9, 0, 0.45), (front + 0.9, 0, 0.0), 0.03, 0.03)], Material.METAL, corners=4),
            wheels([(axle, -wide / 2 - 0.02), (axle, wide / 2 + 0.02)], 0.30, 0.17),
        ]
    )


def skip(rng: np.random.Generator) -> Mesh:
    """Return a skip for rubble: a trough with slanting ends."""
    long, wide, tall = (
        float(rng.uniform(2.6, 4.2)),
        float(rng.uniform(1.6, 1.9)),
        float(rng.uniform(1.0, 1.6)),
    )
    colour, bright = paint(rng)
    low, high = 0.32 * long, 0.5 * long
    half = wide / 2
    flanks = [
        [(-low, s * half, 0.05), (low, s * half, 0.05), (high, s * half, tall), (-high, s * half, tall)]
        for s in (-1, 1)
    ]
    ends = [
        [(s * low, -half, 0.05), (s * low, half, 0.05), (s * high, half, tall), (s * high, -half, tall)]
        for s in (-1, 1)
    ]
    fill = float(rng.uniform(0.1, 0.9)) * tall
    reach = low + (high - low) * fill / tall
    return join(
        [
            quads([*flanks, *ends], Material.PAINT, colour, bright),
            quads(level((-reach, reach), (-half, half), fill), Material.CONCRETE),
        ]
    )


def boat(rng: np.random.Generator) -> Mesh:
    """Return a boat on its trailer, sometimes with a cabin or below a tarpaulin."""
    long, wide = float(rng.uniform(2.4, 4.2)), float(rng.uniform(1.2, 1.9))
    parts = [box((0, 0, 0.55), (long, wide, 0.12), Material.METAL)]
    parts.append(wheels([(-0.1 * long, side * (wide / 2 + 0.14)) for side in (-1, 1)], 0.3, 0.18))
    parts.append(tube([(long / 2, 0, 0.5), (long / 2 + 1.1, 0, 0.45)], 0.05, Material.METAL, around=5))
    parts.append(tube([(long / 2 + 0.9, 0, 0.0), (long / 2 + 0.9, 0, 0.5)], 0.04, Material.METAL, around=5))
    side = [(-long * 0.6, 1.5), (-long * 0.5, 0.7), (long * 0.45, 0.65), (long * 0.75, 1.55)]
    parts.append(profile(side, [1.7, 0.9, 0.8, 0.3], Material.PLASTIC, (0.85, 0.85, 0.83)))
    if rng.random() < 0.5:
        parts.append(box((0, 0, 1.8), (long * 0.4, 1.1, 0.7), Material.GLASS))
    return join(parts)


def caravan(rng: np.random.Generator) -> Mesh:
    """Return a parked caravan, without a car."""
    long, tall = float(rng.uniform(3.6, 5.6)), float(rng.uniform(1.9, 2.1))
    x, wide = long / 2, 2.15
    outline = [(-x, 0.5), (x - 0.1, 0.45), (x, 1.2), (x - 0.5, 0.45 + tall), (-x + 0.3, 0.5 + tall)]
    parts = [profile(outline, wide, Material.PAINT, (0.86, 0.86, 0.84))]
    parts.append(wheels([(-0.1, side * (wide * 0.45 + 0.1)) for side in (-1, 1)], 0.33, 0.2))
    parts.append(
        boxes(
            np.array(
                [(px, s * (wide / 2 + 0.01), 1.6) for px in (-0.25 * long, 0.2 * long) for s in (-1, 1)]
            ),
            (1.0, 0.02, 0.55),
            Material.GLASS,
        )
    )
    parts.append(tube([(x, 0, 0.5), (x + 1.0, 0, 0.45)], 0.06, Material.METAL))
    return join(parts)


def digger(rng: np.random.Generator) -> Mesh:
    """Return a small excavator with its arm raised or on the ground."""
    yellow: Colour = (0.80, 0.55, 0.06)
    size = float(rng.uniform(0.6, 1.15))
    tracks = boxes(np.array([(0, s * 0.8, 0.35) for s in (-1, 1)]), (2.8, 0.45, 0.7), Material.RUBBER)
    body = [
        box((-0.4, 0, 1.15), (1.9, 1.8, 0.7), Material.PAINT, colour=yellow),
        box((0.35, 0.4, 2.0), (1.1, 0.9, 1.2), Material.GLASS),
        box((0.35, 0.4, 2.65), (1.2, 1.0, 0.1), Material.PAINT, colour=yellow),
    ]
    knee, tip = (
        (float(rng.uniform(2.0, 2.8)), -0.4, float(rng.uniform(2.4, 3.6))),
        (float(rng.uniform(3.0, 4.2)), -0.4, float(rng.uniform(0.4, 1.8))),
    )
    arm = [
        tube([(0.5, -0.4, 1.4), knee], 0.17, Material.PAINT, yellow, around=4),
        tube([knee, tip], 0.13, Material.PAINT, yellow, around=4),
    ]
    bucket = box((tip[0], -0.4, tip[2] - 0.1), (0.6, 0.8, 0.6), Material.METAL)
    upper = join([*body, *arm, bucket]).at(0, 0, float(rng.uniform(-1.5, 1.5)))
    scale = np.diag([size, size, size, 1.0])
    return join([tracks, upper]).placed(scale)


def kiosk(rng: np.random.Generator) -> Mesh:
    """Return a kiosk or a toilet: a small cabin with a roof that sticks out."""
    long, deep, tall = (
        float(rng.uniform(1.1, 3.2)),
        float(rng.uniform(1.1, 2.4)),
        float(rng.uniform(2.2, 2.8)),
    )
    parts = [box((0, 0, tall / 2), (long, deep, tall), Material.WOOD, colour=any_colour(rng))]
    parts.append(box((0, -0.15, tall + 0.06), (long + 0.4, deep + 0.6, 0.12), Material.METAL))
    parts.append(box((0, -deep / 2 - 0.15, 1.0), (long * 0.8, 0.3, 0.06), Material.WOOD))
    return join(parts)


def market_stall(rng: np.random.Generator) -> Mesh:
    """Return a stall: posts, a cloth roof, a table with boxes on and below it."""
    long, deep = float(rng.uniform(2.0, 3.0)), float(rng.uniform(1.5, 2.2))
    x, y, tall = long / 2, deep / 2, float(rng.uniform(2.1, 2.5))
    posts = np.array([(sx * x, sy * y, tall / 2) for sx in (-1, 1) for sy in (-1, 1)])
    ridge = tall + float(rng.uniform(0.2, 0.7))
    roof = [
        [(-x - 0.2, -y - 0.3, tall), (x + 0.2, -y - 0.3, tall), (x, 0, ridge), (-x, 0, ridge)],
        [(x + 0.2, y + 0.3, tall), (-x - 0.2, y + 0.3, tall), (-x, 0, ridge), (x, 0, ridge)],
    ]
    n = int(rng.integers(4, 14))
    at = np.column_stack([rng.uniform(-x, x, n), rng.uniform(-y, -y + 0.6, n), rng.choice([0.15, 0.95], n)])
    return join(
        [
            boxes(posts, (0.05, 0.05, tall), Material.METAL),
            quads(np.array(roof), Material.CLOTH, any_colour(rng)),
            box((0, -y + 0.35, 0.8), (long, 0.8, 0.05), Material.WOOD),
            boxes(
                at, (0.45, 0.35, 0.28), Material.WOOD, rng.normal(0, 0.1, n), rng.uniform(0.1, 0.7, (n, 3))
            ),
        ]
    )


def play_thing(rng: np.random.Generator) -> Mesh:
    """Return a swing, a slide, a climbing frame, a trampoline, a seesaw or a table for table tennis."""
    kind = rng.choice(["swing", "slide", "frame", "trampoline", "seesaw", "table"])
    if kind == "swing":
        parts = [
            tube([(s * 1.4, y, 0.0), (s * 1.4, 0.0, 2.2)], 0.05, Material.METAL, around=5)
            for s in (-1, 1)
            for y in (-0.9, 0.9)
        ]
        parts.append(tube([(-1.5, 0, 2.2), (1.5, 0, 2.2)], 0.05, Material.METAL, around=5))
        for x in (-0.5, 0.5):
            parts.append(box((x, 0, 0.5), (0.45, 0.2, 0.05), Material.RUBBER))
            parts.append(
                boxes(np.array([(x + s * 0.2, 0, 1.35) for s in (-1, 1)]), (0.02, 0.02, 1.7), Material.METAL)
            )
        return join(parts)
    if kind == "slide":
        top = float(rng.uniform(1.2, 2.2))
        chute = [[(0.3, -0.3, top), (2.2, -0.3, 0.25), (2.2, 0.3, 0.25), (0.3, 0.3, top)]]
        posts = np.array([(x, y, (top + 0.8) / 2) for x in (-0.5, 0.3) for y in (-0.4, 0.4)])
        roof = box((-0.1, 0, top + 0.85), (1.2, 1.2, 0.1), Material.WOOD)
        return join(
            [
                quads(np.array(chute), Material.METAL, (0.7, 0.1, 0.1)),
                boxes(posts, (0.1, 0.1, top + 0.8), Material.WOOD),
                box((-0.1, 0, top), (0.9, 0.9, 0.08), Material.WOOD),
                roof,
            ]
        )
    if kind == "frame":
        size = float(rng.uniform(1.2, 2.4))
        at = (np.arange(4) / 3 - 0.5) * size
        uprights = np.array([(x, y, size / 2) for x in at for y in at])
        rungs = np.array([(0, y, z) for y in at for z in (at + size / 2)[1:]])
        return join(
            [
                boxes(uprights, (0.04, 0.04, size), Material.METAL),
                boxes(rungs, (size, 0.04, 0.04), Material.METAL),
            ]
        )
    if kind == "trampoline":
        radius = float(rng.uniform(1.0, 1.8))
        angle = 2 * np.pi * np.arange(10) / 10
        circle = np.column_stack([np.cos(angle), np.sin(angle)]) * radius
        posts = np.column_stack([circle, np.full(10, 1.2)])
        return join(
            [
                prism(circle, (0.75, 0.85), Material.PLASTIC, (0.1, 0.2, 0.5)),
                boxes(posts, (0.05, 0.05, 2.4), Material.METAL),
            ]
        )
    if kind == "seesaw":
        return join(
            [
                box((0, 0, 0.3), (0.3, 0.3, 0.6), Material.METAL),
                tube([(-1.4, 0, 0.2), (1.4, 0, 0.9)], 0.09, Material.WOOD, around=4),
            ]
        )
    return join(
        [
            box((0, 0, 0.73), (2.74, 1.52, 0.06), Material.CONCRETE),
            box((0, 0, 0.82), (0.03, 1.6, 0.14), Material.METAL),
            boxes(np.array([(s * 0.9, 0, 0.35) for s in (-1, 1)]), (0.2, 1.0, 0.7), Material.CONCRETE),
        ]
    )


def scaffold(rng: np.random.Generator, levels: int) -> Mesh:
    """Return a bay of a scaffold along a wall, three metres long: poles, planks and rails."""
    x = np.array([-1.25, 1.25])
    height = 2.0 * levels + 1.0
    poles = np.array([(a, y, height / 2) for a in x for y in (-0.35, 0.35)])
    planks = np.array([(0, 0, 2.0 * (k + 1)) for k in range(levels)])
    rails = np.array([(0, -0.35, 2.0 * (k + 1) + up) for k in range(levels) for up in (0.5, 1.0)])
    parts = [
        boxes(poles, (0.05, 0.05, height), Material.METAL),
        boxes(planks, (2.5, 0.65, 0.06), Material.WOOD),
        boxes(rails, (2.5, 0.04, 0.04), Material.METAL),
    ]
    if rng.random() < 0.3:
        parts.append(
            box(
                (0, -0.42, height / 2 + 0.5),
                (2.5, 0.02, height - 1.5),
                Material.CLOTH,
                colour=(0.75, 0.76, 0.74),
            )
        )
    return join(parts)


def tank(rng: np.random.Generator) -> Mesh:
    """Return a tank on feet, a lying drum or a well-like ring."""
    radius, long = float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.9, 3.0))
    if rng.random() < 0.5:
        return tube([(0, 0, -0.1), (0, 0, min(long, 1.6))], radius, Material.CONCRETE, around=12)
    drum = tube(
        [(-long / 2, 0, radius + 0.2), (long / 2, 0, radius + 0.2)],
        radius,
        Material.METAL,
        (0.8, 0.8, 0.8),
        around=12,
    )
    feet = boxes(np.array([(s * long * 0.3, 0, 0.2) for s in (-1, 1)]), (0.2, radius, 0.4), Material.CONCRETE)
    return join([drum, feet])
