"""What stands behind the frontages and beyond the furnished roads: houses, tree lines, woods and hedges.

They are seen between houses and far along the roads, so they are plain; each stands with its foot at z = 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.shapes import box, cylinder, ellipsoid, leaves, profile
from cosense.simulation.scenes.surface import CELL_M, EXTENT_M, Ground
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, draw_barrier
from cosense.simulation.scenes.surroundings.placing import FURNISHED_M

# Distance kept from what is paved or built up, within the furnished part of the scene and beyond it.
_BEHIND_M, _BESIDE_M = 17.0, 5.0
_SAMPLE = round(1.0 / CELL_M)
_HALF_M = EXTENT_M - 8.0
_WALLS = ((0.74, 0.68, 0.57), (0.80, 0.78, 0.74), (0.52, 0.28, 0.21), (0.58, 0.60, 0.62))


class _Room:
    """Where there is room: how far the points of a scene are from what is paved or built up."""

    def __init__(self, ground: Ground) -> None:
        unused = ground.surface[_SAMPLE // 2 :: _SAMPLE, _SAMPLE // 2 :: _SAMPLE] == Material.GRASS
        self._distance_m = distance_transform_edt(unused)

    def has(self, xy: NDArray[np.float64], half_m: float) -> bool:
        """Return whether a thing of a half extent may stand at a point (2,)."""
        if np.abs(xy).max() > _HALF_M:
            return False
        column, row = (xy + EXTENT_M).astype(int)
        keep = _BEHIND_M if np.hypot(*xy) < FURNISHED_M + 12.0 else _BESIDE_M
        return bool(self._distance_m[row, column] > keep + half_m)

    def take(self, xy: NDArray[np.float64], half_m: float) -> None:
        """Keep others at a distance from a thing."""
        rows, columns = np.ogrid[: len(self._distance_m), : len(self._distance_m)]
        away = np.hypot(columns + 0.5 - EXTENT_M - xy[0], rows + 0.5 - EXTENT_M - xy[1]) - half_m
        # A house may stand nearer to another one than to a road.
        self._distance_m = np.minimum(self._distance_m, np.maximum(away, 0) + _BESIDE_M)


def hinterland(ground: Ground, built_up: float, rng: np.random.Generator) -> list[Mesh]:
    """Return what stands where the ground is free, more houses the more the place is built up (0..1)."""
    room = _Room(ground)
    made: list[Mesh] = []
    for _ in range(int(rng.uniform(10, 30) + 90 * built_up)):
        size = rng.uniform([7, 7], [22, 14])
        xy = rng.uniform(-_HALF_M, _HALF_M, 2)
        half = float(np.hypot(*size) / 2)
        if room.has(xy, half):
            room.take(xy, half)
            made.append(_house(size, built_up, rng).at(xy[0], xy[1], float(rng.uniform(0, np.pi))))
    trees = [_tree(rng) for _ in range(8)]
    hedge = draw_barrier(rng, "hedge")
    for _ in range(int(rng.integers(4, 12))):
        start, heading = rng.uniform(-_HALF_M, _HALF_M, 2), rng.uniform(0, 2 * np.pi)
        ahead = np.array([np.cos(heading), np.sin(heading)])
        rows = rng.random() < 0.6
        step = float(rng.uniform(4, 12)) if rows else PIECE_M
        for number in range(int(rng.uniform(30, 160) / step)):
            xy = start + ahead * step * number + rng.normal(0, 0.3, 2) * rows
            if room.has(xy, 1.5):
                thing = trees[int(rng.integers(len(trees)))] if rows else hedge.piece(rng)
                made.append(thing.at(xy[0], xy[1], heading))
    for _ in range(int(rng.integers(1, 6))):
        middle, spread = rng.uniform(-_HALF_M, _HALF_M, 2), rng.uniform(8, 25)
        for xy in rng.normal(middle, spread, (int(rng.integers(8, 30)), 2)):
            if room.has(xy, 1.5):
                made.append(trees[int(rng.integers(len(trees)))].at(xy[0], xy[1], float(rng.uniform(0, 6))))
    return made


def _house(size: NDArray[np.float64], built_up: float, rng: np.random.Generator) -> Mesh:
    """Return walls below a flat or a pitched roof."""
    length, width = (float(side) for side in size)
    height = float(rng.uniform(2.5, 4.0) + 2.9 * rng.integers(0, 2 + round(4 * built_up)))
    colour = _WALLS[int(rng.integers(len(_WALLS)))]
    walls = box((0, 0, height / 2 - 1.5), (length, width, height + 3.0), Material.PLASTER, colour=colour)
    if rng.random() < 0.3:
        return walls
    ridge = height + width * float(rng.uniform(0.2, 0.45))
    gable = profile(
        [(-width / 2 - 0.3, height), (width / 2 + 0.3, height), (0.0, ridge)], length + 0.6, Material.TILE
    )
    return join([walls, gable.at(0, 0, np.pi / 2)])


def _tree(rng: np.random.Generator) -> Mesh:
    """Return a trunk below a crown with loose leaves around it, or a shrub."""
    radius, height = float(rng.uniform(1.0, 3.5)), float(rng.uniform(2.0, 7.0))
    clear = float(rng.choice([0.2, rng.uniform(1.0, 4.0)]))
    green = (float(rng.uniform(0.1, 0.3)), float(rng.uniform(0.22, 0.36)), float(rng.uniform(0.08, 0.14)))
    way = rng.normal(size=(int(60 * radius), 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    shell = way * [radius, radius, height / 2] * rng.uniform(0.85, 1.1, (len(way), 1))
    middle = (0.0, 0.0, clear + height / 2)
    core = (1.7 * radius, 1.7 * radius, 0.85 * height)
    trunk = clear + height / 2
    return join(
        [
            cylinder((0, 0, trunk / 2 - 0.2), (0.3, 0.3, trunk + 0.4), Material.BARK),
            ellipsoid(middle, core, Material.FOLIAGE, colour=green),
            leaves(shell + middle, (0.4, 0.8), Material.FOLIAGE, rng, green),
        ]
    )
