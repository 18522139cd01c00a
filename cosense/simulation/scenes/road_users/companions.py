"""What goes along with people and is not in their label boxes: dogs, prams; and wheelchairs.

The origin lies on the ground under the middle, with x forward.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.cycles import hoop
from cosense.simulation.scenes.road_users.paints import cloth
from cosense.simulation.scenes.road_users.parts import level, upright, wheels
from cosense.simulation.scenes.shapes import block, quads, tubes

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
            quads(hood, Material.CLOTH, colour, bright),
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
            quads(seat, Material.CLOTH, _BLACK),
            tubes(bars, Material.METAL, corners=4),
            hoop(-0.15, 0.30, 0.28, 0.03),
            hoop(-0.15, 0.30, -0.28, 0.03),
            wheels([(0.32, -0.22), (0.32, 0.22)], 0.09, 0.04, corners=6),
        ]
    )
