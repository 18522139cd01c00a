"""Upright boxes, cylinders and ellipsoids as builders of scenes describe them, and the meshes they become."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, box, cylinder, ellipsoid, leaves

_LEAF_M = (0.15, 0.35)
# Mean area that a leaf shows to a ray in square metres: half of that of a triangle (Cauchy).
_SHADE_M2 = 0.0135


class Shape(IntEnum):
    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


@dataclass(frozen=True)
class Solid:
    """One solid; `size` is its extent, `free_path_m` the mean way of a ray into foliage, else 0."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    yaw: float = 0.0
    shape: Shape = Shape.BOX
    free_path_m: float = 0.0
    colour: tuple[float, float, float] | None = None


def meshes(solids: Iterable[Solid]) -> tuple[Mesh, ...]:
    """Return a mesh for each solid."""
    return tuple(_mesh(solid) for solid in solids)


def _mesh(solid: Solid) -> Mesh:
    if solid.free_path_m > 0:
        return _foliage(solid)
    if solid.shape == Shape.BOX:
        return box(solid.centre, solid.size, solid.material, solid.yaw, solid.colour)
    if solid.shape == Shape.CYLINDER:
        return cylinder(solid.centre, solid.size, solid.material, solid.colour)
    return ellipsoid(solid.centre, solid.size, solid.material, solid.yaw, solid.colour)


def _foliage(solid: Solid) -> Mesh:
    rng = np.random.default_rng(np.abs(np.array(solid.centre) * 1e3).astype(np.int64))
    count = min(round(float(np.prod(solid.size)) / (solid.free_path_m * _SHADE_M2)), 6000)
    middles = rng.uniform(-0.5, 0.5, (count, 3))
    if solid.shape == Shape.ELLIPSOID:
        middles = middles[np.linalg.norm(middles, axis=1) < 0.5]
    mesh = leaves(middles * solid.size, _LEAF_M, solid.material, rng, solid.colour)
    return mesh.at(solid.centre[0], solid.centre[1], solid.yaw, solid.centre[2])
