"""What stands on a pole beside a road: lamps, signs, signals, wires. The -y side faces the road."""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.shapes import box, boxes, prism, tube
from cosense.simulation.scenes.surroundings.colours import any_colour

_GREYS: tuple[Colour, ...] = ((0.45, 0.47, 0.48), (0.12, 0.14, 0.13), (0.10, 0.20, 0.15), (0.62, 0.63, 0.64))


def _pole(height: float, thick: tuple[float, float], colour: Colour | None = None) -> Mesh:
    line = [(0.0, 0.0, -0.2), (0.0, 0.0, height)]
    return tube(line, [thick[0] / 2, thick[1] / 2], Material.METAL, colour, around=8)


def lamp(rng: np.random.Generator) -> Mesh:
    """Return a lamp post with one arm or two, a lantern on its top, or a light hung from a bow."""
    colour = _GREYS[rng.integers(len(_GREYS))]
    thick = float(rng.uniform(0.10, 0.24))
    kind = rng.choice(["arm", "double", "lantern", "bow"], p=[0.45, 0.15, 0.25, 0.15])
    if kind == "lantern":
        height = float(rng.uniform(3.0, 4.8))
        wide = float(rng.uniform(0.3, 0.5))
        head = box((0, 0, height + 0.25), (wide, wide, 0.5), Material.GLASS)
        cap = box((0, 0, height + 0.53), (wide + 0.1, wide + 0.1, 0.08), Material.METAL, colour=colour)
        foot = box((0, 0, 0.3), (thick * 2, thick * 2, 0.7), Material.METAL, colour=colour)
        return join([_pole(height, (thick, thick * 0.6), colour), head, cap, foot])
    height, reach = float(rng.uniform(5.0, 10.0)), float(rng.uniform(0.6, 2.2))
    parts = [_pole(height, (thick, thick * 0.5), colour)]
    for side in (-1, 1) if kind == "double" else (-1,):
        rise = 0.4 if kind == "bow" else 0.15
        line = [
            (0.0, 0.0, height - 0.1),
            (0.0, side * reach * 0.5, height + rise),
            (0.0, side * reach, height + 0.1),
        ]
        parts.append(tube(line, 0.04, Material.METAL, colour, around=5))
        parts.append(
            box((0, side * (reach + 0.2), height + 0.08), (0.22, 0.6, 0.12), Material.METAL, colour=colour)
        )
    if rng.random() < 0.4:
        parts.append(box((0, -thick / 2, 0.8), (thick * 0.9, 0.06, 0.45), Material.METAL, colour=colour))
    if rng.random() < 0.2:
        parts.append(_plate(rng).at(0, 0, float(rng.uniform(-0.3, 0.3)), float(rng.uniform(2.3, 3.2))))
    return join(parts)


def _plate(rng: np.random.Generator) -> Mesh:
    """Return a sign, upright, about its middle, facing along x."""
    shape = rng.choice(["disc", "triangle", "square", "board"])
    size = float(rng.uniform(0.35, 0.9))
    colour = ((0.75, 0.1, 0.1), (0.12, 0.25, 0.6), (0.85, 0.85, 0.85), (0.8, 0.7, 0.1))[rng.integers(4)]
    bright = float(rng.uniform(1.0, 3.5))
    if shape in ("square", "board"):
        wide = size * (float(rng.uniform(1.0, 1.8)) if shape == "board" else 1.0)
        return box((0, 0, 0), (0.03, wide, size), Material.SIGN, colour=colour, reflectance=bright)
    corners = 3 if shape == "triangle" else 8
    angle = np.pi / 2 + 2 * np.pi * np.arange(corners) / corners
    disc = prism(
        np.column_stack([np.cos(angle), np.sin(angle)]) * size / 2,
        (-0.015, 0.015),
        Material.SIGN,
        colour,
        bright,
    )
    # The disc stands up: its axis z becomes x.
    return disc.placed(np.array([[0, 0, 1.0, 0], [1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1]]))


def sign(rng: np.random.Generator) -> Mesh:
    """Return one to three plates on a post, a large board on two posts, or a low keep-right beacon."""
    kind = rng.random()
    if kind < 0.12:
        return join(
            [
                box((0, 0, 0.5), (0.2, 0.25, 1.0), Material.PLASTIC, colour=(0.85, 0.75, 0.1)),
                _pole(0.4, (0.3, 0.3)),
            ]
        )
    if kind < 0.25:
        wide, tall, low = (
            float(rng.uniform(1.0, 2.4)),
            float(rng.uniform(0.5, 1.6)),
            float(rng.uniform(0.5, 2.4)),
        )
        posts = [_pole(low + tall, (0.09, 0.09)).at(0, side * wide * 0.35) for side in (-1, 1)]
        board = box((-0.06, 0, low + tall / 2), (0.04, wide, tall), Material.SIGN)
        return join([*posts, board]).at(0, 0, np.pi / 2 if rng.random() < 0.7 else 0.0)
    height, thick = float(rng.uniform(1.8, 3.4)), float(rng.uniform(0.05, 0.11))
    z, parts = height - 0.3, [_pole(height, (thick, thick))]
    for _ in range(rng.integers(1, 4)):
        parts.append(_plate(rng).at(-thick / 2 - 0.02, 0, 0.0, z))
        z -= float(rng.uniform(0.5, 0.85))
        if z < 1.5:
            break
    return join(parts).at(0, 0, float(rng.normal(0, 0.25)) + (np.pi if rng.random() < 0.5 else 0.0))


