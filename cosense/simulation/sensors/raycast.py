"""Casts rays on the triangles and the ground of a scene, by Embree (Wald et al., SIGGRAPH 2014).

What stands still is built once for a sequence, what moves once for a moment, and the relief of the ground is
a mesh of its own. The first hit of a ray is the nearest one of the three. Kerbs are finer than the relief: a
walkway is the relief raised by the height of a kerb, and its edge is found in the raster of the ground.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.simulation.scenes.materials import ALBEDO, REFLECTANCE, Material
from cosense.simulation.scenes.mesh import STATIC, Mesh
from cosense.simulation.scenes.surface import Ground

Floats = NDArray[np.float32]

_GROUND_COLOUR = np.array([ALBEDO[material] for material in Material], dtype=np.float32)
_GROUND_REFLECTANCE = np.array([REFLECTANCE[material] for material in Material], dtype=np.float32)
# What a ray meets first.
_NOTHING, _STILL, _MOVING, _GROUND = range(4)
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
        reflectance: (R,) reflectance at the wavelength of the LiDAR.
        owner: (R,) int32 row of the actor that was hit, `STATIC` for the surroundings and the ground.
    """

    range_m: Floats
    normal: Floats
    material: NDArray[np.uint8]
    reflectance: Floats
    owner: NDArray[np.int32]

    @classmethod
    def none(cls, count: int) -> Hits:
        """Return the hits of rays that meet nothing."""
        return cls(
            range_m=np.full(count, np.inf, dtype=np.float32),
            normal=np.full((count, 3), (0, 0, 1), dtype=np.float32),
            material=np.zeros(count, dtype=np.uint8),
            reflectance=np.zeros(count, dtype=np.float32),
            owner=np.full(count, STATIC, dtype=np.int32),
        )

    def __len__(self) -> int:
        return len(self.range_m)

    def __getitem__(self, rays: NDArray | slice) -> Hits:
        """Return the hits of the rays that a mask or an index array selects."""
        return Hits(*(getattr(self, field.name)[rays] for field in fields(Hits)))

    def put(self, rays: NDArray, other: Hits) -> None:
        """Overwrite the hits of some rays by those of `other`."""
        for field in fields(Hits):
            getattr(self, field.name)[rays] = getattr(other, field.name)


@dataclass(frozen=True, eq=False)
class Looks:
    """What the surfaces look like that R rays have hit.

    Attributes:
        colour: (R,3) albedo, 0..1.
        local: (R,3) places in the frame in which the thing was built, in metres; on the ground, in the scene.
        moves: (R,) whether the thing is one of the actors of the moment.
    """

    colour: Floats
    local: Floats
    moves: NDArray[np.bool_]

    def __getitem__(self, rays: NDArray | slice) -> Looks:
        """Return the looks where the rays hit that a mask or an index array selects."""
        return Looks(self.colour[rays], self.local[rays], self.moves[rays])


