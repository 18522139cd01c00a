"""What a scene consists of: triangles, each with its material."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.simulation.scenes.materials import ALBEDO, REFLECTANCE, Material

STATIC = -1

Colour = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Mesh:
    """V vertices and F triangles; both sides of a triangle can be seen.

    Attributes:
        vertices: (V,3) places in metres.
        local: (V,3) places in the frame in which the thing was built; they stay when it is placed, so that a
            texture drawn there moves along.
        faces: (F,3) int32, rows of `vertices`, counter-clockwise seen from outside.
        material: (F,) uint8, values of `Material`.
        colour: (F,3) float32 albedo, 0..1.
        reflectance: (F,) float32 reflectance at the wavelength of the LiDAR.
        owner: (F,) int32 row of the actor that the triangle belongs to, `STATIC` for the surroundings.
    """

    vertices: NDArray[np.float32]
    local: NDArray[np.float32]
    faces: NDArray[np.int32]
    material: NDArray[np.uint8]
    colour: NDArray[np.float32]
    reflectance: NDArray[np.float32]
    owner: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        vertices: NDArray,
        faces: NDArray,
        material: Material,
        colour: Colour | None = None,
        reflectance: float | None = None,
    ) -> Mesh:
        """Return triangles (F,3) of vertices (V,3), all of one material, owned by the surroundings."""
        places = np.asarray(vertices, dtype=np.float32).reshape(-1, 3)
        rows = np.asarray(faces, dtype=np.int32).reshape(-1, 3)
        albedo = ALBEDO[material] if colour is None else colour
        bright = REFLECTANCE[material] if reflectance is None else reflectance
        return cls(
            vertices=places,
            local=places,
            faces=rows,
            material=np.full(len(rows), material, dtype=np.uint8),
            colour=np.full((len(rows), 3), albedo, dtype=np.float32),
            reflectance=np.full(len(rows), bright, dtype=np.float32),
            owner=np.full(len(rows), STATIC, dtype=np.int32),
        )

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, triangles: NDArray[np.bool_]) -> Mesh:
        """Return the triangles that a mask (F,) selects."""
        return replace(
            self,
            faces=self.faces[triangles],
            material=self.material[triangles],
            colour=self.colour[triangles],
            reflectance=self.reflectance[triangles],
            owner=self.owner[triangles],
        )

    def placed(self, T_scene_mesh: Matrix) -> Mesh:
        """Return the mesh at a pose (4,4)."""
        turned = self.vertices @ T_scene_mesh[:3, :3].T.astype(np.float32)
        return replace(self, vertices=turned + T_scene_mesh[:3, 3].astype(np.float32))

    def at(self, x: float, y: float, yaw: float = 0.0, z: float = 0.0) -> Mesh:
        """Return the mesh turned by a yaw in radians and moved to a place in metres."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        return self.placed(np.array([[cos, -sin, 0, x], [sin, cos, 0, y], [0, 0, 1, z], [0, 0, 0, 1]]))

    def owned_by(self, row: int) -> Mesh:
        """Return the mesh as part of an actor."""
        return replace(self, owner=np.full(len(self), row, dtype=np.int32))

    @property
    def middle(self) -> NDArray[np.float64]:
        """(2,) x and y of the middle of its extent in metres."""
        return np.asarray((self.vertices[:, :2].min(axis=0) + self.vertices[:, :2].max(axis=0)) / 2, float)


def join(meshes: Iterable[Mesh]) -> Mesh:
    """Return all triangles of several meshes in order; of none, an empty mesh."""
    parts = list(meshes) or [Mesh.of(np.zeros((0, 3)), np.zeros((0, 3)), Material.ASPHALT)]
    first = np.cumsum([0, *(len(part.vertices) for part in parts)], dtype=np.int32)
    return Mesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        local=np.concatenate([part.local for part in parts]),
        faces=np.concatenate([part.faces + at for part, at in zip(parts, first, strict=False)]),
        material=np.concatenate([part.material for part in parts]),
        colour=np.concatenate([part.colour for part in parts]),
        reflectance=np.concatenate([part.reflectance for part in parts]),
        owner=np.concatenate([part.owner for part in parts]),
    )
