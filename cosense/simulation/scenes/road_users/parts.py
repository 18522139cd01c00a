"""What bodies are put together from: rectangles, cross-sections and wheels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.shapes import fan, skin_faces

_TYRE: Colour = (0.05, 0.05, 0.055)
_RIM: Colour = (0.45, 0.46, 0.48)


class Built(NamedTuple):
    """What a builder hands over, in a frame of its own: x forward, z up.

    Attributes:
        size: length, width and height in metres to which the hull is stretched; None keeps its extent.
        hull: what the label box encloses.
        outside: what annotators leave out of the box: mirrors, a dog, a pram that is pushed.
    """

    size: tuple[float, float, float] | None
    hull: Mesh
    outside: Mesh | None = None


def mirrored(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return closed sections (S,2k-2,3) of their left halves (S,k,3), from the middle below to that above."""
    return np.concatenate([half, half[:, -2:0:-1] * [1, -1, 1]], axis=1)


def upright(x: float, y: tuple[float, float], z: tuple[float, float]) -> list[tuple[float, float, float]]:
    """Return the corners of a rectangle across the heading, for `quads`."""
    return [(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])]


def level(x: tuple[float, float], y: tuple[float, float], z: float) -> list[tuple[float, float, float]]:
    """Return the corners of a horizontal rectangle, for `quads`."""
    return [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]


def span(one: float, other: float) -> tuple[float, float]:
    """Return two numbers in order, as limits for `block`, `level` and `upright`."""
    return (one, other) if one < other else (other, one)


def sides(outline: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Return two sections of a `skin`, at -half and half in y, whose side view (n,2) is given in x and z."""
    return np.stack(
        [np.column_stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]]) for y in (-half, half)]
    )


def wheels(places: Sequence[tuple[float, float]], radius: float, width: float, corners: int = 8) -> Mesh:
    """Return wheels that stand on the ground, with a rim on their outer side.

    Args:
        places: x of the axle and y of the outer side of each wheel.
        radius, width: in metres.
        corners: of the tread.
    """
    angle = 2 * np.pi * (np.arange(corners) + 0.5) / corners
    circle = np.column_stack([np.cos(angle), np.zeros(corners), np.sin(angle)]) * radius
    # A polygon is as high as its corners reach: the lowest two stand on the ground.
    circle *= 1 / np.abs(np.sin(angle)).max()
    rim = circle[::2] * 0.62
    middle = np.array([(x, y, radius) for x, y in places])[:, None]
    side = np.sign(middle[..., 1:2]) * [0.0, 1.0, 0.0]
    outer = middle + circle
    tyres = np.concatenate([outer, outer - side * width], axis=1)
    rows = np.arange(len(middle))[:, None, None]
    faces = np.concatenate([skin_faces(2, corners, ends=False), fan(corners)]) + rows * 2 * corners
    discs = fan(len(rim)) + rows * len(rim)
    return join(
        [
            Mesh.of(tyres, faces, Material.RUBBER, _TYRE),
            # Rims stand out by some millimetres, so that rays meet them first.
            Mesh.of(middle + rim + 0.004 * side, discs, Material.METAL, _RIM),
        ]
    )
