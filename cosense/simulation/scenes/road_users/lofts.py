"""Shapes that bodies are made of: skins over cross-sections, panels, tubes and wheels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join, prism

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


def skin(
    rings: NDArray[np.float64],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
    keep: NDArray[np.bool_] | None = None,
    ends: bool = True,
) -> Mesh:
    """Return the skin over S closed cross-sections (S,R,3), in order of x, of R corners each.

    Corners go counter-clockwise seen from the front. Cell (s, r) lies between sections s and s + 1, corners r
    and r + 1.

    Args:
        rings: corners in metres.
        material, colour, reflectance: see `Mesh`.
        keep: (S-1,R) cells that exist, all if None.
        ends: whether the first and the last section are closed.
    """
    sections, n = rings.shape[:2]
    s, r = np.nonzero(np.ones((sections - 1, n), bool) if keep is None else keep)
    a, b = s * n + r, s * n + (r + 1) % n
    faces = [np.column_stack([a, b, b + n]), np.column_stack([a, b + n, a + n])]
    if ends:
        faces += [_fan(n)[:, ::-1], _fan(n) + (sections - 1) * n]
    return Mesh.of(rings.reshape(-1, 3), np.concatenate(faces), material, colour, reflectance)


def mirrored(half: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return closed sections (S,2k-2,3) of their left halves (S,k,3), from the middle below to that above."""
    return np.concatenate([half, half[:, -2:0:-1] * [1, -1, 1]], axis=1)


def panels(
    corners: ArrayLike, material: Material, colour: Colour | None = None, reflectance: float | None = None
) -> Mesh:
    """Return flat pieces of four corners each, (n,4,3) or (4,3) in metres."""
    places = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 3)
    first = 4 * np.arange(len(places))[:, None]
    faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
    return Mesh.of(places.reshape(-1, 3), faces, material, colour, reflectance)


def upright(x: float, y: tuple[float, float], z: tuple[float, float]) -> list[tuple[float, float, float]]:
    """Return the corners of a rectangle across the heading, for `panels`."""
    return [(x, y[0], z[0]), (x, y[1], z[0]), (x, y[1], z[1]), (x, y[0], z[1])]


def level(x: tuple[float, float], y: tuple[float, float], z: float) -> list[tuple[float, float, float]]:
    """Return the corners of a horizontal rectangle, for `panels`."""
    return [(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)]


def span(one: float, other: float) -> tuple[float, float]:
    """Return two numbers in order, as limits for `block`, `level` and `upright`."""
    return (one, other) if one < other else (other, one)


def sides(outline: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Return two sections of a `skin`, at -half and half in y, whose side view (n,2) is given in x and z."""
    return np.stack(
        [np.column_stack([outline[:, 0], np.full(len(outline), y), outline[:, 1]]) for y in (-half, half)]
    )


def block(
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return a box given by its limits in metres."""
    outline = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
    return prism(outline, z, material, colour, reflectance)


def tubes(
    pieces: Sequence[tuple[ArrayLike, ArrayLike, float, float]],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
    corners: int = 5,
) -> Mesh:
    """Return straight tubes without ends, each from one point to another with a radius at both."""
    start = np.array([piece[0] for piece in pieces], dtype=np.float64)
    end = np.array([piece[1] for piece in pieces], dtype=np.float64)
    radius = np.array([piece[2:] for piece in pieces], dtype=np.float64)
    along = end - start
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    # Any direction that is not the tube's own serves to find two across it.
    other = np.where(np.abs(along[:, 2:]) < 0.8, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    one = np.cross(along, other)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    two = np.cross(along, one)
    angle = 2 * np.pi * np.arange(corners) / corners
    ring = np.cos(angle)[:, None] * one[:, None] + np.sin(angle)[:, None] * two[:, None]
    places = np.stack(
        [
            start[:, None] + radius[:, :1, None] * ring,
            end[:, None] + radius[:, 1:, None] * ring,
        ],
        axis=1,
    )
    i = np.arange(corners)
    j = (i + 1) % corners
    wall = np.concatenate(
        [np.column_stack([i, j, corners + j]), np.column_stack([i, corners + j, corners + i])]
    )
    first = 2 * corners * np.arange(len(start))
    return Mesh.of(
        places.reshape(-1, 3), (wall + first[:, None, None]).reshape(-1, 3), material, colour, reflectance
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
    i = np.arange(corners)
    j = (i + 1) % corners
    tread = np.concatenate(
        [np.column_stack([i, j, corners + j]), np.column_stack([i, corners + j, corners + i])]
    )
    rows = np.arange(len(middle))[:, None, None]
    faces = np.concatenate([tread, _fan(corners)]) + rows * 2 * corners
    discs = _fan(len(rim)) + rows * len(rim)
    return join(
        [
            Mesh.of(tyres, faces, Material.RUBBER, _TYRE),
            # Rims stand out by some millimetres, so that rays meet them first.
            Mesh.of(middle + rim + 0.004 * side, discs, Material.METAL, _RIM),
        ]
    )


def _fan(corners: int) -> NDArray[np.int64]:
    """Return the triangles of a convex polygon."""
    i = np.arange(1, corners - 1)
    return np.column_stack([np.zeros(corners - 2, dtype=np.int64), i, i + 1])
