"""The shapes that builders of a scene use: each returns a mesh of one material."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh

Triple = tuple[float, float, float]

# Corners of a cylinder and rows of an ellipsoid: enough for one seen from some metres.
_AROUND, _ROWS = 10, 6
_CUBE = np.array(
    [[x, y, z] for z in (-0.5, 0.5) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
)
_CUBE_FACES = np.array(
    [
        *([0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4]),
        *([1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]),
    ]
)


@cache
def fan(corners: int) -> NDArray[np.int32]:
    """Return the triangles (corners-2,3) of a convex polygon, read-only."""
    i = np.arange(1, corners - 1, dtype=np.int32)
    return _fixed(np.column_stack([np.zeros_like(i), i, i + 1]))


@cache
def skin_faces(sections: int, corners: int, ends: bool) -> NDArray[np.int32]:
    """Return the triangles of a whole `skin`, read-only: first one of each cell, second ones, ends."""
    s, r = np.divmod(np.arange((sections - 1) * corners, dtype=np.int32), np.int32(corners))
    a, b = s * corners + r, s * corners + (r + 1) % corners
    faces = [np.column_stack([a, b, b + corners]), np.column_stack([a, b + corners, a + corners])]
    if ends:
        faces += [fan(corners)[:, ::-1], fan(corners) + (sections - 1) * corners]
    return _fixed(np.concatenate(faces).astype(np.int32))


def _fixed(faces: NDArray[np.int32]) -> NDArray[np.int32]:
    faces.setflags(write=False)
    return faces


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cross products (...,3) of vectors, for a few of them much faster than NumPy does."""
    x, y, z = (a[..., axis] for axis in range(3))
    u, v, w = (b[..., axis] for axis in range(3))
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def skin(
    rings: NDArray[np.float64],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
    keep: NDArray[np.bool_] | None = None,
    ends: bool = True,
) -> Mesh:
    """Return the skin over S closed cross-sections (S,R,3), in order, of R corners each.

    Corners go counter-clockwise seen from the last section. Cell (s, r) lies between sections s and s + 1,
    corners r and r + 1.

    Args:
        rings: corners in metres.
        material, colour, reflectance: see `Mesh`.
        keep: (S-1,R) cells that exist, all if None.
        ends: whether the first and the last section are closed.
    """
    faces = skin_faces(*rings.shape[:2], ends)
    if keep is not None:
        of_ends = np.ones(len(faces) - 2 * keep.size, dtype=bool)
        faces = faces[np.concatenate([keep.ravel(), keep.ravel(), of_ends])]
    return Mesh.of(rings.reshape(-1, 3), faces, material, colour, reflectance)


