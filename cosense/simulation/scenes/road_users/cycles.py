"""Bicycles, motor scooters, motorcycles and kick scooters without their riders.

The origin lies on the ground under the middle, with x forward.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.paints import paint
from cosense.simulation.scenes.road_users.parts import sides, upright, wheels
from cosense.simulation.scenes.shapes import block, quads, skin, tubes

_STEEL: Colour = (0.45, 0.46, 0.48)
_BLACK: Colour = (0.05, 0.05, 0.055)


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
    middle, side = np.array([x, y, radius]), np.array([0.0, thick / 2, 0.0])
    tread = np.stack([circle * radius + middle - side, circle * radius + middle + side])
    wall = np.stack([circle * radius + middle, circle * (radius - 0.05) + middle])
    return join(
        [
            skin(tread, Material.RUBBER, _BLACK, ends=False),
            skin(wall, Material.RUBBER, _BLACK, 0.12, ends=False),
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
        quads(shield, Material.PAINT, colour, bright),
        skin(sides(rear, half), Material.PAINT, colour, bright),
        block((-0.1, 0.42), (-0.15, 0.15), (0.22, 0.30), Material.PAINT, colour, bright),
        tubes(forks, Material.METAL, _BLACK, 0.12, corners=4),
        wheels([(-0.55, 0.06), (0.62, 0.06)], 0.24, 0.12),
        quads([upright(-0.81, (-0.10, 0.10), (0.50, 0.64))], Material.SIGN, (0.9, 0.9, 0.86), 2.0),
    ]
    if rng.random() < 0.3:
        parts.append(block((-0.98, -0.58), (-0.22, 0.22), (0.84, 1.24), Material.PAINT, *paint(rng)))
    if rng.random() < 0.3:
        parts.append(
            quads(
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
        quads([upright(-0.92, (-0.10, 0.10), (0.58, 0.72))], Material.SIGN, (0.9, 0.9, 0.86), 2.0),
    ]
    if rng.random() < 0.25:
        parts += [
            block(
                (-0.95, -0.45), (s * 0.30 - 0.13, s * 0.30 + 0.13), (0.45, 0.82), Material.PAINT, _BLACK, 0.08
            )
            for s in (-1, 1)
        ]
    return join(parts)


def _leaning(mesh: Mesh, angle: float) -> Mesh:
    """Return a thing that leans to its left by an angle in radians, its middle above the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    return mesh.placed(np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1.0]]))
