"""Cars in the shapes of real ones.

Sizes mix nine builds, from city cars of 3.1 m to pick-ups of 5.7 m. Published means of length, width and
height in metres: KITTI 3.89, 1.62, 1.53 with deviations of 0.44, 0.11, 0.14, nuScenes 4.64, 1.96, 1.73, Lyft
4.73, 1.92, 1.71, Waymo 4.80, 2.11, 1.79 (Wang et al., Train in Germany, Test in the USA, CVPR 2020; the
anchors of mmdetection3d agree). Ours are those of the sheet metal, without mirrors.

The front is unlike the rear as on real cars: the bonnet is longer and lower than the boot, the windscreen
flatter (27-42 degrees at its corners) than most rear windows (29-78 degrees), the roof behind the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.simulation.chance import draw
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
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
from cosense.simulation.scenes.road_users.paints import paint
from cosense.simulation.scenes.road_users.parts import Built, level, upright, wheels
from cosense.simulation.scenes.shapes import block, quads

Spread = tuple[float, float]


@dataclass(frozen=True)
class _Build:
    """One kind of car; pairs are mean and deviation for sizes in metres, else smallest and largest value.

    Attributes:
        share: of all cars.
        length, width, height: of the sheet metal.
        shortest, longest: limits of the length.
        cowl: distance of the windscreen's foot from the nose, as a share of the length.
        boot: distance of the rear window's foot from the tail, in metres.
        windscreen, rear_window: slopes in degrees above the level.
        belt: height of the windows' lower edge as a share of the height.
        nose: height of the bonnet's front edge in metres.
        wheel: radius in metres.
        sill: clearance in metres.
    """

    share: float
    length: Spread
    width: Spread
    height: Spread
    shortest: float
    longest: float
    cowl: Spread
    boot: Spread
    windscreen: Spread
    rear_window: Spread
    belt: Spread
    nose: Spread
    wheel: Spread
    sill: Spread


_BUILDS = {
    "city": _Build(
        0.13, (3.60, 0.16), (1.63, 0.03), (1.50, 0.05), 3.1, 3.9,
        (0.20, 0.25), (0.06, 0.16), (33, 42), (54, 74),
        (0.60, 0.66), (0.68, 0.80), (0.27, 0.30), (0.15, 0.20),
    ),
    "hatchback": _Build(
        0.25, (4.10, 0.16), (1.74, 0.04), (1.48, 0.05), 3.7, 4.5,
        (0.22, 0.27), (0.10, 0.28), (31, 38), (42, 66),
        (0.60, 0.66), (0.64, 0.76), (0.29, 0.33), (0.14, 0.19),
    ),
    "saloon": _Build(
        0.22, (4.72, 0.22), (1.81, 0.05), (1.46, 0.03), 4.2, 5.3,
        (0.24, 0.29), (0.40, 0.70), (31, 38), (29, 42),
        (0.61, 0.66), (0.62, 0.74), (0.30, 0.34), (0.13, 0.18),
    ),
    "estate": _Build(
        0.12, (4.66, 0.20), (1.80, 0.05), (1.49, 0.04), 4.1, 5.1,
        (0.24, 0.28), (0.08, 0.22), (31, 38), (48, 70),
        (0.60, 0.65), (0.62, 0.74), (0.30, 0.34), (0.14, 0.18),
    ),
    "people_carrier": _Build(
        0.06, (4.45, 0.28), (1.79, 0.06), (1.66, 0.05), 3.9, 5.1,
        (0.17, 0.22), (0.08, 0.18), (31, 38), (60, 78),
        (0.58, 0.63), (0.70, 0.84), (0.30, 0.33), (0.15, 0.20),
    ),
    "suv": _Build(
        0.14, (4.52, 0.24), (1.85, 0.05), (1.68, 0.06), 3.95, 5.2,
        (0.23, 0.28), (0.10, 0.24), (33, 41), (48, 70),
        (0.61, 0.67), (0.82, 1.02), (0.33, 0.38), (0.18, 0.26),
    ),
    "off_road": _Build(
        0.02, (4.40, 0.35), (1.86, 0.06), (1.84, 0.06), 3.6, 5.1,
        (0.26, 0.32), (0.02, 0.06), (46, 64), (80, 87),
        (0.60, 0.64), (0.98, 1.10), (0.36, 0.41), (0.24, 0.32),
    ),
    "pick_up": _Build(
        0.03, (5.30, 0.16), (1.88, 0.06), (1.82, 0.06), 4.9, 5.7,
        (0.24, 0.28), (1.40, 1.75), (34, 42), (70, 84),
        (0.60, 0.65), (0.95, 1.10), (0.36, 0.40), (0.26, 0.36),
    ),
    "sport": _Build(
        0.03, (4.28, 0.20), (1.80, 0.05), (1.29, 0.04), 3.8, 4.8,
        (0.30, 0.37), (0.30, 0.60), (27, 33), (22, 34),
        (0.62, 0.68), (0.56, 0.68), (0.31, 0.34), (0.11, 0.15),
    ),
}  # fmt: skip
_SHARES = {kind: build.share for kind, build in _BUILDS.items()}
_TRIM = (0.06, 0.06, 0.065)


def car(rng: np.random.Generator) -> Built:
    """Draw a car."""
    kind = draw(_SHARES, rng)
    build = _BUILDS[kind]
    length, width, height = (
        float(np.clip(rng.normal(*spread), spread[0] - 2.5 * spread[1], spread[0] + 2.5 * spread[1]))
        for spread in (build.length, build.width, build.height)
    )
    length = float(np.clip(length, build.shortest, build.longest))
    # Short cars of a kind tend to be the narrow ones.
    width *= 1 + 0.1 * (length / build.length[0] - 1)
    open_top = kind == "sport" and rng.random() < 0.35
    return _assemble(build, (length, width, height), kind, open_top, rng)


def _assemble(
    build: _Build, size: tuple[float, float, float], kind: str, open_top: bool, rng: np.random.Generator
) -> Built:
    length, width, height = size
    coat = Coat(*paint(rng))
    radius, sill = float(rng.uniform(*build.wheel)), float(rng.uniform(*build.sill))
    nose, tail = length / 2, -length / 2
    front_axle = nose - float(rng.uniform(0.185, 0.205)) * length
    rear_axle = front_axle - float(rng.uniform(0.57, 0.62)) * length
    cowl, foot = nose - float(rng.uniform(*build.cowl)) * length, tail + float(rng.uniform(*build.boot))
    belt = float(rng.uniform(*build.belt)) * height
    edge = min(float(rng.uniform(*build.nose)), belt - 0.06)
    deck = belt + float(rng.uniform(0.03, 0.10))
    bumper = 0.36 * height
    # How upright nose and tail are.
    rounding = float(rng.uniform(0.03, 0.12))
    shell = Shell(
        width=width,
        top=np.array(
            [
                (tail, bumper),
                (tail + 0.4 * rounding, deck - 0.06),
                (foot, deck),
                ((foot + cowl) / 2, belt),
                (cowl, belt - 0.01),
                (nose - 0.30, edge + 0.05),
                (nose - rounding, edge - 0.06),
                (nose, bumper),
            ]
        ),
        bottom=np.array(
            [
                (tail, sill + 0.14),
                *arches((rear_axle, front_axle), radius, sill),
                (nose, sill + 0.07),
            ]
        ),
        plan=np.array(
            [
                (tail, 0.78),
                (tail + 0.18, 0.94),
                (rear_axle - 0.72 * 1.15 * radius, 1.0),
                (front_axle + 0.72 * 1.15 * radius, 1.0),
                (nose - 0.30, 0.93),
                (nose - rounding, 0.82),
                (nose, 0.64),
            ]
        ),
        tuck=float(rng.uniform(0.88, 0.94)),
        bow=float(rng.uniform(0.12, 0.30)),
    )
    slope, back = np.deg2rad(rng.uniform(*build.windscreen)), np.deg2rad(rng.uniform(*build.rear_window))
    rise = height - belt
    cabin = Cabin(
        base=(foot, cowl),
        roof=(foot + (height - deck) / np.tan(back), cowl - rise / np.tan(slope)),
        height=height,
        narrow=float(rng.uniform(0.76, 0.86)),
        panes=_panes(kind, rng),
        rear_glass=True,
        crown=float(rng.uniform(0.06, 0.11)),
        bow=float(rng.uniform(0.06, 0.14)),
    )
    bed = kind == "pick_up" and rng.random() < 0.6
    openings = [(foot, cowl), *([(tail + 0.1, foot - 0.05)] if bed else [])]
    hips = cowl - 1.3
    rows = (
        [hips]
        if open_top or (kind == "pick_up" and rng.random() < 0.3)
        else [hips, max(hips - 0.82, foot + 0.55)]
    )
    floor = sill + 0.26
    plated = [(tail - 0.004, bumper), (nose + 0.004, bumper - 0.04)][: 2 if rng.random() < 0.85 else 1]
    parts = [
        shell.mesh(coat, openings),
        seats(rows, width, floor, belt),
        dashboard(cowl - 0.50, 0.42 * width, (belt - 0.25, belt - 0.02)),
        wheels(
            [(x, side * (0.5 * width - 0.015)) for x in (rear_axle, front_axle) for side in (-1, 1)],
            radius,
            0.21,
        ),
        lamps(
            (nose - 0.4 * rounding - float(shell.bowed(nose, 0.3 * width)), 0.38 * width, edge - 0.14),
            (tail + 0.2 * rounding - float(shell.bowed(tail, 0.36 * width)), 0.42 * width, deck - 0.22),
            (0.24, 0.13),
        ),
        plates(plated, rng),
    ]
    if open_top:
        parts.append(_windscreen_only(cabin, shell))
    else:
        parts.append(cabin.mesh(shell, coat))
    if open_top or rng.random() < 0.5:
        parts.append(sitting(hips + 0.1, 0.24 * width, floor + 0.05, rng))
    if bed:
        parts.append(_bed(shell, tail, foot, rng))
    elif not open_top and kind in ("estate", "suv", "off_road", "saloon", "hatchback"):
        parts += _on_the_roof(cabin, width, rng)
    beside = mirrors(cowl - 0.22, 0.5 * width * 0.97, belt + 0.06, (0.10, 0.19, 0.13), coat)
    hull = join(parts)
    return Built((length, width, float(max(height, hull.vertices[:, 2].max()))), hull, beside)


def _panes(kind: str, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Return the windows of a side, between pillars that are wider at the rear."""
    post = float(rng.uniform(0.04, 0.06))
    if kind in ("sport", "pick_up") or (kind == "city" and rng.random() < 0.4):
        return ((0.14, 0.40), (0.40 + post, 0.96))
    if kind in ("estate", "people_carrier", "suv", "off_road"):
        return ((0.06, 0.26), (0.26 + post, 0.56), (0.56 + post, 0.96))
    return ((0.14, 0.50), (0.50 + post, 0.96))