@dataclass(frozen=True, eq=False)
class _Shell:
    """Triangles that rays can be cast on, and the EmbreeScene that they have been built into."""

    mesh: Mesh
    scene: Any

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

    def meet(self, origins: Floats, directions: Floats, limit_m: Floats) -> _Met:
        """Return what rays meet nearer than (R,) `limit_m`."""
        if not len(self.mesh) or not len(origins):
            nowhere = np.zeros((len(origins), 3), dtype=np.float32)
            nothing = np.full(len(origins), -1, dtype=np.int32)
            return _Met(limit_m, nothing, nowhere, nowhere[:, 0], nowhere[:, 1])
        found = self.scene.run(origins, directions, dists=limit_m, output=True)
        return _Met(found["tfar"], found["primID"], found["Ng"], found["u"], found["v"])

    def hides(self, origins: Floats, directions: Floats, within_m: float = np.inf) -> NDArray[np.bool_]:
        """Return (R,): whether each ray meets anything within a distance."""
        if not len(self.mesh) or not len(origins):
            return np.zeros(len(origins), dtype=bool)
        limit_m = np.full(len(origins), within_m, dtype=np.float32)
        return np.asarray(self.scene.run(origins, directions, dists=limit_m, query="OCCLUDED") >= 0)

    def describe(self, hits: Hits, rays: NDArray[np.int64], met: _Met) -> None:
        """Fill in what the rays with these numbers have met, except for the range."""
        mesh, face = self.mesh, met.face[rays]
        hits.normal[rays] = met.normal[rays]
        hits.material[rays] = mesh.material[face]
        hits.reflectance[rays] = mesh.reflectance[face]
        hits.owner[rays] = mesh.owner[face]

    def show(self, looks: Looks, rays: NDArray[np.int64], met: _Met) -> None:
        """Fill in what it looks like where the rays with these numbers have met triangles."""
        mesh, face = self.mesh, met.face[rays]
        looks.colour[rays] = mesh.colour[face]
        corner = mesh.faces[face]
        u, v = met.u[rays, None], met.v[rays, None]
        one, two, three = (mesh.local[corner[:, k]] for k in range(3))
        looks.local[rays] = one + u * (two - one) + v * (three - one)


