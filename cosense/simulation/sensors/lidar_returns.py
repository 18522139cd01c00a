"""What comes back of each pulse of a sweep: weak, mirrored, scattered and mixed returns, noise, intensity.

A pulse returns with the power reflectance x cosine / range^2, 1 at the sensitivity of the model for a 10 %
target, and is detected with probability 1 - 2^-power. Glass and wet roads divide a pulse by Fresnel's
equations in Schlick's approximation (1994). What goes on is cast again, and what it meets appears straight
ahead at the length of the whole way: things behind a pane where they are, mirrored ones behind the mirror.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import STATIC
from cosense.simulation.sensors.lidar_unit import IntensityScale, LidarUnit
from cosense.simulation.sensors.raycast import Hits, View
from cosense.simulation.sensors.weather import Weather

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

# Share of the pulses on glass that return from its dirt and its frame.
GLASS_RETURNS = 0.12
# A pulse passes a tinted pane twice, out and back.
_THROUGH_PANE = 0.8**2
# Panes that a pulse passes, or mirrors that throw it on.
_PASSES = 2
# A pane mirrors more than it lets through beyond this reflectance.
_MIRRORS = 0.4
# A film of water on a rough road mirrors this share of what a smooth one would, and darkens the road below.
_SMOOTH, _WET_DARKENS = 0.35, 0.5
_WETTED = (Material.ASPHALT, Material.PAVING, Material.MARKING)
# Retro-reflectors exceed the scale of a diffuse target.
_RETRO = 1.0
_BLOOMS_WITHIN_M = 70.0
# Intensities that fall with the range are those of other drivers at this one.
_REFERENCE_M = 15.0
# A pulse goes on this far behind what it has passed.
_CLEAR_M = np.float32(2e-3)
# Neighbours (row, column) of a ray that the halo of a reflector reaches.
_HALO = ((0, -2), (0, -1), (0, 1), (0, 2), (-1, 0), (1, 0))
# Two surfaces in one beam give one return between them if they are this near, else two returns.
_MIXED_M = (0.25, 2.0)
# Stands for the range of what is out of every LiDAR's reach.
_FAR_M = np.float32(1e4)
_SHINY = (Material.PAINT, Material.METAL, Material.GLASS, Material.LAMP)


@dataclass(eq=False)
class Returns:
    """What comes back of R pulses.

    Attributes:
        range_m: (R,) length of the way, inf if there is nothing.
        reflectance: (R,) of what was hit in the end.
        cosine: (R,) of the angle between the last stretch of the way and the normal there.
        material: (R,) of what was hit in the end.
        gain: (R,) share of the power that glass and mirrors have left.
        owner: (R,) row of the actor, `STATIC` for everything else.
    """

    range_m: Floats
    reflectance: Floats
    cosine: Floats
    material: NDArray[np.uint8]
    gain: Floats
    owner: NDArray[np.int32]

    def become(self, rays: Rows, range_m: Floats, reflectance: Floats | float) -> None:
        """Replace returns by ones that no surface has thrown back."""
        self.range_m[rays] = range_m
        self.reflectance[rays] = reflectance
        self.cosine[rays] = 1.0
        self.gain[rays] = 1.0
        self.owner[rays] = STATIC


def follow(
    view: View,
    origins: Floats,
    directions: Floats,
    hits: Hits,
    weather: Weather,
    rng: np.random.Generator,
) -> Returns:
    """Let pulses (R,3) that have hit something go on through glass and off mirrors."""
    back = Returns(
        hits.range_m.copy(),
        hits.reflectance.copy(),
        _cosine(directions, hits.normal),
        hits.material.copy(),
        np.ones(len(hits.range_m), dtype=np.float32),
        hits.owner.copy(),
    )
    divides = np.zeros(len(Material), dtype=bool)
    divides[Material.GLASS] = True
    divides[list(_WETTED)] = weather.wet > 0
    mirrored = np.zeros(len(back.range_m), dtype=bool)
    rays = np.flatnonzero(np.isfinite(back.range_m) & divides[back.material])
    way, normal = directions[rays], hits.normal[rays]
    start = origins[rays]
    reach_m = back.range_m[rays]
    for _ in range(_PASSES):
        onward, mirrors = _divide(back, rays, weather, rng)
        start = (start + way * reach_m[:, None])[onward]
        rays, way, normal, mirrors = rays[onward], way[onward], normal[onward], mirrors[onward]
        if not len(rays):
            break
        facing = np.einsum("ij,ij->i", way, normal) * mirrors
        way = way - 2 * facing[:, None] * normal
        start += _CLEAR_M * way
        further = view.cast(start, way)
        back.range_m[rays] += further.range_m + _CLEAR_M
        back.reflectance[rays] = further.reflectance
        back.cosine[rays] = _cosine(way, further.normal)
        back.material[rays] = further.material
        back.owner[rays] = further.owner
        mirrored[rays] |= mirrors
        again = np.isfinite(further.range_m) & divides[further.material]
        rays, way, start = rays[again], way[again], start[again]
        normal, reach_m = further.normal[again], further.range_m[again]
    # The mirror image of a car is no part of it.
    back.owner[mirrored] = STATIC
    return back


def _cosine(directions: Floats, normals: Floats) -> Floats:
    return np.asarray(np.abs(np.einsum("ij,ij->i", directions, normals)), dtype=np.float32)


def _divide(
    back: Returns, rays: Rows, weather: Weather, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Decide which pulses on glass or water go on, and which of them are mirrored; weaken all of them."""
    glass = back.material[rays] == Material.GLASS
    drawn = rng.random(len(rays), dtype=np.float32)
    slant = (1 - back.cosine[rays]) ** 5
    pane = 0.08 + 0.92 * slant
    water = (0.02 + 0.98 * slant) * weather.wet
    mirrors = np.where(glass, pane > _MIRRORS, True)
    onward = np.where(glass, drawn > GLASS_RETURNS, drawn < _SMOOTH * water)
    shine = np.where(glass, pane, water)
    left = np.where(mirrors, shine**2, (1 - pane) ** 2 * _THROUGH_PANE)
    # What comes back from a wet road has passed the film twice.
    stays = np.where(glass, 1.0, (1 - water) ** 2 * (1 - _WET_DARKENS * weather.wet))
    back.gain[rays] *= np.where(onward, left, stays)
    return onward, mirrors


