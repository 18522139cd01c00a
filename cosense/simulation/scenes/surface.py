"""The ground of a scene: its relief, a raster of materials on it, and kerbs where materials change.

The relief is a grid of heights joined by triangles, without kerbs. Walkways and lawns lie higher than the
road by `Ground.raise_m` of their material; the step between them is the face of a kerb.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh

EXTENT_M = 200.0
CELL_M = 0.1
RELIEF_CELL_M = 1.0
# The border goes on up to here in the mesh of the relief: farther than any sensor sees.
_HORIZON_M = 450.0
# Blocks of this many cells become two triangles where the relief in them is as plain as that.
BLOCK_CELLS = 4
_PLAIN_M = 1e-4
KERB_M = 0.13
_RAISED = (Material.PAVING, Material.GRASS)
# Number of fractional bits in the coordinates of OpenCV's polygons.
_SHIFT = 8

_NODES = round(2 * EXTENT_M / RELIEF_CELL_M) + 1


def raised_by(kerb_m: float) -> NDArray[np.float64]:
    """Return `Ground.raise_m` of a place where walkways and lawns lie one kerb above the road."""
    return np.array([kerb_m if material in _RAISED else 0.0 for material in Material])


@dataclass(frozen=True)
class Ground:
    """The ground within ±`EXTENT_M` of the origin of a scene; beyond, the cells of the border go on.

    Attributes:
        surface: (H,W) uint8, values of `Material`, rows along y and columns along x, cells of `CELL_M`.
        relief: (n,n) float32 heights in metres of the corners of cells of `RELIEF_CELL_M`, without kerbs;
            rows along y. Each cell is two triangles that meet on its diagonal from low x, y to high x, y.
        raise_m: (materials,) metres by which each material lies above the relief.
    """

    surface: NDArray[np.uint8] = field(
        default_factory=lambda: np.full([round(2 * EXTENT_M / CELL_M)] * 2, Material.GRASS, dtype=np.uint8)
    )
    relief: NDArray[np.float32] = field(default_factory=lambda: np.zeros((_NODES, _NODES), dtype=np.float32))
    raise_m: NDArray[np.float64] = field(default_factory=lambda: raised_by(KERB_M))

    def paint(self, outline: NDArray[np.float64], material: Material) -> None:
        """Fill a polygon (n,2), given in the scene in metres, with a material."""
        pixels = (outline + EXTENT_M) / CELL_M - 0.5
        cv2.fillPoly(
            self.surface, [np.round(pixels * 2**_SHIFT).astype(np.int32)], int(material), shift=_SHIFT
        )

    def material_at(self, xy: NDArray) -> NDArray[np.uint8]:
        """Return the material (n,) at points (n,2)."""
        column, row = np.clip((xy + EXTENT_M) / CELL_M, 0, len(self.surface) - 1).astype(np.int64).T
        return np.asarray(self.surface[row, column])

    def relief_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the height (n,) of the relief, without kerbs, at points (n,2)."""
        place = np.clip((xy + EXTENT_M) / RELIEF_CELL_M, 0, len(self.relief) - 1)
        column, row = np.minimum(place.astype(np.int64), len(self.relief) - 2).T
        u, v = place[:, 0] - column, place[:, 1] - row
        low, high = self.relief[row, column], self.relief[row + 1, column + 1]
        corner = np.where(u >= v, self.relief[row, column + 1], self.relief[row + 1, column])
        large, small = np.maximum(u, v), np.minimum(u, v)
        return np.asarray(low + large * (corner - low) + small * (high - corner), dtype=np.float64)

    def height_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the height (n,) of the ground, kerbs included, at points (n,2)."""
        return self.relief_at(xy) + self.raise_m[self.material_at(xy)]

    def normal_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return upward unit normals (n,3) of the relief at points (n,2), each averaged over 2 m."""
        step = RELIEF_CELL_M * np.eye(2)
        slope = [(self.relief_at(xy + by) - self.relief_at(xy - by)) / (2 * RELIEF_CELL_M) for by in step]
        normal = np.column_stack([-slope[0], -slope[1], np.ones(len(xy))])
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)

    def lifted(self, meshes: Sequence[Mesh]) -> list[Mesh]:
        """Return meshes that were built with their foot at z = 0, raised by the height under each."""
        height = self.height_at(np.array([mesh.middle for mesh in meshes]).reshape(-1, 2))
        up = np.column_stack([np.zeros((len(height), 2)), height]).astype(np.float32)
        return [replace(mesh, vertices=mesh.vertices + by) for mesh, by in zip(meshes, up, strict=True)]

    def relief_mesh(self) -> Mesh:
        """Return the relief as triangles; its materials are those of the raster, not of the mesh.

        Cells are one by one where the relief is uneven, blocks of `BLOCK_CELLS` where it is plain, and long
        strips beyond the border.
        """
        n = len(self.relief)
        number = np.arange(n * n, dtype=np.int32).reshape(n, n)
        plain = _plain_blocks(self.relief)
        uneven = ~np.kron(plain, np.ones((BLOCK_CELLS, BLOCK_CELLS), dtype=bool))
        fine: list[NDArray] = [grid[uneven] for grid in _corners(number)]
        coarse: list[NDArray] = [grid[plain] for grid in _corners(number[::BLOCK_CELLS, ::BLOCK_CELLS])]
        axis = np.linspace(-EXTENT_M, EXTENT_M, n)
        places = np.column_stack([np.tile(axis, n), np.repeat(axis, n), self.relief.ravel()])
        rim = _rim(number)
        outer = places[rim] * [_HORIZON_M / EXTENT_M, _HORIZON_M / EXTENT_M, 1.0]
        beyond = np.arange(len(rim)) + n * n
        strips: list[NDArray] = [rim, np.roll(rim, -1), beyond, np.roll(beyond, -1)]
        quads = np.concatenate([np.stack(corners, axis=1) for corners in (fine, coarse, strips)])
        used, faces = np.unique(quads[:, [0, 1, 3, 0, 3, 2]], return_inverse=True)
        vertices = np.concatenate([places, outer])[used]
        return Mesh.of(vertices, faces.reshape(-1, 3), Material.ASPHALT)


