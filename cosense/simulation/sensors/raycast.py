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
from cosense.simulation.scenes.surface import Ground

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
    [[np.cos(angle), np.sin(angle), 0] for angle in np.arange(16) * np.pi / 8], dtype=np.float32
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
                "the simulator needs the package embreex, which is missing here: pip install embreex, or "
                "simulate on x86-64, macOS or Windows where there is no wheel for this machine"
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

        A ray comes down from level to level, each of which is the relief raised as far as some material is.
        If what lies there is raised as far, the ray has hit it; if it is raised higher, the ray has passed
        the face of a kerb on its way from the level above; else it goes on to the next level.
        """
        hits = Hits.none(len(origins))
        going, reached_m = np.arange(len(origins)), np.zeros(len(origins), dtype=np.float32)
        for level_m in np.unique(self.ground.raise_m)[::-1]:
            start = _along(origins, directions, reached_m, going)
            met = self.relief.meet(start - np.array([0, 0, level_m], dtype=np.float32), directions[going])
            below = np.isfinite(met.range_m)
            # A ray that starts below a level, and falls, may still reach the next one.
            falls = going[~below & (directions[going, 2] < 0)]
            rays, start, depth_m = going[below], start[below], met.range_m[below]
            reached_m[rays] += depth_m
            place = _along(origins, directions, reached_m, rays)
            raised_m = self._raised_m(place)
            on_top, kerb = raised_m == level_m, raised_m > level_m
            hits.range_m[rays[on_top]] = reached_m[rays[on_top]]
            hits.normal[rays[on_top]] = _towards(met.normal[below][on_top], directions[rays[on_top]])
            self._meet_kerbs(hits, rays[kerb], start[kerb], directions[rays[kerb]], depth_m[kerb], level_m)
            hits.range_m[rays[kerb]] += reached_m[rays[kerb]] - depth_m[kerb]
            going = np.sort(np.concatenate([falls, rays[raised_m < level_m]]))
        rays = np.flatnonzero(np.isfinite(hits.range_m))
        hits.local[rays] = _along(origins, directions, hits.range_m, rays)
        on_top = rays[hits.material[rays] != Material.CONCRETE]
        hits.material[on_top] = self.ground.material_at(hits.local[on_top, :2])
        hits.colour[rays] = _GROUND_COLOUR[hits.material[rays]]
        hits.reflectance[rays] = _GROUND_REFLECTANCE[hits.material[rays]]
        return hits

    def _raised_m(self, places: NDArray) -> NDArray[np.float64]:
        """Return by how much the ground is raised above its relief at places (n,3)."""
        return np.asarray(self.ground.raise_m[self.ground.material_at(places[:, :2])])

    def _meet_kerbs(
        self,
        hits: Hits,
        rays: NDArray[np.int64],
        start: Floats,
        directions: Floats,
        depth_m: Floats,
        level_m: float,
    ) -> None:
        """Write the faces of kerbs to `hits`, with ranges from `start` (n,3), up to `depth_m` behind it."""
        near, far = np.zeros_like(depth_m), depth_m
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            inside = self._raised_m(start + middle[:, None] * directions) > level_m
            near, far = np.where(inside, near, middle), np.where(inside, middle, far)
        place = start + far[:, None] * directions
        around = (place[:, None] + _AROUND).reshape(-1, 3)
        raised = self._raised_m(around).reshape(len(place), len(_AROUND)) > level_m
        out = raised.astype(np.float32) @ -_AROUND
        # In a corner or on a thin strip the raster does not say: such a face looks at the sensor.
        unclear = (out * directions).sum(axis=1) > -1e-3
        out[unclear, :2] = -directions[unclear, :2]
        hits.range_m[rays] = far
        hits.normal[rays] = _towards(out, directions)
        hits.material[rays] = Material.CONCRETE


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
