"""Casts rays on the triangles and the ground of a scene, by Embree (Wald et al., SIGGRAPH 2014).

What stands still is built once for a sequence, what moves once for a moment, and the relief of the ground is
a mesh of its own. The first hit of a ray is the nearest one of the three. Kerbs are finer than the relief: a
walkway is the relief raised by the height of a kerb, and its edge is found in the raster of the ground.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.simulation.scenes.materials import ALBEDO, REFLECTANCE, Material
from cosense.simulation.scenes.mesh import STATIC, Mesh
from cosense.simulation.scenes.surface import KERB_M, Ground

if TYPE_CHECKING:
    from embreex.rtcore_scene import EmbreeScene

Floats = NDArray[np.float32]

_GROUND_COLOUR = np.array([ALBEDO[material] for material in Material], dtype=np.float32)
_GROUND_REFLECTANCE = np.array([REFLECTANCE[material] for material in Material], dtype=np.float32)
# Embree's own word for "no hit" is 1e37.
_FARTHEST_M = 1e30
# Halvings of the stretch within which a ray passes the face of a kerb.
_HALVINGS = 7
# Places around a point at the face of a kerb at which the raster says which way the face looks.
_AROUND = 0.25 * np.array(
    [[np.cos(angle), np.sin(angle)] for angle in np.arange(16) * np.pi / 8], dtype=np.float32
)


@dataclass(frozen=True, eq=False)
class Hits:
    """First hits of R rays.

    Attributes:
        range_m: (R,) distance along each ray, inf without a hit; the other fields are then meaningless.
        normal: (R,3) unit normals in the scene, on the side from which the ray comes.
        material: (R,) uint8, values of `Material`.
        colour: (R,3) albedo, 0..1.
        reflectance: (R,) reflectance at the wavelength of the LiDAR.
        owner: (R,) int32 row of the actor that was hit, `STATIC` for the surroundings and the ground.
        local: (R,3) places in the frame in which the thing was built, in metres; on the ground, in the scene.
    """

    range_m: Floats
    normal: Floats
    material: NDArray[np.uint8]
    colour: Floats
    reflectance: Floats
    owner: NDArray[np.int32]
    local: Floats

    @classmethod
    def none(cls, count: int) -> Hits:
        """Return the hits of rays that meet nothing."""
        return cls(
            range_m=np.full(count, np.inf, dtype=np.float32),
            normal=np.tile(np.array([0, 0, 1], dtype=np.float32), (count, 1)),
            material=np.zeros(count, dtype=np.uint8),
            colour=np.zeros((count, 3), dtype=np.float32),
            reflectance=np.zeros(count, dtype=np.float32),
            owner=np.full(count, STATIC, dtype=np.int32),
            local=np.zeros((count, 3), dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.range_m)

    def __getitem__(self, rays: NDArray) -> Hits:
        """Return the hits of the rays that a mask or an index array selects."""
        return Hits(*(getattr(self, field.name)[rays] for field in fields(Hits)))

    def put(self, rays: NDArray, other: Hits) -> None:
        """Overwrite the hits of some rays by those of `other`."""
        for field in fields(Hits):
            getattr(self, field.name)[rays] = getattr(other, field.name)


@dataclass(frozen=True, eq=False)
class _Shell:
    """Triangles that rays can be cast on."""

    mesh: Mesh
    scene: EmbreeScene

    @classmethod
    def of(cls, mesh: Mesh) -> _Shell:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise CosenseError(
                "simulation needs Embree, and the package embreex is missing here: pip install embreex "
                "(there are wheels for x86-64 and macOS)"
            ) from error
        scene = EmbreeScene(robust=True)
        if len(mesh):
            TriangleMesh(scene, mesh.vertices, mesh.faces)
        return cls(mesh, scene)

    def meet(self, origins: Floats, directions: Floats) -> _Met:
        if not len(self.mesh) or not len(origins):
            return _Met.none(len(origins))
        found = self.scene.run(origins, directions, output=True)
        range_m = found["tfar"]
        range_m[range_m > _FARTHEST_M] = np.inf
        return _Met(range_m, found["primID"], found["Ng"], found["u"], found["v"])

    def hides(self, origins: Floats, directions: Floats) -> NDArray[np.bool_]:
        """Return (R,): whether each ray meets anything at all."""
        if not len(self.mesh) or not len(origins):
            return np.zeros(len(origins), dtype=bool)
        return np.asarray(self.scene.run(origins, directions, query="OCCLUDED") >= 0)

    def describe(self, hits: Hits, rays: NDArray[np.int64], met: _Met, directions: Floats) -> None:
        """Fill in what the rays with these numbers have met."""
        mesh, face = self.mesh, met.face[rays]
        hits.range_m[rays] = met.range_m[rays]
        hits.normal[rays] = _towards(met.normal[rays], directions[rays])
        hits.material[rays] = mesh.material[face]
        hits.colour[rays] = mesh.colour[face]
        hits.reflectance[rays] = mesh.reflectance[face]
        hits.owner[rays] = mesh.owner[face]
        corner = mesh.faces[face]
        u, v = met.u[rays, None], met.v[rays, None]
        one, two, three = (mesh.local[corner[:, k]] for k in range(3))
        hits.local[rays] = (1 - u - v) * one + u * two + v * three


@dataclass(frozen=True, eq=False)
class _Met:
    """What Embree says about R rays: range, row of the triangle, its normal (not a unit one), place on it."""

    range_m: Floats
    face: NDArray[np.int32]
    normal: Floats
    u: Floats
    v: Floats

    @classmethod
    def none(cls, count: int) -> _Met:
        nought = np.zeros(count, dtype=np.float32)
        return cls(
            np.full(count, np.inf, dtype=np.float32),
            np.full(count, -1, dtype=np.int32),
            np.zeros((count, 3), dtype=np.float32),
            nought,
            nought,
        )


@dataclass(frozen=True, eq=False)
class World:
    """What stands still in a scene, ready for rays; `of` builds it."""

    ground: Ground
    relief: _Shell
    still: _Shell

    @classmethod
    def of(cls, surroundings: Mesh, ground: Ground) -> World:
        """Build the search trees of the surroundings and of the ground.

        Raises:
            CosenseError: Embree is not installed.
        """
        return cls(ground, _Shell.of(ground.relief_mesh()), _Shell.of(surroundings))

    def with_actors(self, actors: Mesh) -> View:
        """Return the scene of one moment."""
        return View(self, _Shell.of(actors))

    def meet_ground(self, origins: Floats, directions: Floats) -> Hits:
        """Return where rays meet the ground.

        A ray first reaches the relief raised by a kerb. If nothing is raised at that place, it goes on to the
        relief itself; if it would arrive there below a walkway, it has hit the face of the kerb.
        """
        lowered = origins - np.array([0, 0, KERB_M], dtype=np.float32)
        upper = self.relief.meet(lowered, directions)
        # A ray that starts below that level and falls may still reach the road.
        goes_on = np.isinf(upper.range_m) & (directions[:, 2] < 0)
        start_m = np.where(goes_on, 0, upper.range_m)
        rays = np.flatnonzero(np.isfinite(upper.range_m))
        goes_on[rays] = ~self.ground.is_raised(_along(origins, directions, start_m, rays)[:, :2])
        going = np.flatnonzero(goes_on)
        near = _along(origins, directions, start_m, going)
        lower = self.relief.meet(near, directions[going])

        range_m, normal = upper.range_m, upper.normal
        range_m[going] = start_m[going] + lower.range_m
        normal[going] = lower.normal
        rays = np.flatnonzero(np.isfinite(range_m))
        place = _along(origins, directions, range_m, rays)
        material = self.ground.material_at(place[:, :2])
        hits = Hits.none(len(origins))
        hits.range_m[rays] = range_m[rays]
        hits.normal[rays] = _towards(normal[rays], directions[rays])
        hits.material[rays] = material
        hits.local[rays] = place
        below = np.flatnonzero(np.isfinite(lower.range_m))
        end = _along(near, directions[going], lower.range_m, below)
        faces = below[self.ground.is_raised(end[:, :2])]
        self._meet_kerbs(hits, going[faces], near[faces], directions[going[faces]], lower.range_m[faces])
        hits.colour[rays] = _GROUND_COLOUR[hits.material[rays]]
        hits.reflectance[rays] = _GROUND_REFLECTANCE[hits.material[rays]]
        return hits

    def _meet_kerbs(
        self, hits: Hits, rays: NDArray[np.int64], start: Floats, directions: Floats, depth_m: Floats
    ) -> None:
        """Move hits below a walkway to the face of its kerb, up to `depth_m` behind `start` (n,3)."""
        near, far = np.zeros_like(depth_m), depth_m
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            inside = self.ground.is_raised(start[:, :2] + middle[:, None] * directions[:, :2])
            near, far = np.where(inside, near, middle), np.where(inside, middle, far)
        place = start + far[:, None] * directions
        raised = self.ground.is_raised((place[:, None, :2] + _AROUND).reshape(-1, 2)).reshape(
            -1, len(_AROUND)
        )
        out = np.column_stack([raised.astype(np.float32) @ -_AROUND, np.zeros(len(place), dtype=np.float32)])
        # In a corner or on a thin strip the raster does not say: such a face looks at the sensor.
        unclear = (out * directions).sum(axis=1) > -1e-3
        out[unclear, :2] = -directions[unclear, :2]
        hits.range_m[rays] += far - depth_m
        hits.normal[rays] = _towards(out, directions)
        hits.material[rays] = Material.CONCRETE
        hits.local[rays] = place


@dataclass(frozen=True, eq=False)
class View:
    """A scene at one moment."""

    world: World
    _actors: _Shell

    def cast(self, origins: Floats, directions: Floats) -> Hits:
        """Return the first hits of rays, with both sides of every triangle in sight.

        Args:
            origins: (R,3) places in the scene in metres from which rays start.
            directions: (R,3) unit vectors in the scene.
        """
        origins = np.ascontiguousarray(origins, dtype=np.float32)
        directions = np.ascontiguousarray(directions, dtype=np.float32)
        hits = self.world.meet_ground(origins, directions)
        for shell in (self.world.still, self._actors):
            met = shell.meet(origins, directions)
            shell.describe(hits, np.flatnonzero(met.range_m < hits.range_m), met, directions)
        return hits

    def is_dark(self, places: Floats, towards: Floats) -> NDArray[np.bool_]:
        """Return (n,): whether triangles stand between places (n,3) and a light in a direction (3,)."""
        origins = np.ascontiguousarray(places, dtype=np.float32)
        directions = np.tile(np.asarray(towards, dtype=np.float32), (len(origins), 1))
        return self.world.still.hides(origins, directions) | self._actors.hides(origins, directions)


def _along(origins: Floats, directions: Floats, range_m: Floats, rays: NDArray[np.int64]) -> Floats:
    """Return the places (n,3) that some of the rays have reached."""
    return origins[rays] + range_m[rays, None] * directions[rays]


def _towards(normal: Floats, directions: Floats) -> Floats:
    """Return unit normals on the side from which rays come."""
    length = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    facing = np.einsum("ij,ij->i", normal, directions)
    return normal / np.where(facing > 0, -length, length)[:, None]
