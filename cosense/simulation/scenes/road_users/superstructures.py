"""What lorries carry: boxes, tippers, flat beds with cargo, tanks, drums of concrete."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.paints import paint
from cosense.simulation.scenes.shapes import block, skin, tubes

Limits = tuple[float, float]

_STEEL: Colour = (0.30, 0.31, 0.33)
_WHITE: Colour = (0.82, 0.82, 0.80)


def box_body(x: Limits, width: float, z: Limits, rng: np.random.Generator) -> Mesh:
    """Return a closed box, bare, or a tarpaulin in any colour."""
    colour, bright = (_WHITE, 0.6) if rng.random() < 0.55 else paint(rng)
    half = width / 2
    return join(
        [
            block(x, (-half, half), z, Material.PAINT, colour, bright),
            # The frame of the doors stands out at the rear.
            block((x[0], x[0] + 0.08), (-half, half), (z[0] - 0.12, z[0]), Material.METAL, _STEEL),
        ]
    )


def tipper(x: Limits, width: float, z: Limits, rng: np.random.Generator) -> Mesh:
    """Return an open trough, filled to some height; its front wall is higher and leans over the cab."""
    rim = z[0] + float(rng.uniform(0.75, 1.3))
    colour, bright = paint(rng)
    half, wall = width / 2, 0.06
    fill = z[0] + float(rng.uniform(0.15, 0.95)) * (rim - z[0])
    ribs = np.linspace(x[0] + 0.2, x[1] - 0.3, 4)
    return join(
        [
            block(x, (-half, -half + wall), (z[0], rim), Material.PAINT, colour, bright),
            block(x, (half - wall, half), (z[0], rim), Material.PAINT, colour, bright),
            block((x[0], x[0] + wall), (-half, half), (z[0], rim), Material.PAINT, colour, bright),
            block(
                (x[1] - wall, x[1]),
                (-half, half),
                (z[0], min(rim + 0.5, z[1])),
                Material.PAINT,
                colour,
                bright,
            ),
            block(x, (-half + wall, half - wall), (z[0], z[0] + 0.1), Material.METAL, _STEEL),
            _heap((x[0] + wall, x[1] - wall), half - wall, fill, float(rng.uniform(0.1, 0.5))),
            *[
                block(
                    (r, r + 0.1),
                    (s * half - 0.03, s * half + 0.03),
                    (z[0], rim),
                    Material.PAINT,
                    colour,
                    bright,
                )
                for r in ribs
                for s in (-0.985, 0.985)
            ],
        ]
    )


def _heap(x: Limits, half: float, low: float, rise: float) -> Mesh:
    """Return a heap of bulk cargo."""
    along = np.linspace(*x, 4)
    lift = np.array([0.1, 1.0, 0.8, 0.1]) * rise
    rings = np.stack(
        [
            np.column_stack([along, np.full(4, half), np.full(4, low)]),
            np.column_stack([along, np.zeros(4), low + lift]),
            np.column_stack([along, np.full(4, -half), np.full(4, low)]),
        ],
        axis=1,
    )
    return skin(rings, Material.CONCRETE, (0.45, 0.38, 0.30), 0.3)


def flat_bed(x: Limits, width: float, z: Limits, rng: np.random.Generator) -> Mesh:
    """Return a deck with low boards and whatever is on it: crates, pipes, a digger, or nothing."""
    half = width / 2
    boards = float(rng.choice([0.0, 0.4, 0.55]))
    parts = [
        block(x, (-half, half), (z[0] - 0.05, z[0] + 0.12), Material.METAL, _STEEL),
        block((x[1] - 0.08, x[1]), (-half, half), (z[0], min(z[0] + 1.3, z[1])), Material.METAL, _STEEL),
    ]
    floor = z[0] + 0.12
    if boards:
        colour, bright = paint(rng)
        for y in (-half, half - 0.04):
            parts.append(block(x, (y, y + 0.04), (floor, floor + boards), Material.PAINT, colour, bright))
        parts.append(
            block((x[0], x[0] + 0.04), (-half, half), (floor, floor + boards), Material.PAINT, colour, bright)
        )
    load = rng.random()
    if load < 0.45:
        at = x[0] + 0.2
        while at < x[1] - 1.4:
            long, tall = float(rng.uniform(0.8, 2.2)), float(rng.uniform(0.4, 1.0)) * (z[1] - floor)
            y = half * float(rng.uniform(0.6, 0.95))
            tint = float(rng.uniform(0.2, 0.8))
            end = min(at + long, x[1] - 0.15)
            if rng.random() < 0.8:
                parts.append(
                    block(
                        (at, end),
                        (-y, y),
                        (floor, floor + tall),
                        Material.PLASTER,
                        (tint, tint * 0.9, tint * 0.75),
                    )
                )
            at += long + 0.15
    elif load < 0.65:
        radius = float(rng.uniform(0.12, 0.3))
        count = int((half - radius) / radius)
        stack = [
            ([x[0] - 0.0, (k - (count - 1) / 2) * 2 * radius, floor + (2 * layer + 1) * radius], layer)
            for layer in range(2)
            for k in range(count)
        ]
        pieces = [(start, [x[1] - 0.2, start[1], start[2]], radius, radius) for start, _ in stack]
        parts.append(tubes(pieces, Material.BARK if rng.random() < 0.5 else Material.CONCRETE, corners=6))
    return join(parts)


def tank(x: Limits, width: float, z: Limits, rng: np.random.Generator) -> Mesh:
    """Return an elliptic tank that lies along the chassis, with a walkway on top."""
    height = min(z[1], z[0] + float(rng.uniform(1.5, 2.1))) - z[0]
    colour, bright = (_STEEL, 0.5) if rng.random() < 0.5 else paint(rng)
    shell = _barrel(
        np.array([x[0], x[0] + 0.15, x[1] - 0.15, x[1]]),
        np.array([0.75, 1.0, 1.0, 0.75]) * width / 2,
        np.array([0.75, 1.0, 1.0, 0.75]) * height / 2,
        np.full(4, z[0] + height / 2),
    )
    return join(
        [
            skin(shell, Material.PAINT, colour, bright),
            block(
                (x[0] + 0.6, x[1] - 0.6),
                (-0.3, 0.3),
                (z[0] + height - 0.04, z[0] + height + 0.12),
                Material.METAL,
            ),
        ]
    )


def mixer(x: Limits, width: float, z: Limits, rng: np.random.Generator) -> Mesh:
    """Return the drum of a concrete mixer, which leans and is widest in the middle, and its chute."""
    colour, bright = paint(rng)
    radius = min(0.46 * width, (z[1] - z[0]) * 0.42)
    along = np.array([0.08, 0.22, 0.55, 0.8, 1.0]) * (x[1] - x[0]) + x[0]
    size = np.array([0.45, 0.7, 1.0, 0.92, 0.5]) * radius
    middle = np.linspace(z[1] - 0.5 * radius - 0.1, z[0] + radius, 5)
    drum = _barrel(along, size, size, middle)
    chute = ([x[0] + 0.5, 0.0, middle[0] - 0.4], [x[0], 0.0, z[0] + 0.2], 0.2, 0.15)
    legs = [
        ([along[1], side * 0.4, z[0] - 0.1], [along[1], side * 0.3, middle[1] - 0.5], 0.1, 0.1)
        for side in (-1, 1)
    ]
    return join(
        [
            skin(drum, Material.PAINT, colour, bright),
            tubes([chute, *legs], Material.METAL),
            # Mudguards make it as wide as its lorry.
            block(
                (x[0] + 0.3, x[0] + 2.4), (-width / 2, width / 2), (z[0] - 0.08, z[0]), Material.METAL, _STEEL
            ),
        ]
    )


def _barrel(x: NDArray, y: NDArray, z: NDArray, middle: NDArray) -> NDArray[np.float64]:
    """Return elliptic cross-sections (S,10,3) of half axes y and z."""
    angle = 2 * np.pi * np.arange(10) / 10 + np.pi / 2
    return np.stack(
        [
            np.broadcast_to(x[:, None], (len(x), 10)),
            y[:, None] * np.cos(angle),
            middle[:, None] + z[:, None] * np.sin(angle),
        ],
        axis=2,
    )


SUPERSTRUCTURES = (box_body, tipper, flat_bed, tank, mixer)
