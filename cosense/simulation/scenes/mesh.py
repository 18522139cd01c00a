"""What a scene consists of: triangles, each with its material, and the shapes that builders use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.simulation.scenes.materials import ALBEDO, REFLECTANCE, Material

STATIC = -1

Colour = tuple[float, float, float]
Triple = tuple[float, float, float]

# Corners of a cylinder, and rows between the poles of an ellipsoid: enough for one seen from some metres.
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
            colour=np.tile(np.asarray(albedo, dtype=np.float32), (len(rows), 1)),
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
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Mesh(
        vertices=np.concatenate([part.vertices for part in parts]),
        local=np.concatenate([part.local for part in parts]),
        faces=np.concatenate([part.faces + at for part, at in zip(parts, first, strict=False)]).astype(
            np.int32
        ),
        material=np.concatenate([part.material for part in parts]),
        colour=np.concatenate([part.colour for part in parts]),
        reflectance=np.concatenate([part.reflectance for part in parts]),
        owner=np.concatenate([part.owner for part in parts]),
    )


def prism(
    outline: Sequence[tuple[float, float]] | NDArray,
    z: tuple[float, float],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return the upright prism above a convex outline (n,2), counter-clockwise, from z[0] to z[1]."""
    corners = np.asarray(outline, dtype=np.float64)
    n = len(corners)
    low, high = (np.column_stack([corners, np.full(n, level)]) for level in z)
    i = np.arange(n)
    j = (i + 1) % n
    sides = np.concatenate([np.column_stack([i, j, n + j]), np.column_stack([i, n + j, n + i])])
    fan = np.column_stack([np.zeros(n - 2, int), i[1:-1], i[2:]])
    return Mesh.of(
        np.concatenate([low, high]),
        np.concatenate([sides, fan[:, ::-1], fan + n]),
        material,
        colour,
        reflectance,
    )


def profile(
    outline: Sequence[tuple[float, float]] | NDArray,
    width_m: float | Sequence[float],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return the body whose side view is a convex outline, symmetric about y = 0.

    Args:
        outline: (n,2) x and z of its corners, counter-clockwise seen from the right (-y): x forward, z up.
        width_m: extent in y, one number or one for each corner (a cabin is narrower at its roof).
        material, colour, reflectance: see `Mesh`.
    """
    corners = np.asarray(outline, dtype=np.float64)
    half = np.broadcast_to(np.asarray(width_m, dtype=np.float64) / 2, len(corners))
    n = len(corners)
    right = np.column_stack([corners[:, 0], -half, corners[:, 1]])
    left = np.column_stack([corners[:, 0], half, corners[:, 1]])
    i = np.arange(n)
    j = (i + 1) % n
    skin = np.concatenate([np.column_stack([i, n + i, n + j]), np.column_stack([i, n + j, j])])
    fan = np.column_stack([np.zeros(n - 2, int), i[1:-1], i[2:]])
    return Mesh.of(
        np.concatenate([right, left]),
        np.concatenate([skin, fan, fan[:, ::-1] + n]),
        material,
        colour,
        reflectance,
    )


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


def cylinder(
    centre: Triple,
    size: Triple,
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return an upright cylinder, elliptic where the extents `size` in x and y differ."""
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    outline = np.column_stack([np.cos(angle) * size[0], np.sin(angle) * size[1]]) / 2
    half = size[2] / 2
    return prism(outline, (-half, half), material, colour, reflectance).at(
        centre[0], centre[1], 0.0, centre[2]
    )


def ellipsoid(
    centre: Triple,
    size: Triple,
    material: Material,
    yaw: float = 0.0,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return an ellipsoid with extents `size`."""
    polar = np.pi * np.arange(1, _ROWS) / _ROWS
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    ring = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(angle),
            np.sin(polar)[:, None] * np.sin(angle),
            np.broadcast_to(np.cos(polar)[:, None], (_ROWS - 1, _AROUND)),
        ],
        axis=2,
    ).reshape(-1, 3)
    places = np.concatenate([ring, [[0, 0, 1], [0, 0, -1]]]) * (np.asarray(size) / 2)
    i = np.arange(_AROUND)
    j = (i + 1) % _AROUND
    top, bottom, last = len(ring), len(ring) + 1, (_ROWS - 2) * _AROUND
    faces = [np.column_stack([np.full(_AROUND, top), i, j])]
    for row in range(_ROWS - 2):
        a, b = row * _AROUND, (row + 1) * _AROUND
        faces += [np.column_stack([a + i, b + i, b + j]), np.column_stack([a + i, b + j, a + j])]
    faces.append(np.column_stack([np.full(_AROUND, bottom), last + j, last + i]))
    return Mesh.of(places, np.concatenate(faces), material, colour, reflectance).at(
        centre[0], centre[1], yaw, centre[2]
    )


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


def boxes(
    centres: NDArray[np.float64],
    sizes: NDArray[np.float64] | Triple,
    material: Material,
    yaw: NDArray[np.float64] | float = 0.0,
    colour: Colour | NDArray[np.float64] | None = None,
    reflectance: float | None = None,
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
    made = Mesh.of(places, faces, material, None, reflectance)
    if colour is None:
        return made
    each = np.broadcast_to(np.asarray(colour, dtype=np.float32), (n, 3))
    return replace(made, colour=np.repeat(each, 12, axis=0))


def quads(
    corners: NDArray[np.float64],
    material: Material,
    colour: Colour | None = None,
    reflectance: float | None = None,
) -> Mesh:
    """Return n flat four-cornered faces (n,4,3), counter-clockwise seen from outside."""
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
    n = len(points)
    radii = np.broadcast_to(np.asarray(radius_m, dtype=np.float64), n)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    aside = np.cross(along, np.eye(3)[np.abs(points[-1] - points[0]).argmin()])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.cos(angle)[:, None] * aside[:, None] + np.sin(angle)[:, None] * np.cross(along, aside)[:, None]
    places = (points[:, None] + ring * radii[:, None, None]).reshape(-1, 3)
    i = np.arange(around)
    j = (i + 1) % around
    a = (around * np.arange(n - 1))[:, None]
    skin = np.stack(
        [np.stack([a + i, a + j, a + around + j], 2), np.stack([a + i, a + around + j, a + around + i], 2)]
    )
    fan = np.column_stack([np.zeros(around - 2, int), i[1:-1], i[2:]])
    faces = np.concatenate([skin.reshape(-1, 3), fan[:, ::-1], fan + around * (n - 1)])
    return Mesh.of(places, faces, material, colour, reflectance)