def plain_block(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what blocks look like as two triangles.

    Args:
        corners: (...,2,2) heights of the corners of each block.

    Returns:
        (...,BLOCK_CELLS+1,BLOCK_CELLS+1) heights.
    """
    share = np.linspace(0, 1, BLOCK_CELLS + 1)
    v, u = np.meshgrid(share, share, indexing="ij")
    large, small = np.maximum(u, v), np.minimum(u, v)
    low, high = (corners[..., i, i][..., None, None] for i in (0, 1))
    right, above = corners[..., 0, 1][..., None, None], corners[..., 1, 0][..., None, None]
    corner = np.where(u >= v, right, above)
    return np.asarray(low + large * (corner - low) + small * (high - corner), dtype=np.float32)


def blocks_of(relief: NDArray) -> NDArray:
    """Return the blocks (rows,columns,BLOCK_CELLS+1,BLOCK_CELLS+1) of a relief as a view of it."""
    windows = np.lib.stride_tricks.sliding_window_view(
        relief, (BLOCK_CELLS + 1, BLOCK_CELLS + 1), writeable=True
    )
    return windows[::BLOCK_CELLS, ::BLOCK_CELLS]


def _plain_blocks(relief: NDArray[np.float32]) -> NDArray[np.bool_]:
    blocks = blocks_of(relief.copy())
    return np.asarray(
        np.abs(blocks - plain_block(blocks[..., ::BLOCK_CELLS, ::BLOCK_CELLS])).max(axis=(2, 3)) < _PLAIN_M
    )


def _corners(number: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
    """Return the corners of all cells of a grid: low, high x, high y, high x and y."""
    return number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]


def _rim(number: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return every node on the border of a grid, clockwise."""
    return np.concatenate([number[:-1, 0], number[-1, :-1], number[:0:-1, -1], number[0, :0:-1]])
