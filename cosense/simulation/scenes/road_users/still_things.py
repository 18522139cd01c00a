"""Things that look like road users or go along with them, and that nobody labels: each in a frame of its
own.

The origin lies on the ground under the middle, with x forward. `clutter` of a scene places them.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.figures import ANKLE, HIP, SHOULDER, Clothes, figure
from cosense.simulation.scenes.road_users.lofts import (
    block,
    level,
    panels,
    sides,
    skin,
    tubes,
    upright,
    wheels,
)
from cosense.simulation.scenes.road_users.paints import cloth, paint
from cosense.simulation.scenes.road_users.superstructures import box_body, flat_bed

_STEEL: Colour = (0.45, 0.46, 0.48)
_BLACK: Colour = (0.05, 0.05, 0.055)


def dog(rng: np.random.Generator) -> Mesh:
    """Return a dog that stands."""
    size = float(rng.uniform(0.6, 1.25))
    tone = float(rng.uniform(0.05, 0.6))
    coat = (tone, 0.85 * tone, 0.65 * tone)
    trunk = [((-0.30, 0, 0.46), (0.26, 0, 0.50), 0.10, 0.12), ((0.24, 0, 0.52), (0.42, 0, 0.68), 0.07, 0.06)]
    head = [((0.36, 0, 0.68), (0.60, 0, 0.64), 0.08, 0.04), ((-0.30, 0, 0.48), (-0.48, 0, 0.62), 0.02, 0.015)]
    feet = [((x, y, 0.45), (x + 0.02, y, 0.0), 0.035, 0.025) for x in (-0.25, 0.22) for y in (-0.08, 0.08)]
    pieces = [
        (np.multiply(a, size), np.multiply(b, size), size * start, size * end)
        for a, b, start, end in [*trunk, *head, *feet]
    ]
    return tubes(pieces, Material.CLOTH, coat, float(rng.uniform(0.15, 0.6)))


def pram(rng: np.random.Generator) -> Mesh:
    """Return a pram or a pushchair, with its handle towards the rear."""
    colour, bright = cloth(rng)
    deep = float(rng.uniform(0.22, 0.30))
    hood = [
        [(-0.30, -deep, 0.62), (-0.30, deep, 0.62), (-0.22, deep, 0.98), (-0.22, -deep, 0.98)],
        [(-0.22, -deep, 0.98), (-0.22, deep, 0.98), (0.05, deep, 1.02), (0.05, -deep, 1.02)],
    ]
    bars = [((-0.25, y, 0.30), (-0.62, y, 1.02), 0.015, 0.015) for y in (-deep, deep)]
    bars += [((-0.62, -deep, 1.02), (-0.62, deep, 1.02), 0.018, 0.018)]
    bars += [((-0.32, y, 0.12), (0.25, y, 0.55), 0.015, 0.015) for y in (-deep, deep)]
    return join(
        [
            block((-0.30, 0.42), (-deep, deep), (0.45, 0.64), Material.CLOTH, colour, bright),
            panels(hood, Material.CLOTH, colour, bright),
            tubes(bars, Material.METAL, corners=3),
            wheels([(x, y) for x in (-0.32, 0.32) for y in (-deep, deep)], 0.13, 0.05),
        ]
    )


def wheelchair() -> Mesh:
    """Return an empty wheelchair."""
    seat = [
        level((-0.25, 0.20), (-0.23, 0.23), 0.50),
        upright(-0.27, (-0.23, 0.23), (0.50, 0.92)),
        level((0.36, 0.55), (-0.18, 0.18), 0.14),
    ]
    bars = [((0.20, y, 0.50), (0.42, y, 0.14), 0.015, 0.015) for y in (-0.2, 0.2)]
    bars += [((-0.28, y, 0.90), (-0.40, y, 0.95), 0.015, 0.015) for y in (-0.2, 0.2)]
    return join(
        [
            panels(seat, Material.CLOTH, _BLACK),
            tubes(bars, Material.METAL, corners=4),
            hoop(-0.15, 0.30, 0.28, 0.03),
            hoop(-0.15, 0.30, -0.28, 0.03),
            wheels([(0.32, -0.22), (0.32, 0.22)], 0.09, 0.04, corners=6),
        ]
    )


def kick_scooter() -> Mesh:
    """Return an electric kick scooter."""
    bars = [
        ((0.42, 0, 0.12), (0.34, 0, 1.12), 0.022, 0.018),
        ((0.34, -0.23, 1.10), (0.34, 0.23, 1.10), 0.016, 0.016),
    ]
    return join(
        [
            block((-0.45, 0.38), (-0.08, 0.08), (0.07, 0.13), Material.METAL, _BLACK, 0.1),
            tubes(bars, Material.METAL, _BLACK, 0.15, corners=4),
            wheels([(-0.50, 0.03), (0.44, 0.03)], 0.11, 0.05, corners=8),
        ]
    )


def hoop(x: float, radius: float, y: float = 0.0, thick: float = 0.04) -> Mesh:
    """Return a wheel with spokes, which light passes: its tyre alone, standing on the ground."""
    angle = 2 * np.pi * np.arange(12) / 12
    circle = np.column_stack([np.cos(angle), np.zeros(12), np.sin(angle)])
    middle = np.array([x, y, radius])
    side = np.array([0.0, thick / 2, 0.0])
    rings = np.stack([circle * radius + middle - side, circle * radius + middle + side])
    i, j = np.arange(12), (np.arange(12) + 1) % 12
    tread = np.concatenate([np.column_stack([i, j, 12 + j]), np.column_stack([i, 12 + j, 12 + i])])
    flat = np.concatenate([circle * radius + middle, circle * (radius - 0.05) + middle])
    return join(
        [
            Mesh.of(rings.reshape(-1, 3), tread, Material.RUBBER, _BLACK),
            Mesh.of(flat, tread, Material.RUBBER, _BLACK, 0.12),
        ]
    )


def parked_bicycle(rng: np.random.Generator) -> Mesh:
    """Return a bicycle on its stand."""
    return _leaning(
        bicycle(rng, rng.choice(["city", "sport"])), float(rng.choice([-1, 1]) * rng.uniform(0.05, 0.25))
    )


def bicycle(rng: np.random.Generator, kind: str) -> Mesh:
    """Return a bicycle of one kind: "city", "sport", or "cargo" with a box before the rider."""
    colour, bright = paint(rng)
    radius = float(rng.uniform(0.33, 0.36))
    front = 0.54 if kind != "cargo" else 1.15
    bar = 0.36 if kind != "sport" else 0.42
    height = 0.92 if kind == "sport" else 1.08
    half = 0.21 if kind == "sport" else float(rng.uniform(0.27, 0.33))
    crank, saddle, head = (-0.08, 0.0, 0.29), (-0.24, 0.0, 0.92), (0.40, 0.0, 0.82)
    pieces = [
        (crank, saddle, 0.022, 0.018),
        (crank, head, 0.024, 0.024),
        ((-0.20, 0.0, 0.78), head, 0.020, 0.020)
        if kind != "city"
        else ((-0.12, 0.0, 0.45), head, 0.020, 0.020),
        ((-0.54, 0.0, radius), crank, 0.018, 0.018),
        ((-0.54, 0.0, radius), (-0.20, 0.0, 0.80), 0.014, 0.014),
        (head, (front, 0.0, radius), 0.022, 0.018),
        (head, (bar, 0.0, height), 0.018, 0.018),
        ((bar, -half, height), (bar, half, height), 0.016, 0.016),
        ((saddle[0] - 0.12, 0.0, 0.95), (saddle[0] + 0.14, 0.0, 0.96), 0.07, 0.025),
    ]
    parts = [
        tubes(pieces, Material.METAL, colour, bright, corners=3),
        hoop(-0.54, radius),
        hoop(front, radius if kind != "cargo" else 0.26),
    ]
    if kind == "cargo":
        parts.append(block((0.42, 1.0), (-0.32, 0.32), (0.28, 0.75), Material.PAINT, colour, bright))
    elif rng.random() < 0.35:
        parts.append(block((-0.70, -0.38), (-0.22, 0.22), (0.42, 0.74), Material.CLOTH, _BLACK, 0.2))
    elif rng.random() < 0.3:
        parts.append(
            block((bar + 0.04, bar + 0.36), (-0.18, 0.18), (0.82, 1.06), Material.METAL, _BLACK, 0.15)
        )
    return join(parts)


def parked_scooter(rng: np.random.Generator) -> Mesh:
    """Return a motor scooter or a motorcycle on its stand."""
    machine = scooter(rng) if rng.random() < 0.6 else motorcycle(rng)
    return _leaning(machine, float(rng.choice([-1, 1]) * rng.uniform(0.03, 0.2)))


def scooter(rng: np.random.Generator) -> Mesh:
    """Return a motor scooter: a leg shield, a low floor, and the seat above the engine."""
    colour, bright = paint(rng)
    half = 0.17
    shield = [
        [(0.40, -0.20, 0.30), (0.40, 0.20, 0.30), (0.28, 0.20, 0.95), (0.28, -0.20, 0.95)],
        [(0.46, -0.12, 0.45), (0.46, 0.12, 0.45), (0.34, 0.12, 0.98), (0.34, -0.12, 0.98)],
    ]
    rear = np.array([(-0.80, 0.55), (-0.05, 0.30), (0.0, 0.62), (-0.15, 0.74), (-0.78, 0.80)])
    forks = [
        ((0.36, 0, 0.9), (0.60, 0, 0.26), 0.04, 0.05),
        ((0.28, -0.33, 1.02), (0.28, 0.33, 1.02), 0.025, 0.025),
    ]
    parts = [
        panels(shield, Material.PAINT, colour, bright),
        skin(sides(rear, half), Material.PAINT, colour, bright),
        block((-0.1, 0.42), (-0.15, 0.15), (0.22, 0.30), Material.PAINT, colour, bright),
        tubes(forks, Material.METAL, _BLACK, 0.12, corners=4),
        wheels([(-0.55, 0.06), (0.62, 0.06)], 0.24, 0.12),
        panels([upright(-0.81, (-0.10, 0.10), (0.50, 0.64))], Material.SIGN, (0.9, 0.9, 0.86), 2.0),
    ]
    if rng.random() < 0.3:
        parts.append(block((-0.98, -0.58), (-0.22, 0.22), (0.84, 1.24), Material.PAINT, *paint(rng)))
    if rng.random() < 0.3:
        parts.append(
            panels(
                [[(0.34, -0.2, 1.0), (0.34, 0.2, 1.0), (0.24, 0.18, 1.35), (0.24, -0.18, 1.35)]],
                Material.GLASS,
            )
        )
    return join(parts)


def motorcycle(rng: np.random.Generator) -> Mesh:
    """Return a motorcycle."""
    colour, bright = paint(rng)
    tank = np.array([(-0.12, 0.62), (0.35, 0.62), (0.38, 0.86), (0.20, 0.98), (-0.10, 0.86)])
    seat = np.array([(-0.85, 0.78), (-0.10, 0.62), (-0.05, 0.84), (-0.40, 0.84), (-0.85, 0.95)])
    forks = [
        ((0.45, -0.08, 0.95), (0.75, -0.08, 0.31), 0.035, 0.035),
        ((0.45, 0.08, 0.95), (0.75, 0.08, 0.31), 0.035, 0.035),
        ((0.36, -0.36, 1.04), (0.36, 0.36, 1.04), 0.022, 0.022),
        ((-0.10, 0.12, 0.40), (-0.70, 0.12, 0.31), 0.05, 0.03),
        ((0.0, -0.18, 0.35), (-0.85, -0.20, 0.42), 0.05, 0.06),
    ]
    parts = [
        skin(sides(tank, 0.16), Material.PAINT, colour, bright),
        skin(sides(seat, 0.13), Material.CLOTH, _BLACK, 0.1),
        block((-0.25, 0.35), (-0.18, 0.18), (0.22, 0.62), Material.METAL, _BLACK, 0.2),
        tubes(forks, Material.METAL, _STEEL, 0.3, corners=4),
        block((0.48, 0.60), (-0.12, 0.12), (0.82, 1.02), Material.PAINT, colour, bright),
        wheels([(-0.70, 0.08), (0.75, 0.06)], 0.31, 0.14),
        panels([upright(-0.92, (-0.10, 0.10), (0.58, 0.72))], Material.SIGN, (0.9, 0.9, 0.86), 2.0),
    ]
    if rng.random() < 0.25:
        parts += [
            block(
                (-0.95, -0.45), (s * 0.30 - 0.13, s * 0.30 + 0.13), (0.45, 0.82), Material.PAINT, _BLACK, 0.08
            )
            for s in (-1, 1)
        ]
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
            panels([*flanks, *ends], Material.PAINT, colour, bright),
            panels(level((-reach, reach), (-half, half), fill), Material.CONCRETE),
        ]
    )


def shopping_trolley(rng: np.random.Generator) -> Mesh:
    """Return a shopping trolley of wire, which most light passes."""
    deep = 0.27
    places = [(-0.45, 0.98), (0.42, 0.72), (0.36, 0.50), (-0.38, 0.50)]
    wires = []
    for level_z in np.linspace(0.5, 0.95, 4):
        back, ahead = -0.42, 0.38 - 0.05 * (0.95 - level_z)
        for y in (-deep, deep):
            wires.append(((back, y, level_z), (ahead, y, min(level_z, 0.80)), 0.012, 0.012))
    for x, z in places:
        wires.append(((x, -deep, z), (x, deep, z), 0.012, 0.012))
    for y in (-deep, deep):
        wires += [
            ((-0.45, y, 0.98), (-0.38, y, 0.15), 0.015, 0.015),
            ((-0.38, y, 0.15), (0.42, y, 0.15), 0.015, 0.015),
        ]
    return join(
        [
            tubes(wires, Material.METAL, _STEEL, corners=3),
            wheels(
                [(x, y) for x in (-0.36, 0.38) for y in (-deep + 0.02, deep - 0.02)], 0.06, 0.04, corners=6
            ),
        ]
    )


def mannequin(rng: np.random.Generator) -> Mesh:
    """Return a statue or a shop's dummy on a base: a person's shape that nobody labels."""
    tall, base = float(rng.uniform(1.6, 2.2)), float(rng.uniform(0.1, 0.9))
    grey = float(rng.uniform(0.15, 0.8))
    stone = ((grey, grey, 0.95 * grey), float(rng.uniform(0.2, 0.6)))
    hip = (0.0, 0.0, HIP * tall + base - 0.01)
    ankles = ((0.06, 0.06 * tall, ANKLE * tall + base), (-0.06, -0.06 * tall, ANKLE * tall + base))
    reach = SHOULDER * tall + base
    wrists = (
        (float(rng.uniform(0, 0.5)), 0.2, reach - float(rng.uniform(-0.3, 0.6))),
        (0.05, -0.15 * tall, reach - 0.6),
    )
    body = figure(tall, hip, 0.0, ankles, wrists, Clothes(stone, stone, stone[0], stone))
    return join([body, block((-0.35, 0.35), (-0.35, 0.35), (0.0, base), Material.CONCRETE)])


def _leaning(mesh: Mesh, angle: float) -> Mesh:
    """Return a thing that leans to its left by an angle in radians, its middle above the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    return mesh.placed(np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1.0]]))