def _windscreen_only(cabin: Cabin, shell: Shell) -> Mesh:
    """Return the windscreen of a convertible that is driven open."""
    base = np.array([cabin.base[1], float(shell.half_width_at(cabin.base[1])), shell.top_at(cabin.base[1])])
    top = np.array([cabin.roof[1], cabin.narrow * base[1], cabin.height])
    other = np.array([1.0, -1.0, 1.0])
    frame = np.array([0.05, 0.0, 0.0])
    return join(
        [
            quads([base, top, top * other, base * other], Material.GLASS),
            quads([top, top - frame, (top - frame) * other, top * other], Material.METAL, _TRIM),
        ]
    )


def _bed(shell: Shell, tail: float, foot: float, rng: np.random.Generator) -> Mesh:
    """Return the floor of a pick-up's bed, the wall behind its cab, and sometimes a load."""
    half = float(shell.half_width_at(foot)) * 0.95
    floor, belt = 0.72, float(shell.top_at(foot))
    parts = [
        quads(
            [
                level((tail + 0.1, foot - 0.04), (-half, half), floor),
                upright(foot - 0.04, (-half, half), (floor, belt)),
            ],
            Material.METAL,
            _TRIM,
            0.12,
        )
    ]
    if rng.random() < 0.35:
        long, tall = rng.uniform(0.5, 1.1), rng.uniform(0.25, 0.7)
        y = float(rng.uniform(0.2, half))
        parts.append(
            block((tail + 0.2, tail + 0.2 + long), (-y, half), (floor, floor + tall), Material.PLASTER)
        )
    return join(parts)


def _on_the_roof(cabin: Cabin, width: float, rng: np.random.Generator) -> list[Mesh]:
    """Return rails, or seldom a roof box; annotators draw the box of the label around it."""
    rear, front = cabin.roof
    if rng.random() < 0.03:
        middle = (rear + front) / 2 + 0.1
        top = cabin.height + float(rng.uniform(0.30, 0.42))
        return [
            block(
                (middle - 0.9, middle + 0.8),
                (-0.36, 0.42),
                (cabin.height + 0.06, top),
                Material.PAINT,
                _TRIM,
                0.06,
            )
        ]
    return []
