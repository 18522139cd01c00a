"""Vans, lorries and buses.

Published means of length, width and height in metres: vans of KITTI 5.03, 1.87, 2.21, lorries of nuScenes
6.94, 2.52, 2.85 and of Lyft 10.24, 2.84, 3.44, buses of nuScenes 11.19, 2.94, 3.47 and of Lyft 12.70, 2.92,
3.42 (anchors of mmdetection3d and others). Road law allows 2.55 m of width without mirrors, 4.0 m of height,
12 m for a rigid vehicle, 16.5 m with a semi-trailer, 18.75 m for an articulated bus (EU directive 96/53/EC).

As DAIR-V2X labels them, a van is what carries goods or more than five people in one closed body with a short
bonnet; with a cab and a body of its own behind it is a truck.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.coachwork import (
    Cabin,
    Coat,
    Shell,
    arches,
    dashboard,
    lamps,
    mirrors,
    plates,
    seats,
    sitting,
)
from cosense.simulation.scenes.road_users.paints import livery
from cosense.simulation.scenes.road_users.parts import Built, upright, wheels
from cosense.simulation.scenes.road_users.superstructures import SUPERSTRUCTURES
from cosense.simulation.scenes.shapes import block, quads

_CHASSIS: Colour = (0.10, 0.10, 0.11)

# Share; limits of length, width and height, of the windscreen's foot from the nose, and of its slope.
_VANS = (
    (0.20, (3.8, 4.5), (1.58, 1.70), (1.82, 1.95), (0.35, 0.60), (50, 64)),
    (0.25, (4.2, 4.7), (1.76, 1.86), (1.78, 1.90), (0.85, 1.05), (36, 44)),
    (0.30, (4.8, 5.4), (1.88, 1.98), (1.92, 2.10), (0.75, 1.00), (38, 48)),
    (0.25, (5.2, 6.9), (1.98, 2.08), (2.30, 2.80), (0.75, 0.95), (44, 54)),
)


def van(rng: np.random.Generator) -> Built:
    """Draw a van, with windows all around or with walls of sheet metal behind the driver."""
    row = int(rng.choice(len(_VANS), p=[kind[0] for kind in _VANS]))
    length, width, height, bonnet, slope = (float(rng.uniform(*limits)) for limits in _VANS[row][1:])
    coat = Coat(*livery(rng))
    nose, tail = length / 2, -length / 2
    radius, sill = float(rng.uniform(0.29, 0.34)), float(rng.uniform(0.18, 0.26))
    front_axle = nose - (0.95 if row else 0.75)
    rear_axle = tail + float(rng.uniform(0.16, 0.20)) * length
    belt = float(rng.uniform(0.50, 0.55) if height < 2.2 else rng.uniform(1.12, 1.25) / height) * height
    cowl, edge = nose - bonnet, belt - float(rng.uniform(0.10, 0.22))
    shell = Shell(
        width=width,
        top=np.array(
            [
                (tail, belt - 0.02),
                (tail + 0.06, belt + 0.02),
                (cowl, belt),
                (nose - 0.22, edge),
                (nose - 0.08, edge - 0.16),
                (nose, 0.55),
            ]
        ),
        bottom=np.array([(tail, sill + 0.12), *arches((rear_axle, front_axle), radius, sill), (nose, sill)]),
        plan=np.array(
            [
                (tail, 0.95),
                (tail + 0.06, 0.98),
                (rear_axle, 1.0),
                (front_axle, 1.0),
                (nose - 0.22, 0.93),
                (nose, 0.74),
            ]
        ),
        tuck=float(rng.uniform(0.93, 0.97)),
        bow=float(rng.uniform(0.06, 0.20)),
    )
    windows = bool(rng.random() < (0.7, 0.5, 0.65, 0.2)[row])
    front_end = (cowl - 0.95 - tail) / (cowl - tail)
    side = ((0.05, 0.30), (0.34, 0.58), (0.62, 0.95)) if windows else ((front_end, 0.96),)
    cabin = Cabin(
        base=(tail + 0.03, cowl),
        roof=(tail + float(rng.uniform(0.08, 0.22)), cowl - (height - belt) / np.tan(np.deg2rad(slope))),
        height=height,
        narrow=float(rng.uniform(0.84, 0.93)),
        panes=side,
        rear_glass=windows or bool(rng.random() < 0.4),
        crown=float(rng.uniform(0.03, 0.06)),
        bow=float(rng.uniform(0.06, 0.12)),
    )
    hips = cowl - 1.0
    rows = np.arange(hips, tail + 0.9, -0.85) if windows else [hips]
    floor = sill + 0.45
    plated = [(tail - 0.004, 0.65), (nose + 0.004, 0.42)][: 2 if rng.random() < 0.9 else 1]
    parts = [
        shell.mesh(coat, [(tail + 0.06, cowl)]),
        cabin.mesh(shell, coat),
        seats(rows[:3], width, floor, belt),
        dashboard(cowl - 0.4, 0.44 * width, (belt - 0.3, belt - 0.02)),
        _wheels_at((rear_axle, front_axle), width, radius, 0.21),
        lamps(
            (nose - 0.06, 0.40 * width, edge - 0.14), (tail - 0.004, 0.45 * width, belt - 0.1), (0.22, 0.2)
        ),
        plates(plated, rng),
    ]
    if not windows:
        # The bulkhead behind the seats.
        parts.append(
            quads(
                upright(hips - 0.35, (-0.42 * width, 0.42 * width), (sill + 0.1, height - 0.15)),
                Material.METAL,
            )
        )
    if rng.random() < 0.5:
        parts.append(sitting(hips + 0.1, 0.24 * width, floor + 0.05, rng))
    beside = mirrors(cowl - 0.25, 0.48 * width, belt + 0.12, (0.10, 0.24, 0.26), coat)
    return Built((length, width, height), join(parts), beside)


def _wheels_at(axles: tuple[float, ...], width: float, radius: float, thick: float) -> Mesh:
    return wheels(
        [(x, side * (0.5 * width - 0.02)) for x in axles for side in (-1, 1)], radius, thick, corners=8
    )


def truck(rng: np.random.Generator) -> Built:
    """Draw a lorry: light, heavy, or a tractor with a semi-trailer; most have the cab above the engine."""
    kind = rng.choice(3, p=[0.45, 0.42, 0.13])
    length = float(rng.uniform(*((5.2, 7.2), (7.2, 10.8), (13.0, 16.5))[kind]))
    width = float(rng.uniform(*((1.95, 2.35), (2.42, 2.55), (2.48, 2.55))[kind]))
    cab_top = float(rng.uniform(*((2.05, 2.5), (2.7, 3.3), (3.1, 3.8))[kind]))
    load_top = float(rng.uniform(*((2.3, 3.1), (3.1, 3.9), (3.6, 4.0))[kind]))
    radius = (0.38, 0.48, 0.50)[kind]
    coat = Coat(*livery(rng))
    nose, tail = length / 2, -length / 2
    deep = float(rng.uniform(*((1.5, 1.75), (1.7, 2.3), (2.1, 2.4))[kind]))
    back = nose - deep
    cab, beside = _cab(nose, back, width * 0.97, cab_top, radius, coat, rng)
    deck = 2 * radius + (0.1 if kind == 0 else 0.22)
    rear = tail + float(rng.uniform(0.14, 0.22)) * length
    axles: tuple[float, ...] = (rear,) if kind == 0 or rng.random() < 0.5 else (rear, rear - 1.32)
    if kind == 2:
        axles = (tail + 1.5, tail + 2.8, tail + 4.1, back - 0.9)
    gap = float(rng.uniform(0.15, 0.5)) if kind < 2 else float(rng.uniform(0.6, 1.0))
    load = SUPERSTRUCTURES[int(rng.choice(len(SUPERSTRUCTURES), p=_LOADS[kind]))]
    parts = [
        cab,
        block((tail + 0.1, back + 0.3), (-0.45, 0.45), (deck - 0.30, deck - 0.05), Material.METAL, _CHASSIS),
        load((tail, back - gap), width, (deck, load_top), rng),
        _wheels_at((*axles, nose - 0.62 * deep), width * 0.98, radius, 0.30),
        plates([(tail - 0.004, deck - 0.12), (nose + 0.004, 0.55)], rng),
        _under_run(tail, width, axles, back, deck, rng),
    ]
    hull = join(parts)
    return Built((length, width, float(hull.vertices[:, 2].max())), hull, beside)


# Shares of the superstructures: box, tipper, flat bed, tank, mixer.
_LOADS = ((0.50, 0.15, 0.33, 0.02, 0.0), (0.48, 0.18, 0.16, 0.08, 0.10), (0.66, 0.06, 0.14, 0.14, 0.0))


def _cab(
    nose: float, back: float, width: float, top: float, radius: float, coat: Coat, rng: np.random.Generator
) -> tuple[Mesh, Mesh]:
    """Return a cab above the engine, and its mirrors."""
    belt = 0.50 * top + float(rng.uniform(0.0, 0.15))
    axle = nose - 0.62 * (nose - back)
    sill = 0.9 * radius
    shell = Shell(
        width=width,
        top=np.array([(back, belt), (nose - 0.06, belt), (nose, 0.55 * belt)]),
        bottom=np.array([(back, sill + 0.1), *arches((axle,), radius, sill), (nose, sill - 0.08)]),
        plan=np.array([(back, 0.98), (nose - 0.25, 1.0), (nose, 0.92)]),
        tuck=0.98,
        bow=float(rng.uniform(0.02, 0.12)),
    )
    glass_top = min(top, belt + 1.15)
    cabin = Cabin(
        base=(back + 0.02, nose - 0.06),
        roof=(back + 0.04, nose - 0.06 - (glass_top - belt) / np.tan(np.deg2rad(rng.uniform(68, 84)))),
        height=glass_top,
        narrow=0.95,
        panes=((0.40, 0.94),),
        rear_glass=False,
        crown=0.03,
        bow=0.05,
    )
    middle = (back + nose) / 2
    parts = [
        shell.mesh(coat, [(back, nose - 0.06)]),
        cabin.mesh(shell, coat),
        seats([middle - 0.1], width, belt - 0.45, belt),
        dashboard(nose - 0.45, 0.45 * width, (belt - 0.3, belt - 0.02)),
        sitting(middle, 0.27 * width, belt - 0.4, rng),
        lamps(
            (nose + 0.003, 0.46 * width, 0.45 * belt), (back - 0.01, 0.4 * width, sill + 0.2), (0.25, 0.16)
        ),
    ]
    if top > glass_top + 0.1:
        # A high roof or a deflector, which leans back.
        half = 0.47 * width
        rise = top - glass_top
        front = cabin.roof[1]
        section = np.array(
            [(back + 0.04, 0.0), (front - 0.6 * rise, rise), (back + 0.04, rise), (front, 0.0)]
        )
        low = glass_top - 0.04
        parts.append(
            quads(
                [
                    [
                        (front, -half, low),
                        (front, half, low),
                        (section[1, 0], 0.9 * half, top),
                        (section[1, 0], -0.9 * half, top),
                    ],
                    [
                        (section[1, 0], -0.9 * half, top),
                        (section[1, 0], 0.9 * half, top),
                        (back + 0.04, 0.9 * half, top),
                        (back + 0.04, -0.9 * half, top),
                    ],
                    *[
                        [
                            (back + 0.04, s * half, low),
                            (front, s * half, low),
                            (section[1, 0], s * 0.9 * half, top),
                            (back + 0.04, s * 0.9 * half, top),
                        ]
                        for s in (-1, 1)
                    ],
                    upright(back + 0.04, (-half, half), (low, top)),
                ],
                Material.PAINT,
                coat.colour,
                coat.reflectance,
            )
        )
    dark = Coat(_CHASSIS, 0.06)
    return join(parts), mirrors(nose - 0.12, 0.5 * width, belt + 0.45, (0.14, 0.26, 0.55), dark)


def _under_run(
    tail: float, width: float, axles: tuple[float, ...], back: float, deck: float, rng: np.random.Generator
) -> Mesh:
    """Return the bumper below the rear end with its red reflectors, tanks and boxes between the axles."""
    half = 0.46 * width
    between = (max(axles[0], axles[-1] if len(axles) < 4 else axles[2]) + 0.8, back - 0.5)
    parts = [
        block(
            (tail + 0.02, tail + 0.12), (-half, half), (deck - 0.55, deck - 0.40), Material.METAL, _CHASSIS
        ),
        quads(
            [upright(tail, (s * half - 0.1 * s, s * half), (deck - 0.3, deck - 0.14)) for s in (-1, 1)],
            Material.PAINT,
            (0.62, 0.03, 0.03),
            1.2,
        ),
    ]
    if between[1] - between[0] > 0.8 and rng.random() < 0.8:
        end = between[0] + float(rng.uniform(0.5, 1.0)) * (between[1] - between[0])
        for s in (-1, 1):
            y = (s * half, s * (half - 0.3))
            parts.append(
                block((between[0], end), (min(y), max(y)), (0.42, deck - 0.15), Material.METAL, _CHASSIS)
            )
    return join(parts)


def bus(rng: np.random.Generator) -> Built:
    """Draw a bus: a city bus with a low floor, a coach with luggage below, or a short one."""
    kind = rng.choice(4, p=[0.55, 0.20, 0.18, 0.07])
    length = float(rng.uniform(*((10.6, 12.2), (11.5, 12.8), (7.0, 9.6), (17.4, 18.4))[kind]))
    width = float(rng.uniform(*((2.50, 2.56), (2.50, 2.56), (2.25, 2.50), (2.52, 2.56))[kind]))
    height = float(rng.uniform(*((2.95, 3.35), (3.35, 3.85), (2.75, 3.15), (3.0, 3.35))[kind]))
    coat = Coat(*livery(rng))
    nose, tail, radius = length / 2, -length / 2, 0.47
    sill = float(rng.uniform(0.26, 0.36))
    belt = float(rng.uniform(1.55, 1.80) if kind == 1 else rng.uniform(0.95, 1.25))
    roof = height - (0.0 if kind == 1 else 0.25)
    front_axle, rear_axle = (
        nose - float(rng.uniform(0.21, 0.24)) * min(length, 12.0),
        tail + 0.27 * min(length, 12.0),
    )
    axles = (rear_axle, front_axle) if kind < 3 else (rear_axle - 0.6, front_axle - 5.6, front_axle)
    shell = Shell(
        width=width,
        top=np.array([(tail, belt), (nose - 0.04, belt), (nose, belt - 0.25)]),
        bottom=np.array([(tail, sill + 0.15), *arches(axles, radius, sill), (nose, sill)]),
        plan=np.array([(tail, 0.97), (tail + 0.2, 1.0), (nose - 0.4, 1.0), (nose, 0.93)]),
        tuck=0.99,
        bow=float(rng.uniform(0.03, 0.15)),
    )
    edges = np.linspace(0.03, 0.97, int(min(length, 12.4) / 1.6))
    post = 0.09 / length
    cabin = Cabin(
        base=(tail + 0.02, nose - 0.05),
        roof=(tail + 0.1, nose - 0.05 - float(rng.uniform(0.15, 0.50))),
        height=roof,
        narrow=0.97,
        panes=tuple((float(a + post), float(b - post)) for a, b in pairwise(edges)),
        rear_glass=bool(rng.random() < 0.5),
        crown=0.05,
        bow=0.04,
    )
    rows = np.arange(nose - 2.6, tail + 1.2, -float(rng.uniform(1.4, 2.0)))[:5]
    floor = max(0.75, belt - 0.6)
    parts = [
        shell.mesh(coat, [(tail, nose - 0.04)]),
        cabin.mesh(shell, coat),
        seats(rows, width, floor, belt),
        sitting(nose - 1.0, 0.3 * width, belt - 0.35, rng),
        *[
            sitting(float(x) + 0.05, float(rng.choice([-1, 1])) * 0.24 * width, floor, rng)
            for x in rows
            if rng.random() < 0.4
        ],
        _wheels_at(axles, width, radius, 0.30),
        lamps((nose + 0.003, 0.44 * width, 0.62), (tail - 0.003, 0.46 * width, belt - 0.2), (0.28, 0.18)),
        plates([(tail - 0.004, 0.6), (nose + 0.004, 0.45)], rng),
    ]
    if roof < height:
        start = float(rng.uniform(-0.42, -0.1)) * length
        parts.append(
            block(
                (start, start + float(rng.uniform(1.8, 3.5))),
                (-0.36 * width, 0.36 * width),
                (roof - 0.1, height),
                Material.METAL,
            )
        )
    if kind == 3:
        # The folding joint, darker than the walls beside it.
        joint = front_axle - 7.3
        parts.append(
            block((joint - 0.5, joint + 0.5), (-0.5 * width, 0.5 * width), (sill, roof), Material.RUBBER)
        )
    beside = mirrors(nose - 0.15, 0.5 * width, min(2.2, roof - 0.5), (0.2, 0.35, 0.5), Coat(_CHASSIS, 0.06))
    return Built((length, width, height), join(parts), beside)
