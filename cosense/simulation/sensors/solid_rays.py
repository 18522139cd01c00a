"""Casts rays from one point on the solids of a scene: exact hits, as batched tensors on any device.

Rays form a grid of rows and columns (beams and azimuths of a LiDAR, pixels of a camera). Each solid covers a
small window of that grid, and only the pairs (ray, solid) inside these windows are tested, all at once, in
the frame of the solid: boxes by the slab test, round shapes by a quadratic equation. The first hit of a ray
is the minimum over its pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cosense.geometry.transforms import Matrix, invert, transform_points, yaw_of
from cosense.simulation.scenes.solids import Primitives, Shape

NO_HIT = -1
# Largest batch of (ray, solid) pairs, which bounds the memory.
MAX_PAIRS = 4_000_000


@dataclass(frozen=True)
class Solids:
    """`Primitives` as tensors in the frame of a sensor, x along its heading and z up.

    Attributes:
        centre, half, free_path_m: the same as in `Primitives`.
        cos, sin: (P,) cosine and sine of the yaw.
        round: (P,) bool, True for cylinders and ellipsoids.
        ellipsoid: (P,) 1 for ellipsoids, else 0.
    """

    centre: Tensor
    half: Tensor
    cos: Tensor
    sin: Tensor
    round: Tensor
    ellipsoid: Tensor
    free_path_m: Tensor

    def __len__(self) -> int:
        return len(self.cos)


def solids_in_sensor(primitives: Primitives, T_scene_sensor: Matrix, device: torch.device) -> Solids:
    """Transform primitives of the scene to the frame of a sensor that is rotated only about the vertical."""
    centre = transform_points(invert(T_scene_sensor), primitives.centre.astype(np.float64))
    turn = primitives.yaw.astype(np.float64) - yaw_of(T_scene_sensor)
    packed = np.column_stack(
        [
            centre,
            primitives.half,
            np.cos(turn),
            np.sin(turn),
            primitives.shape != Shape.BOX,
            primitives.shape == Shape.ELLIPSOID,
            primitives.free_path_m,
        ]
    )
    table = torch.from_numpy(packed.astype(np.float32)).to(device)
    return Solids(
        centre=table[:, :3],
        half=table[:, 3:6],
        cos=table[:, 6],
        sin=table[:, 7],
        round=table[:, 8] > 0,
        ellipsoid=table[:, 9],
        free_path_m=table[:, 10],
    )


@dataclass(frozen=True)
class Windows:
    """Part of the ray grid that may hit each of P solids.

    Attributes:
        first_row, first_column: (P,) first row and column of the window.
        rows, columns: (P,) size of the window; columns past the last one continue at the first.
    """

    first_row: Tensor
    rows: Tensor
    first_column: Tensor
    columns: Tensor


class RayGrid(Protocol):
    """R = rows x columns rays from the origin of the sensor.

    Attributes:
        directions: (R,3) unit vectors in the frame of the sensor, row by row.
        columns: number of columns.
    """

    @property
    def directions(self) -> Tensor: ...

    @property
    def columns(self) -> int: ...

    def windows(self, solids: Solids) -> Windows:
        """Return, for each solid, a window that contains every ray that can hit it."""
        ...


@dataclass(frozen=True)
class Hits:
    """First hit of every ray.

    Attributes:
        range_m: (R,) distance along the ray, inf without a hit.
        solid: (R,) row of the solid, `NO_HIT` without a hit.
    """

    range_m: Tensor
    solid: Tensor


def cast(grid: RayGrid, solids: Solids, generator: torch.Generator) -> Hits:
    """Return the first hit of every ray; `generator` draws how far rays enter porous solids."""
    device = grid.directions.device
    count = len(grid.directions)
    range_m = torch.full((count,), torch.inf, device=device)
    solid = torch.full((count,), len(solids), device=device)
    windows = grid.windows(solids)
    pairs_of = windows.rows * windows.columns
    for batch in _batches(pairs_of):
        ray, owner = _pairs(grid, windows, batch, pairs_of[batch])
        hit_m = _intersect(grid.directions[ray], solids, owner, generator)
        met = torch.isfinite(hit_m)
        ray, owner, hit_m = ray[met], owner[met], hit_m[met]
        before = range_m.clone()
        range_m.scatter_reduce_(0, ray, hit_m, "amin")
        first = hit_m == range_m[ray]
        solid[range_m < before] = len(solids)
        solid.scatter_reduce_(0, ray[first], owner[first], "amin")
    return Hits(range_m, torch.where(torch.isfinite(range_m), solid, NO_HIT))


def _batches(pairs_of: Tensor) -> list[Tensor]:
    """Split the solids that have pairs at all into groups of at most about `MAX_PAIRS` pairs."""
    seen = torch.nonzero(pairs_of).flatten()
    if len(seen) == 0:
        return []
    group = torch.cumsum(pairs_of[seen], 0) // MAX_PAIRS
    return [seen[group == number] for number in torch.unique(group)]


def _pairs(grid: RayGrid, windows: Windows, batch: Tensor, pairs_of: Tensor) -> tuple[Tensor, Tensor]:
    """List the (ray, solid) pairs of the windows of some solids: two (pairs,) index tensors."""
    owner = torch.repeat_interleave(batch, pairs_of)
    start = torch.repeat_interleave(torch.cumsum(pairs_of, 0) - pairs_of, pairs_of)
    within = torch.arange(len(owner), device=owner.device) - start
    width = windows.columns[owner]
    row = torch.div(within, width, rounding_mode="floor")
    column = (windows.first_column[owner] + within - row * width) % grid.columns
    return (windows.first_row[owner] + row) * grid.columns + column, owner


def _intersect(direction: Tensor, solids: Solids, owner: Tensor, generator: torch.Generator) -> Tensor:
    """Return the ranges (pairs,) at which rays from the origin enter their solids, inf if they miss them."""
    cos, sin = solids.cos[owner], solids.sin[owner]
    centre, half = solids.centre[owner], solids.half[owner]
    # Scaled by its half extents, a box is the cube [-1, 1]^3, and a round shape the unit circle or sphere.
    origin_x = -(centre[:, 0] * cos + centre[:, 1] * sin) / half[:, 0]
    origin_y = -(centre[:, 1] * cos - centre[:, 0] * sin) / half[:, 1]
    origin_z = -centre[:, 2] / half[:, 2]
    x = (direction[:, 0] * cos + direction[:, 1] * sin) / half[:, 0]
    y = (direction[:, 1] * cos - direction[:, 0] * sin) / half[:, 1]
    z = direction[:, 2] / half[:, 2]
    enter, leave = _slab(origin_z, z)
    flat = ~solids.round[owner]
    round_enter, round_leave = _round((origin_x, origin_y, origin_z), (x, y, z), solids.ellipsoid[owner])
    for origin, slope in ((origin_x, x), (origin_y, y)):
        low, high = _slab(origin, slope)
        enter = torch.where(flat, torch.maximum(enter, low), enter)
        leave = torch.where(flat, torch.minimum(leave, high), leave)
    enter = torch.where(flat, enter, torch.maximum(enter, round_enter)).clamp_min(0.0)
    leave = torch.where(flat, leave, torch.minimum(leave, round_leave))
    free_path_m = solids.free_path_m[owner]
    porous = torch.nonzero(free_path_m > 0).flatten()
    way = torch.empty(len(porous), device=enter.device).exponential_(generator=generator)
    enter[porous] += way * free_path_m[porous]
    return torch.where((enter <= leave) & (enter > 0), enter, torch.inf)


def _slab(origin: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the slab [-1, 1] of one axis."""
    slope = torch.where(slope.abs() < 1e-9, 1e-9, slope)
    one, other = (-1 - origin) / slope, (1 - origin) / slope
    return torch.minimum(one, other), torch.maximum(one, other)