def prism(
    outline: Sequence[tuple[float, float]] | NDArray,
    z: tuple[float, float],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return the upright prism above a convex outline (n,2), counter-clockwise, from z[0] to z[1]."""
    corners = np.asarray(outline, dtype=np.float64)
    rings = np.empty((2, len(corners), 3))
    rings[..., :2] = corners
    rings[..., 2] = np.reshape(z, (2, 1))
    return skin(rings, material, colour, reflectance)


def profile(
    outline: Sequence[tuple[float, float]] | NDArray,
    width_m: float | Sequence[float],
    material: Material,
    colour: Colour | None = None,
) -> Mesh:
    """Return the body whose side view is a convex outline, symmetric about y = 0.

    Args:
        outline: (n,2) x and z of its corners, counter-clockwise seen from the right (-y): x forward, z up.
        width_m: extent in y, one number or one for each corner (a cabin is narrower at its roof).
        material, colour: see `Mesh`.
    """
    x, z = np.asarray(outline, dtype=np.float64).T
    half = np.broadcast_to(np.asarray(width_m, dtype=np.float64) / 2, len(x))
    rings = np.stack([np.column_stack([x, y, z]) for y in (half, -half)])
    return skin(rings, material, colour)


def box(
    centre: Triple,
    size: Triple,
    material: Material,
    yaw: float = 0.0,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return a box with its middle at `centre` and extents `size`, turned by a yaw in radians."""
    x, y, z = np.asarray(size) / 2
    outline = [(-x, -y), (x, -y), (x, y), (-x, y)]
    return prism(outline, (-z, z), material, colour, reflectance).at(centre[0], centre[1], yaw, centre[2])


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


def boxes(
    centres: NDArray[np.float64],
    sizes: NDArray[np.float64] | Triple,
    material: Material,
    yaw: NDArray[np.float64] | float = 0.0,
    colour: Colour | NDArray[np.float64] | None = None,
) -> Mesh:
    """Return n boxes with middles (n,3), extents and yaws that are common or (n,...), colours likewise."""
    middle = np.asarray(centres, dtype=np.float64).reshape(-1, 3)
    n = len(middle)
    corner = _CUBE * np.broadcast_to(np.asarray(sizes, dtype=np.float64), (n, 3))[:, None]
    cos, sin = (np.broadcast_to(f(yaw), n)[:, None] for f in (np.cos, np.sin))
    x = corner[..., 0] * cos - corner[..., 1] * sin
    y = corner[..., 0] * sin + corner[..., 1] * cos
    places = np.stack([x, y, corner[..., 2]], axis=2) + middle[:, None]
    faces = _CUBE_FACES + 8 * np.arange(n)[:, None, None]
    made = Mesh.of(places, faces, material)
    if colour is None:
        return made
    each = np.broadcast_to(np.asarray(colour, dtype=np.float32), (n, 3))
    return replace(made, colour=np.repeat(each, 12, axis=0))


def cylinder(centre: Triple, size: Triple, material: Material) -> Mesh:
    """Return an upright cylinder, elliptic where the extents `size` in x and y differ."""
    outline = _circle() * np.asarray(size[:2]) / 2
    return prism(outline, (-size[2] / 2, size[2] / 2), material).at(centre[0], centre[1], 0.0, centre[2])


def ellipsoid(centre: Triple, size: Triple, material: Material, colour: Colour | None = None) -> Mesh:
    """Return an ellipsoid with extents `size`, flattened at its poles."""
    polar = np.pi * (np.arange(_ROWS)[::-1, None, None] + 0.5) / _ROWS
    level = np.broadcast_to(np.cos(polar), (_ROWS, _AROUND, 1))
    rings = np.concatenate([np.sin(polar) * _circle(), level], axis=2) * (np.asarray(size) / 2)
    return skin(rings, material, colour).at(centre[0], centre[1], 0.0, centre[2])


def _circle() -> NDArray[np.float64]:
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    return np.column_stack([np.cos(angle), np.sin(angle)])


def quads(
    corners: ArrayLike,
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return n flat four-cornered faces, (n,4,3) or (4,3) in metres, counter-clockwise seen from outside."""
    places = np.asarray(corners, dtype=np.float64).reshape(-1, 4, 3)
    faces = np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(len(places))[:, None, None]
    return Mesh.of(places, faces, material, colour, reflectance)


def tube(
    line: NDArray[np.float64] | Sequence[Triple],
    radius_m: float | Sequence[float] | NDArray[np.float64],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
    around: int = 6,
) -> Mesh:
    """Return a tube of `around` sides along a polyline (n,3), with one radius or one for each point."""
    points = np.asarray(line, dtype=np.float64)
    radii = np.broadcast_to(np.asarray(radius_m, dtype=np.float64), len(points))
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = _cross(along, np.eye(3)[np.abs(points[-1] - points[0]).argmin()])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.cos(angle)[:, None] * aside[:, None] + np.sin(angle)[:, None] * _cross(along, aside)[:, None]
    return skin(points[:, None] + ring * radii[:, None, None], material, colour, reflectance)


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
    one = _cross(along, other)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    two = _cross(along, one)
    angle = 2 * np.pi * np.arange(corners) / corners
    ring = np.cos(angle)[:, None] * one[:, None] + np.sin(angle)[:, None] * two[:, None]
    places = np.stack(
        [
            start[:, None] + radius[:, :1, None] * ring,
            end[:, None] + radius[:, 1:, None] * ring,
        ],
        axis=1,
    )
    first = 2 * corners * np.arange(len(start))[:, None, None]
    faces = skin_faces(2, corners, ends=False) + first
    return Mesh.of(places.reshape(-1, 3), faces, material, colour, reflectance)


def leaves(
    middles: NDArray[np.float64],
    size_m: tuple[float, float],
    material: Material,
    rng: np.random.Generator,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return one loose triangle at each of `middles` (n,3), turned at random: what foliage is to a ray.

    Args:
        middles: places of the leaves in metres.
        size_m: smallest and largest edge of a triangle.
        material, colour, reflectance: see `Mesh`.
        rng: draws sizes and directions.
    """
    n = len(middles)
    corner = rng.normal(size=(n, 3, 3))
    corner -= corner.mean(axis=1, keepdims=True)
    edge = np.linalg.norm(corner - np.roll(corner, 1, axis=1), axis=2).mean(axis=1)
    corner *= (rng.uniform(*size_m, n) / edge)[:, None, None]
    places = (np.asarray(middles)[:, None] + corner).reshape(-1, 3)
    return Mesh.of(places, np.arange(3 * n), material, colour, reflectance)
