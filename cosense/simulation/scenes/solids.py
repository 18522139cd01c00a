"""The solids that a scene consists of, as arrays: upright boxes, cylinders and ellipsoids.

A solid may be porous (foliage): a ray then travels a random distance inside before it hits a leaf, or passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import ALBEDO, REFLECTANCE, Material

STATIC = -1


class Shape(IntEnum):
    BOX = 0
    CYLINDER = 1
    ELLIPSOID = 2


@dataclass(frozen=True)
class Primitives:
    """P solids, rotated only about the vertical.

    Attributes:
        centre: (P,3) centres in metres.
        half: (P,3) half extents in metres; the axis of a cylinder is z.
        yaw: (P,) rotation about +z in radians.
        shape: (P,) values of `Shape`.
        free_path_m: (P,) mean distance that a ray travels inside before it hits; 0 if it is not porous.
        material: (P,) values of `Material`.
        colour: (P,3) albedo, 0..1.
        reflectance: (P,) reflectance at the wavelength of the LiDAR.
        owner: (P,) row of the actor that the solid belongs to, `STATIC` for the surroundings.
    """

    centre: NDArray[np.float32]
    half: NDArray[np.float32]
    yaw: NDArray[np.float32]
    shape: NDArray[np.int64]
    free_path_m: NDArray[np.float32]
    material: NDArray[np.int64]
    colour: NDArray[np.float32]
    reflectance: NDArray[np.float32]
    owner: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.yaw)

    def __getitem__(self, index: NDArray) -> Primitives:
        """Return the solids that a mask or an index array selects."""
        return Primitives(*(getattr(self, field.name)[index] for field in fields(Primitives)))


@dataclass(frozen=True)
class Solid:
    """One solid, as builders of scenes and bodies describe it (see `Primitives`); `size` is its extent."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    yaw: float = 0.0
    shape: Shape = Shape.BOX
    free_path_m: float = 0.0
    colour: tuple[float, float, float] | None = None


def gather(solids: Sequence[Solid]) -> Primitives:
    """Return solids as arrays, owned by the surroundings."""
    colours = [ALBEDO[s.material] if s.colour is None else s.colour for s in solids]
    return Primitives(
        centre=np.array([s.centre for s in solids], dtype=np.float32).reshape(-1, 3),
        half=np.array([s.size for s in solids], dtype=np.float32).reshape(-1, 3) / np.float32(2),
        yaw=np.array([s.yaw for s in solids], dtype=np.float32),
        shape=np.array([s.shape for s in solids], dtype=np.int64),
        free_path_m=np.array([s.free_path_m for s in solids], dtype=np.float32),
        material=np.array([s.material for s in solids], dtype=np.int64),
        colour=np.array(colours, dtype=np.float32).reshape(-1, 3),
        reflectance=np.array([REFLECTANCE[s.material] for s in solids], dtype=np.float32),
        owner=np.full(len(solids), STATIC, dtype=np.int64),
    )


def concatenate(parts: Sequence[Primitives]) -> Primitives:
    """Join several sets of solids in order."""
    return Primitives(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Primitives))
    )


def place(parts: Primitives, poses: NDArray[np.float64]) -> Primitives:
    """Return the solids of bodies at the poses of their owners.

    Args:
        parts: solids in the frames of their owners, which lie on the ground under their centres; `owner` is a
            row of `poses`.
        poses: (A,4) poses of the owners: x, y, z, yaw.
    """
    pose = poses[parts.owner]
    cos, sin = np.cos(pose[:, 3]), np.sin(pose[:, 3])
    x, y, z = parts.centre.T.astype(np.float64)
    centre = np.column_stack([x * cos - y * sin, x * sin + y * cos, z]) + pose[:, :3]
    return Primitives(
        centre=centre.astype(np.float32),
        half=parts.half,
        yaw=(parts.yaw + pose[:, 3]).astype(np.float32),
        shape=parts.shape,
        free_path_m=parts.free_path_m,
        material=parts.material,
        colour=parts.colour,
        reflectance=parts.reflectance,
        owner=parts.owner,
    )
