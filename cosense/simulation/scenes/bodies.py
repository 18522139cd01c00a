"""Bodies of road users: a few solids with the label box as their tight hull, and a front unlike the rear.

Sizes have the spread of everyday traffic. The origin of a body lies on the ground under the centre of its
box, with x along the heading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.solids import Shape, Solid, meshes

# Mean and standard deviation of length, width and height, and the limits of the length, all in metres.
_SIZES = {
    ObjectClass.CAR: ((4.55, 0.30), (1.85, 0.06), (1.55, 0.10), (3.6, 5.2)),
    ObjectClass.VAN: ((5.10, 0.30), (1.98, 0.06), (2.05, 0.15), (4.6, 6.0)),
    ObjectClass.TRUCK: ((8.00, 1.20), (2.45, 0.08), (3.15, 0.25), (6.0, 10.5)),
    ObjectClass.BUS: ((11.60, 0.45), (2.54, 0.02), (3.15, 0.10), (10.5, 12.4)),
    ObjectClass.CYCLIST: ((1.78, 0.06), (0.65, 0.04), (1.70, 0.07), (1.6, 1.95)),
    ObjectClass.PEDESTRIAN: ((0.60, 0.08), (0.56, 0.05), (1.70, 0.10), (0.4, 0.85)),
}
_PAINTS = (
    (0.85, 0.85, 0.86),
    (0.10, 0.10, 0.11),
    (0.55, 0.56, 0.58),
    (0.62, 0.10, 0.09),
    (0.11, 0.20, 0.48),
    (0.33, 0.36, 0.39),
    (0.75, 0.68, 0.20),
    (0.14, 0.35, 0.24),
)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Body:
    """The shape of a road user.

    Attributes:
        label: class of the road user.
        size: length, width and height of the label box in metres.
        mesh: its surface in the frame of the body.
    """

    label: ObjectClass
    size: tuple[float, float, float]
    mesh: Mesh


def make_body(label: ObjectClass, rng: np.random.Generator) -> Body:
    """Draw size, build and colour of a road user; traffic has six of the classes.

    Raises:
        KeyError: traffic does not have this class.
    """
    spreads = _SIZES[label]
    length, width, height = (
        float(np.clip(rng.normal(mean, spread), mean - 2.5 * spread, mean + 2.5 * spread))
        for mean, spread in spreads[:3]
    )
    length = float(np.clip(length, *spreads[3]))
    paint = _PAINTS[rng.integers(len(_PAINTS))]
    build = {
        ObjectClass.CAR: _car,
        ObjectClass.VAN: _van,
        ObjectClass.TRUCK: _truck,
        ObjectClass.BUS: _bus,
        ObjectClass.CYCLIST: _cyclist,
        ObjectClass.PEDESTRIAN: _pedestrian,
    }[label]
    return Body(label, (length, width, height), join(meshes(build(length, width, height, paint, rng))))


def _block(
    x: tuple[float, float],
    width: float,
    z: tuple[float, float],
    material: Material,
    colour: Colour | None = None,
) -> Solid:
    """Return a box that reaches from x[0] to x[1] and from z[0] to z[1], and is centred in y."""
    return Solid(
        ((x[0] + x[1]) / 2, 0.0, (z[0] + z[1]) / 2),
        (x[1] - x[0], width, z[1] - z[0]),
        material,
        colour=colour,
    )


def _wheels(length: float, width: float, radius: float, at: tuple[float, ...]) -> list[Solid]:
    """Return axles with their wheels, each axle as one block of the vehicle's width."""
    return [
        _block((a * length - radius, a * length + radius), width, (0.0, 2 * radius), Material.RUBBER)
        for a in at
    ]


def _car(length: float, width: float, height: float, paint: Colour, rng: np.random.Generator) -> list[Solid]:
    """Return body, hood and cabin; the cabin of a hatchback reaches the tail, that of a saloon does not."""
    rear = -0.5 if rng.random() < 0.5 else rng.uniform(-0.40, -0.33)
    front = rng.uniform(0.16, 0.24)
    belt = height * rng.uniform(0.56, 0.64)
    hood = belt * rng.uniform(0.88, 1.0)
    roof_rear, roof_front = rear + rng.uniform(0.03, 0.08), front - rng.uniform(0.08, 0.14)
    return [
        _block((-length / 2, front * length), width, (0.18, belt), Material.PAINT, paint),
        _block((front * length, length / 2), width * 0.97, (0.22, hood), Material.PAINT, paint),
        _block((rear * length, front * length), width * 0.88, (belt, height * 0.88), Material.GLASS),
        _block(
            (roof_rear * length, roof_front * length),
            width * 0.80,
            (belt, height),
            Material.PAINT,
            paint,
        ),
        *_wheels(length, width, 0.32, (-0.29, 0.30)),
    ]