def traffic_light(rng: np.random.Generator) -> Mesh:
    """Return signals on a post, sometimes with a second set on an arm above the road."""
    height = float(rng.uniform(2.9, 3.5))
    dark: Colour = (0.06, 0.07, 0.06)

    def head(z: float, y: float) -> Mesh:
        return join(
            [
                box((0, y, z), (0.28, 0.3, 0.95), Material.PLASTIC, colour=dark),
                boxes(
                    np.array([(-0.22, y, z + up) for up in (-0.28, 0.02, 0.32)]),
                    (0.16, 0.22, 0.03),
                    Material.PLASTIC,
                    colour=dark,
                ),
            ]
        )

    parts = [_pole(height, (0.14, 0.12)), head(height - 0.5, 0.0)]
    parts.append(box((0, -0.1, 1.1), (0.12, 0.08, 0.22), Material.PLASTIC, colour=(0.8, 0.7, 0.1)))
    if rng.random() < 0.35:
        out = float(rng.uniform(2.0, 4.5))
        parts += [
            _pole(6.2, (0.2, 0.15)),
            tube([(0, 0, 5.8), (0, -out, 6.0)], 0.06, Material.METAL),
            head(5.6, -out),
        ]
    return join(parts).at(0, 0, np.pi if rng.random() < 0.5 else 0.0)


def utility_pole(rng: np.random.Generator) -> Mesh:
    """Return a wooden or concrete pole with cross-arms, sometimes with a transformer or a strut."""
    height, thick = float(rng.uniform(6.5, 10.5)), float(rng.uniform(0.2, 0.34))
    material = Material.WOOD if rng.random() < 0.7 else Material.CONCRETE
    lean = rng.normal(0, 0.15, 2)
    parts = [tube([(0, 0, -0.3), (*lean, height)], [thick / 2, thick * 0.32], material, around=8)]
    for z in height - np.arange(int(rng.integers(0, 3))) * 0.8 - 0.4:
        parts.append(box((lean[0], lean[1], z), (0.1, float(rng.uniform(1.2, 2.2)), 0.1), material))
    if rng.random() < 0.2:
        parts.append(box((0.35, 0, height - 2.2), (0.55, 0.55, 0.9), Material.METAL))
    if rng.random() < 0.2:
        parts.append(tube([(1.6, 0.6, -0.2), (0, 0, height * 0.7)], 0.09, material))
    return join(parts)


def flag(rng: np.random.Generator) -> Mesh:
    """Return a tall thin mast with a cloth that hangs down."""
    height = float(rng.uniform(4.5, 8.0))
    cloth = box(
        (0.45, 0, height - 1.6),
        (0.8, 0.1, 2.8),
        Material.CLOTH,
        colour=any_colour(rng),
    )
    return join([_pole(height, (0.1, 0.06)), cloth]).at(0, 0, float(rng.uniform(0, 6)))


def parking_meter(rng: np.random.Generator) -> Mesh:
    """Return a meter, a charging post or a bell post: a slim box on a foot, as tall as a person at most."""
    height = float(rng.uniform(1.1, 1.75))
    size = float(rng.uniform(0.18, 0.42))
    colour = _GREYS[rng.integers(len(_GREYS))]
    low = height * float(rng.choice([0.0, 0.55]))
    body = box((0, 0, (low + height) / 2), (size, size * 0.8, height - low), Material.METAL, colour=colour)
    return body if low == 0 else join([body, _pole(low, (0.1, 0.1), colour)])


def bus_stop(rng: np.random.Generator) -> Mesh:
    """Return the flag and timetable of a bus stop."""
    height = float(rng.uniform(2.4, 3.0))
    parts = [_pole(height, (0.08, 0.08)), box((0, 0.28, height - 0.3), (0.04, 0.5, 0.55), Material.SIGN)]
    parts.append(box((0, 0.05, 1.4), (0.06, 0.45, 0.7), Material.PLASTIC))
    return join(parts)


def advertising_column(rng: np.random.Generator) -> Mesh:
    """Return a thick round column or a lit poster on a foot."""
    angle = 2 * np.pi * np.arange(12) / 12
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    colour = any_colour(rng)
    if rng.random() < 0.5:
        radius, height = float(rng.uniform(0.45, 0.7)), float(rng.uniform(2.4, 3.4))
        column = prism(circle * radius, (-0.2, height), Material.PLASTER, colour)
        return join([column, prism(circle * (radius + 0.12), (height, height + 0.25), Material.METAL)])
    wide, tall = float(rng.uniform(0.8, 1.3)), float(rng.uniform(1.5, 2.0))
    foot = box((0, 0, 0.3), (0.25, wide * 0.5, 0.7), Material.METAL)
    return join([box((0, 0, 0.6 + tall / 2), (0.18, wide, tall), Material.PLASTIC, colour=colour), foot])
