"""Riders of bicycles, motor scooters and motorcycles, and of cargo tricycles.

Published means of length, width and height in metres with the rider: cyclists of KITTI 1.76, 0.60, 1.73, of
Waymo 1.81, 0.84, 1.77, motorcycles of nuScenes 2.11, 0.77, 1.47 (many without a rider), of Lyft 2.35, 0.96,
1.59 (anchors of mmdetection3d and others).
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import join
from cosense.simulation.scenes.road_users.cycles import bicycle, motorcycle, scooter
from cosense.simulation.scenes.road_users.figures import Clothes, figure
from cosense.simulation.scenes.road_users.paints import cloth, paint
from cosense.simulation.scenes.road_users.parts import Built, level, wheels
from cosense.simulation.scenes.road_users.people import stature
from cosense.simulation.scenes.shapes import block, quads, tubes

_CRANK_M = 0.17


def cyclist(rng: np.random.Generator) -> Built:
    """Draw a cyclist: upright on a city bicycle, bent on a sport one, or with a cargo bicycle."""
    kind = str(rng.choice(["city", "sport", "cargo"], p=[0.66, 0.27, 0.07]))
    tall = stature(rng) if rng.random() < 0.93 else float(rng.uniform(1.3, 1.5))
    lean = float(rng.uniform(0.55, 0.85) if kind == "sport" else rng.uniform(0.08, 0.32))
    turn = float(rng.uniform(0, 2 * np.pi))
    bar, high, half = (0.42, 0.94, 0.2) if kind == "sport" else (0.36, 1.10, 0.27)
    hip = (-0.24, 0.0, 0.90 + 0.02 + 0.04 * (tall - 1.7))
    across, along = _CRANK_M * np.cos(turn), _CRANK_M * np.sin(turn)
    ankles = ((-0.13 + across, 0.10, 0.37 + along), (-0.13 - across, -0.10, 0.37 - along))
    wrists = ((bar - 0.02, half, high), (bar - 0.02, -half, high))
    helmet = bool(rng.random() < 0.4)
    clothes = Clothes.drawn(rng, helmet)
    parts = [
        bicycle(rng, kind),
        figure(tall, hip, lean, ankles, wrists, clothes, float(rng.uniform(0.9, 1.2)), helmet),
    ]
    if rng.random() < 0.15:
        parts.append(block((-0.50, -0.30), (-0.14, 0.14), (1.08, 1.45), Material.CLOTH, *cloth(rng)))
    if kind == "city" and rng.random() < 0.08:
        # A child in a seat behind the rider.
        small = Clothes.drawn(rng, helmet=True)
        child = figure(
            1.0,
            (-0.56, 0.0, 0.86),
            0.0,
            ((-0.38, 0.12, 0.6), (-0.38, -0.12, 0.6)),
            ((-0.4, 0.1, 0.95), (-0.4, -0.1, 0.95)),
            small,
            1.1,
            True,
        )
        parts += [
            child,
            block((-0.74, -0.66), (-0.17, 0.17), (0.72, 1.2), Material.CLOTH, (0.06, 0.06, 0.06)),
        ]
    return Built(None, join(parts))


def motorcyclist(rng: np.random.Generator) -> Built:
    """Draw the rider of a motor scooter or a motorcycle, sometimes with a passenger."""
    tall = stature(rng)
    clothes = Clothes.drawn(rng, helmet=True)
    girth = float(rng.uniform(1.05, 1.35))
    if rng.random() < 0.65:
        machine = scooter(rng)
        hip, lean = (-0.28, 0.0, 0.86), float(rng.uniform(0.0, 0.18))
        ankles, bar = ((0.18, 0.12, 0.37), (0.18, -0.12, 0.37)), (0.26, 0.29, 1.03)
    else:
        machine = motorcycle(rng)
        hip, lean = (-0.30, 0.0, 0.92), float(rng.uniform(0.1, 0.5))
        ankles, bar = ((-0.10, 0.20, 0.36), (-0.10, -0.20, 0.36)), (0.34, 0.32, 1.06)
    wrists = (bar, (bar[0], -bar[1], bar[2]))
    parts = [machine, figure(tall, hip, lean, ankles, wrists, clothes, girth, True)]
    if rng.random() < 0.12:
        second = Clothes.drawn(rng, helmet=True)
        behind = (hip[0] - 0.36, 0.0, hip[2] + 0.05)
        feet = ((hip[0] - 0.1, 0.22, 0.42), (hip[0] - 0.1, -0.22, 0.42))
        hands = ((hip[0], 0.2, 1.15), (hip[0], -0.2, 1.15))
        parts.append(figure(stature(rng), behind, lean, feet, hands, second, 1.05, True))
    return Built(None, join(parts))


def tricyclist(rng: np.random.Generator) -> Built:
    """Draw the rider of a cargo tricycle: one wheel ahead, a bed with boards or a canopy behind."""
    long, wide = float(rng.uniform(1.3, 1.8)), float(rng.uniform(0.95, 1.2))
    colour, bright = paint(rng)
    front, back = -0.35, -0.35 - long
    half, floor = wide / 2, 0.55
    boards = float(rng.uniform(0.25, 0.45))
    parts = [
        block((back, front), (-half, half), (floor - 0.06, floor), Material.METAL, colour, bright),
        *[
            block(
                (back, front),
                (min(y, y - s * 0.03), max(y, y - s * 0.03)),
                (floor, floor + boards),
                Material.PAINT,
                colour,
                bright,
            )
            for s, y in ((1, half), (-1, -half))
        ],
        block((back, back + 0.03), (-half, half), (floor, floor + boards), Material.PAINT, colour, bright),
        tubes(
            [
                ((front, 0.0, 0.5), (0.55, 0.0, 0.5), 0.05, 0.05),
                ((0.72, 0.0, 1.0), (0.95, 0.0, 0.28), 0.04, 0.05),
                ((0.68, -0.33, 1.05), (0.68, 0.33, 1.05), 0.02, 0.02),
            ],
            Material.METAL,
            colour,
            bright,
            corners=4,
        ),
        block((-0.25, 0.15), (-0.2, 0.2), (0.55, 0.75), Material.CLOTH, (0.06, 0.06, 0.06)),
        wheels([(back + 0.4 * long, -half * 0.9), (back + 0.4 * long, half * 0.9), (0.95, 0.05)], 0.27, 0.11),
    ]
    load = rng.random()
    if load < 0.5:
        top = floor + float(rng.uniform(0.3, 1.1))
        parts.append(
            block(
                (back + 0.1, front - 0.15),
                (-half * 0.85, half * 0.85),
                (floor, top),
                Material.PLASTER,
                *cloth(rng),
            )
        )
    elif load < 0.7:
        roof = float(rng.uniform(1.65, 1.85))
        posts = [
            ((x, s * half * 0.9, floor), (x, s * half * 0.9, roof), 0.02, 0.02)
            for x in (back + 0.1, front)
            for s in (-1, 1)
        ]
        parts += [
            tubes(posts, Material.METAL, corners=4),
            quads(level((back, 0.5), (-half, half), roof), Material.CLOTH, colour, bright),
        ]
    tall = stature(rng)
    rider = figure(
        tall,
        (-0.05, 0.0, 0.82),
        float(rng.uniform(0.0, 0.2)),
        ((0.42, 0.14, 0.38), (0.42, -0.14, 0.38)),
        ((0.66, 0.28, 1.06), (0.66, -0.28, 1.06)),
        Clothes.drawn(rng),
        float(rng.uniform(1.0, 1.3)),
    )
    return Built(None, join([*parts, rider]))