def _van(length: float, width: float, height: float, paint: Colour, rng: np.random.Generator) -> list[Solid]:
    front = rng.uniform(0.28, 0.38)
    belt = height * rng.uniform(0.50, 0.56)
    return [
        _block((-length / 2, length / 2), width, (0.22, belt), Material.PAINT, paint),
        _block((-length / 2, front * length - 0.35), width * 0.95, (belt, height), Material.PAINT, paint),
        _block((front * length - 0.35, front * length), width * 0.9, (belt, height * 0.86), Material.GLASS),
        *_wheels(length, width, 0.34, (-0.30, 0.32)),
    ]


def _truck(
    length: float, width: float, height: float, paint: Colour, rng: np.random.Generator
) -> list[Solid]:
    cab = length / 2 - rng.uniform(1.7, 2.2)
    cab_top = height * rng.uniform(0.78, 0.95)
    cargo: Colour = (0.80, 0.80, 0.78) if rng.random() < 0.6 else paint
    solids = [
        _block((cab, length / 2), width * 0.95, (0.40, cab_top * 0.55), Material.PAINT, paint),
        _block((cab, length / 2 - 0.08), width * 0.92, (cab_top * 0.55, cab_top * 0.88), Material.GLASS),
        _block((cab, length / 2 - 0.25), width * 0.92, (cab_top * 0.88, cab_top), Material.PAINT, paint),
        _block((-length / 2, cab), width * 0.5, (0.55, 0.95), Material.METAL),
        *_wheels(length, width * 0.96, 0.48, (-0.28, 0.36)),
    ]
    if rng.random() < 0.75:
        return [*solids, _block((-length / 2, cab - 0.25), width, (0.95, height), Material.PAINT, cargo)]
    # A flat bed with a load, which is the highest part.
    load = rng.uniform(-0.35, 0.05) * length
    return [
        *solids,
        _block((-length / 2, cab - 0.25), width, (0.95, 1.55), Material.METAL),
        _block((-0.46 * length, load), width * 0.85, (1.55, height), Material.PAINT, cargo),
    ]


def _bus(length: float, width: float, height: float, paint: Colour, rng: np.random.Generator) -> list[Solid]:
    belt = rng.uniform(1.05, 1.3)
    return [
        _block((-length / 2, length / 2), width, (0.30, belt), Material.PAINT, paint),
        _block((-length / 2 + 0.05, length / 2 - 0.05), width * 0.98, (belt, 2.5), Material.GLASS),
        _block((-length / 2, length / 2 - 0.15), width, (2.5, height - 0.2), Material.PAINT, paint),
        _block((-0.40 * length, -0.05 * length), width * 0.7, (height - 0.2, height), Material.METAL),
        *_wheels(length, width * 0.96, 0.48, (-0.25, 0.28)),
    ]


def _cyclist(
    length: float, width: float, height: float, paint: Colour, rng: np.random.Generator
) -> list[Solid]:
    lean = rng.uniform(-0.05, 0.1)
    return [
        _block((-length / 2, length / 2), 0.10, (0.0, 0.68), Material.METAL, paint),
        _block((0.42, 0.50), width, (0.92, 1.06), Material.METAL, paint),
        _block((-0.25, 0.22), 0.34, (0.45, 0.95), Material.CLOTH),
        _block((-0.22 + lean, 0.18 + lean), 0.44, (0.95, height - 0.25), Material.CLOTH, paint),
        Solid(
            (lean + 0.08, 0.0, height - 0.14),
            (0.24, 0.20, 0.28),
            Material.CLOTH,
            shape=Shape.CYLINDER,
            colour=(0.55, 0.40, 0.32),
        ),
    ]


def _pedestrian(
    length: float, width: float, height: float, paint: Colour, rng: np.random.Generator
) -> list[Solid]:
    stride = length / 2
    trousers: Colour = (0.18, 0.19, 0.26) if rng.random() < 0.6 else (0.45, 0.40, 0.33)
    hip = 0.47 * height
    side = width * 0.16
    return [
        Solid((stride / 2, side, hip / 2), (stride, 0.17, hip), Material.CLOTH, colour=trousers),
        Solid((-stride / 2, -side, hip / 2), (stride, 0.17, hip), Material.CLOTH, colour=trousers),
        _block((-0.13, 0.13), width, (hip, height - 0.24), Material.CLOTH, paint),
        Solid(
            (0.02, 0.0, height - 0.12),
            (0.20, 0.18, 0.24),
            Material.CLOTH,
            shape=Shape.CYLINDER,
            colour=(0.58, 0.42, 0.33),
        ),
    ]