@dataclass(frozen=True, eq=False)
class _Met:
    """What Embree says about R rays.

    Attributes:
        range_m: (R,) distance along each ray, the limit without a hit.
        face: (R,) row of the triangle, -1 without a hit.
        normal: (R,3) normal of the triangle on either side, not of unit length.
        u, v: (R,) shares of the second and of the third corner in the place on it.
    """

    range_m: Floats
    face: NDArray[np.int32]
    normal: Floats
    u: Floats
    v: Floats


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

    def meet_ground(self, hits: Hits, origins: Floats, directions: Floats) -> NDArray[np.int64]:
        """Find the rays (n,) that meet the ground first, and write their ranges, normals and materials.

        A ray comes down from level to level, each of which is the relief raised as far as some material is.
        If what lies there is raised as far, the ray has hit it; if it is raised higher, the ray has passed
        the face of a kerb on its way from the level above; else it goes on to the next level. Rays start
        above all levels.
        """
        landed = []
        rays, start, ahead = np.arange(len(origins)), origins, directions
        gone_m = np.zeros(len(origins), dtype=np.float32)
        for level_m in np.unique(self.ground.raise_m)[::-1]:
            lowered = start - np.array([0, 0, level_m], dtype=np.float32)
            met = self.relief.meet(lowered, ahead, hits.range_m[rays] - gone_m)
            below = np.flatnonzero(met.face >= 0)
            rays, start, ahead, depth_m = rays[below], start[below], ahead[below], met.range_m[below]
            gone_m = gone_m[below] + depth_m
            end = start + depth_m[:, None] * ahead
            material = self.ground.material_at(end[:, :2])
            raised_m = self.ground.raise_m[material]
            on_top, kerb = np.flatnonzero(raised_m == level_m), np.flatnonzero(raised_m > level_m)
            hits.range_m[rays[on_top]] = gone_m[on_top]
            hits.normal[rays[on_top]] = met.normal[below[on_top]]
            hits.material[rays[on_top]] = material[on_top]
            face_m, out = self._kerbs(start[kerb], ahead[kerb], depth_m[kerb], level_m)
            hits.range_m[rays[kerb]] = gone_m[kerb] - depth_m[kerb] + face_m
            hits.normal[rays[kerb]] = out
            hits.material[rays[kerb]] = Material.CONCRETE
            landed += [rays[on_top], rays[kerb]]
            going = np.flatnonzero(raised_m < level_m)
            rays, start, ahead, gone_m = rays[going], end[going], ahead[going], gone_m[going]
        return np.concatenate(landed)

    def _raised_m(self, places: NDArray) -> NDArray[np.float64]:
        """Return by how much the ground is raised above its relief at places (n,3)."""
        return np.asarray(self.ground.raise_m[self.ground.material_at(places[:, :2])])

    def _kerbs(
        self, start: Floats, directions: Floats, depth_m: Floats, level_m: float
    ) -> tuple[Floats, Floats]:
        """Return where rays meet the faces of kerbs: ranges (n,), at most `depth_m`, and normals (n,3)."""
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
        return far, out


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
        return self._cast(origins, directions, None)

    def look(self, origins: Floats, directions: Floats) -> tuple[Hits, Looks]:
        """Return the first hits of rays as `cast` does, and what it looks like there."""
        colour, local = np.zeros((2, len(origins), 3), dtype=np.float32)
        looks = Looks(colour, local, np.zeros(len(origins), dtype=bool))
        return self._cast(origins, directions, looks), looks

    def _cast(self, origins: Floats, directions: Floats, looks: Looks | None) -> Hits:
        origins = np.ascontiguousarray(origins, dtype=np.float32)
        directions = np.ascontiguousarray(directions, dtype=np.float32)
        hits = Hits.none(len(origins))
        still = self.world.still.meet(origins, directions, hits.range_m)
        moving = self._actors.meet(origins, directions, still.range_m)
        hits.range_m[:] = moving.range_m
        landed = self.world.meet_ground(hits, origins, directions)
        first = np.where(moving.face >= 0, _MOVING, np.where(still.face >= 0, _STILL, _NOTHING))
        first[landed] = _GROUND
        for shell, met, which in ((self.world.still, still, _STILL), (self._actors, moving, _MOVING)):
            rays = np.flatnonzero(first == which)
            shell.describe(hits, rays, met)
            if looks is not None:
                shell.show(looks, rays, met)
        hits.reflectance[landed] = _GROUND_REFLECTANCE[hits.material[landed]]
        if looks is not None:
            looks.colour[landed] = _GROUND_COLOUR[hits.material[landed]]
            looks.moves[first == _MOVING] = True
            looks.local[landed] = origins[landed] + hits.range_m[landed, None] * directions[landed]
        hits.normal[:] = _towards(hits.normal, directions)
        return hits

    def is_dark(self, places: Floats, towards: Floats) -> NDArray[np.bool_]:
        """Return (n,): whether triangles stand between places (n,3) and a light in a direction (3,)."""
        origins = np.ascontiguousarray(places, dtype=np.float32)
        directions = np.tile(np.asarray(towards, dtype=np.float32), (len(origins), 1))
        return self.world.still.hides(origins, directions) | self._actors.hides(origins, directions)

    def is_near(self, places: Floats, directions: Floats, within_m: float) -> NDArray[np.bool_]:
        """Return (n,): whether triangles are in directions (n,3) of places (n,3) within a distance."""
        origins = np.ascontiguousarray(places, dtype=np.float32)
        ahead = np.ascontiguousarray(directions, dtype=np.float32)
        return self.world.still.hides(origins, ahead, within_m) | self._actors.hides(origins, ahead, within_m)


@dataclass(frozen=True, eq=False)
class Alone:
    """Triangles without a scene around them."""

    mesh: Mesh
    _shell: _Shell

    @classmethod
    def of(cls, mesh: Mesh) -> Alone:
        return cls(mesh, _Shell.of(mesh))

    def cast(self, origins: Floats, directions: Floats) -> Hits:
        """See `View.cast`."""
        hits = Hits.none(len(origins))
        met = self._shell.meet(origins, directions, hits.range_m)
        hits.range_m[:] = met.range_m
        self._shell.describe(hits, np.flatnonzero(met.face >= 0), met)
        hits.normal[:] = _towards(hits.normal, directions)
        return hits


def _towards(normal: Floats, directions: Floats) -> Floats:
    """Return unit normals on the side from which rays come."""
    length = np.sqrt(np.einsum("ij,ij->i", normal, normal))
    facing = np.einsum("ij,ij->i", normal, directions)
    return normal / np.where(facing > 0, -length, length)[:, None]