def detect(unit: LidarUnit, back: Returns, weather: Weather, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (R,) which pulses are detected, those that air or water throws back too."""
    model = unit.model
    count = len(back.range_m)
    _scatter(unit, back, weather, rng)
    lit = np.maximum(back.cosine, 0.02)
    shiny = np.zeros(len(Material), dtype=bool)
    shiny[list(_SHINY)] = True
    # Lacquer throws more of a slanting pulse away than a rough surface does.
    lit = np.where(shiny[back.material], lit**1.5, lit)
    range_m = np.maximum(back.range_m, 0.1)
    power = back.reflectance * 10 * lit * back.gain * (model.sensitivity_m / range_m) ** 2
    if weather.extinction_per_m:
        power *= np.exp(-2 * weather.extinction_per_m * np.minimum(range_m, _FAR_M))
    chance = (1 - np.exp2(-power)) * (1 - unit.lost)
    seen = rng.random(count, dtype=np.float32) < chance
    return seen & (back.range_m < model.max_range_m) & (back.range_m > model.min_range_m)


def _scatter(unit: LidarUnit, back: Returns, weather: Weather, rng: np.random.Generator) -> None:
    """Let drops near the sensor, and the pulses of other LiDARs, take the place of some returns."""
    count = len(back.range_m)
    if weather.backscatter:
        rays = np.flatnonzero(rng.random(count, dtype=np.float32) < weather.backscatter)
        near_m = unit.model.min_range_m + rng.gamma(1.5, weather.reach_m / 1.5, len(rays)).astype(np.float32)
        before = near_m < back.range_m[rays]
        rays, near_m = rays[before], near_m[before]
        back.become(rays, near_m, rng.uniform(0.02, 0.15, len(rays)).astype(np.float32))
    if unit.crosstalk:
        rays = rng.choice(count, rng.binomial(count, unit.crosstalk), replace=False)
        anywhere_m = rng.uniform(unit.model.min_range_m, unit.model.max_range_m / 2, len(rays))
        back.become(rays, anywhere_m.astype(np.float32), 3.0)


def smear(
    unit: LidarUnit, back: Returns, seen: NDArray[np.bool_], columns: int, rng: np.random.Generator
) -> None:
    """Mix the two sides of edges in one return, and let halos of reflectors cover what is behind; in place.

    Args:
        unit: the LiDAR.
        back: returns of rows and columns, row by row.
        seen: (R,) which of them are detected; a halo adds to them.
        columns: number of columns, which form a circle where the field is a full turn.
        rng: draws which returns are mixed or covered.
    """
    if unit.mixing:
        table = np.minimum(back.range_m, _FAR_M).reshape(-1, columns)
        step = np.diff(table, axis=1, append=table[:, :1] if unit.model.field_deg >= 360 else table[:, -1:])
        step = step.ravel()
        low, high = _MIXED_M
        edge = (np.abs(step) > low) & (np.abs(step) < high) & seen
        rays = np.flatnonzero(edge)
        rays = rays[rng.random(len(rays)) < unit.mixing]
        back.range_m[rays] += step[rays] * rng.random(len(rays), dtype=np.float32)
        back.owner[rays] = STATIC
    if unit.blooming:
        rays = np.flatnonzero(seen & (back.reflectance > _RETRO) & (back.range_m < _BLOOMS_WITHIN_M))
        _bloom(unit, back, seen, rays, columns, rng)


def _bloom(
    unit: LidarUnit,
    back: Returns,
    seen: NDArray[np.bool_],
    reflectors: Rows,
    columns: int,
    rng: np.random.Generator,
) -> None:
    """Copy returns of reflectors to neighbours that see nothing or something farther away."""
    rows = len(seen) // columns
    range_m, owner = back.range_m[reflectors], back.owner[reflectors]
    for down, aside in _HALO:
        row, column = reflectors // columns + down, reflectors % columns + aside
        other = row * columns + column % columns
        covers = (row >= 0) & (row < rows) & (rng.random(len(reflectors)) < unit.blooming)
        if unit.model.field_deg < 360:
            covers &= (column >= 0) & (column < columns)
        other, near_m, whose = other[covers], range_m[covers], owner[covers]
        hidden = (back.range_m[other] > near_m + 0.3) | ~seen[other]
        rays = other[hidden]
        back.become(rays, near_m[hidden], 0.3)
        back.owner[rays] = whose[hidden]
        seen[rays] = True


def intensity_of(scale: IntensityScale, back: Returns, rng: np.random.Generator) -> Floats:
    """Return (N,) intensities 0..1 as a driver reports them."""
    count = len(back.range_m)
    if not scale.gain:
        return np.zeros(count, dtype=np.float32)
    lit = 0.35 + 0.65 * np.maximum(back.cosine, 0.02)
    value = back.reflectance * back.gain * lit * (1 + 0.12 * rng.standard_normal(count, dtype=np.float32))
    if scale.range_power:
        value *= (_REFERENCE_M / np.maximum(back.range_m, 1.0)) ** scale.range_power
    value = np.clip(value * scale.gain, 0, 1)
    if scale.gamma != 1:
        value **= scale.gamma
    if scale.levels:
        value = np.round(value * scale.levels) / scale.levels
    return np.asarray(value, dtype=np.float32)