def _round(
    origin: tuple[Tensor, Tensor, Tensor], slope: tuple[Tensor, Tensor, Tensor], ellipsoid: Tensor
) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the unit circle, or the unit sphere where `ellipsoid` is 1."""
    a = slope[0] ** 2 + slope[1] ** 2 + ellipsoid * slope[2] ** 2 + 1e-12
    b = origin[0] * slope[0] + origin[1] * slope[1] + ellipsoid * origin[2] * slope[2]
    c = origin[0] ** 2 + origin[1] ** 2 + ellipsoid * origin[2] ** 2 - 1
    discriminant = b * b - a * c
    root = torch.sqrt(discriminant.clamp_min(0))
    miss = discriminant < 0
    return torch.where(miss, torch.inf, (-b - root) / a), torch.where(miss, -torch.inf, (-b + root) / a)


def surface_normals(directions: Tensor, hits: Hits, solids: Solids) -> Tensor:
    """Return the outward unit normals (R,3) at the hits, (0,0,1) without a hit."""
    normal = torch.zeros_like(directions)
    normal[:, 2] = 1.0
    rays = torch.nonzero(hits.solid != NO_HIT).flatten()
    owner = hits.solid[rays]
    cos, sin = solids.cos[owner], solids.sin[owner]
    offset = directions[rays] * hits.range_m[rays, None] - solids.centre[owner]
    half = solids.half[owner]
    x = (offset[:, 0] * cos + offset[:, 1] * sin) / half[:, 0]
    y = (offset[:, 1] * cos - offset[:, 0] * sin) / half[:, 1]
    z = offset[:, 2] / half[:, 2]
    scaled = torch.stack([x, y, z], 1)
    face = torch.nn.functional.one_hot(scaled.abs().argmax(1), 3) * torch.sign(scaled)
    capped = (z.abs() > 0.999) & (solids.ellipsoid[owner] == 0)
    curved = torch.stack([x / half[:, 0], y / half[:, 1], solids.ellipsoid[owner] * z / half[:, 2]], 1)
    curved[capped] = torch.sign(scaled[capped]) * torch.tensor([0.0, 0.0, 1.0], device=scaled.device)
    local = torch.where(solids.round[owner, None], curved, face.to(curved.dtype))
    local = torch.nn.functional.normalize(local, dim=1)
    normal[rays] = torch.stack(
        [local[:, 0] * cos - local[:, 1] * sin, local[:, 0] * sin + local[:, 1] * cos, local[:, 2]], 1
    )
    return normal
