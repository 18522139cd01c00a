"""The solids that a scene is made of, as arrays: upright boxes, cylinders and ellipsoids.

A solid may be porous (foliage): a ray then flies a random way into it before it meets a leaf, or passes.
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
    """P solids, turned only about the vertical.

    Attributes:
        centre: (P,3) metres.
        half: (P,3) half extents in metres; a cylinder's axis is z.
        yaw: (P,) radians.
        shape: (P,) values of `Shape`.
        free_path_m: (P,) mean way of a ray inside before it hits; 0 for a solid.
        material: (P,) values of `Material`.
        colour: (P,3) albedo, 0..1.
        reflectance: (P,) for the LiDAR.
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
    """One solid, as scenes and bodies are described; see `Primitives`."""

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    yaw: float = 0.0
    shape: Shape = Shape.BOX
    free_path_m: float = 0.0
    colour: tuple[float, float, float] | None = None


def gather(solids: Sequence[Solid]) -> Primitives:
    """Turn a list of solids into arrays that belong to the surroundings."""
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
    """Join several sets of solids, in order."""
    return Primitives(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Primitives))
    )


def place(parts: Primitives, poses: NDArray[np.float64]) -> Primitives:
    """Move solids given in their owners' frames to where the owners are.

    Args:
        parts: `owner` is a row of `poses`; the frame of an owner lies on the ground under its centre.
        poses: (A,4) x, y, z, yaw.
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
