"""The relief of a scene: hills, roads laid through them with slope and crossfall, and what lies beside.

A road follows the country in long vertical curves. From its crown it falls to both sides, in bends to the
inner side; walkways fall towards the road. Beside it, banks lead up or down to the country, some with a ditch
first. Car parks and roundabouts are slabs of a shape of their own. The amounts are those of road design:
longitudinal slopes up to 8 % and rarely 12 %, crossfall of 2 to 3 % (AASHTO, A Policy on Geometric Design of
Highways and Streets, 2018, chapters 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree

from cosense.simulation.scenes.paths import STEP_M, Line, normals
from cosense.simulation.scenes.surface import (
    BLOCK_CELLS,
    EXTENT_M,
    RELIEF_CELL_M,
    Ground,
    blocks_of,
    plain_block,
    raised_by,
)

Values = NDArray[np.float64]
# Returns the height (n,) of the country at points (n,2).
Hills = Callable[[Line], Values]

# A road bends the relief up to here from its walkways.
_REACH_M = 100.0
# Along a road, hills are smoothed by a Gaussian of this width, and junctions let go over this length.
_VERTICAL_CURVE_M, _LEVEL_OUT_M = 14.0, 25.0
_WALKWAY_FALL = 0.02
# Sharper bends than this fall to one side.
_BANKED_PER_M = 1 / 220
# As near to roads as this, cells of the relief stay single, for up to so many blocks.
_FINE_M, _FINE_BLOCKS = 10.0, 3000


@dataclass(frozen=True)
class Country:
    """How uneven a place is.

    Attributes:
        grade: steepest longitudinal slope of its roads.
        crossfall: slope of the lanes away from the crown, and of slabs.
        bank_m: greatest height of embankments and cuttings beside the walkways.
        verge_fall: slope by which the first metres beside a road fall away.
        ditch_m: depth of the ditches beside the roads, 0 for none.
        undulation_m: height between hollows and humps of lawns and fields.
        undulation_span_m: distance between them.
        roughness_m: standard deviation of the surface of the roads.
        potholes: number of potholes.
        kerb_m: height of the kerbs, 0 where walkways are level with the road.
    """

    grade: float
    crossfall: float
    bank_m: float
    verge_fall: float
    ditch_m: float
    undulation_m: float
    undulation_span_m: float
    roughness_m: float
    potholes: int
    kerb_m: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, *, rural: bool = False) -> Country:
        """Draw a country: a third nearly level, a third moderate, a third hilly; rural ones more often."""
        amount = rng.uniform(0.25 if rural else 0.0, 1.0)
        if amount < 1 / 3:
            grade = rng.uniform(0.0, 0.012)
        elif amount < 2 / 3:
            grade = rng.uniform(0.015, 0.04)
        else:
            grade = rng.uniform(0.04, 0.08) if rng.random() < 0.9 else rng.uniform(0.08, 0.12)
        level_walkways = rural or rng.random() < 0.15
        return cls(
            grade=float(grade),
            crossfall=float(rng.uniform(0.02, 0.03)),
            bank_m=float(rng.uniform(0.5, 3.0) if rural else rng.uniform(0.1, 0.4 + amount)),
            verge_fall=float(rng.uniform(0.0, 0.12 if rural else 0.05)),
            ditch_m=float(rng.uniform(0.3, 1.0)) if rural and rng.random() < 0.8 else 0.0,
            undulation_m=float(rng.uniform(0.05, 0.4)),
            undulation_span_m=float(rng.uniform(5, 30)),
            roughness_m=float(rng.uniform(0.001, 0.008)),
            potholes=int(rng.integers(0, 40)) if rng.random() < 0.5 else 0,
            kerb_m=0.0 if level_walkways else float(rng.uniform(0.03, 0.18)),
        )


@dataclass(frozen=True)
class Way:
    """A road as the relief needs it.

    Attributes:
        line: (n,2) crown of the road in steps of about `STEP_M`.
        kerb_m: distance of the kerbs from it.
        edge_m: distance of the outer edges of the walkways.
        level_m: arc length up to which the road belongs to a junction at its beginning, which lies as high as
            the middle of the scene; None if the road only passes.
        sink_m: (n,) depths below the country to which the road is dug in, None for a road on its level.
    """

    line: Line
    kerb_m: float
    edge_m: float
    level_m: float | None = None
    sink_m: Values | None = None


@dataclass(frozen=True)
class Slab:
    """A built area with a shape of its own, such as a car park.

    Attributes:
        outside_m: returns the distance (n,) of points (n,2) from the area, 0 inside.
        height_m: returns its height (n,) at points (n,2), given the hills into which it is laid.
    """

    outside_m: Callable[[Line], Values]
    height_m: Callable[[Line, Hills], Values]


def shape(
    ground: Ground,
    country: Country,
    ways: Sequence[Way],
    rng: np.random.Generator,
    slabs: Sequence[Slab] = (),
) -> None:
    """Give a ground its kerbs and its relief; the middle of the scene is at about height 0."""
    hills = _Waves.drawn(rng)
    level = [replace(way, sink_m=None) for way in ways]
    steepest = max(np.abs(np.gradient(_crown(way, hills), STEP_M)).max() for way in level)
    lay(ground, country, ways, hills.scaled(country.grade / max(steepest, 1e-6)), rng, slabs)


def lay(
    ground: Ground,
    country: Country,
    ways: Sequence[Way],
    hills: Hills,
    rng: np.random.Generator,
    slabs: Sequence[Slab] = (),
) -> None:
    """Lay roads and slabs into given hills, a function from points (n,2) to heights (n,)."""
    ground.raise_m[:] = raised_by(country.kerb_m)
    n = len(ground.relief)
    axis = np.linspace(-EXTENT_M, EXTENT_M, n)
    xy = np.stack(np.meshgrid(axis, axis), axis=2)
    corners = xy[::BLOCK_CELLS, ::BLOCK_CELLS]
    away, *_ = _built(corners.reshape(-1, 2), country, ways, hills, slabs)
    fine = _fine_blocks(away.reshape(corners.shape[:2]))
    needed = np.zeros((n, n), dtype=bool)
    needed[::BLOCK_CELLS, ::BLOCK_CELLS] = True
    blocks_of(needed)[fine] = True
    places = xy[needed]
    outside, height, ditch = _built(places, country, ways, hills, slabs)
    waves = _noise(n, country.undulation_span_m / 4, rng)[needed] * country.undulation_m / 4
    natural = hills(places) + waves * _step(outside / 4)
    bank = country.bank_m * _step(outside / (2.2 * country.bank_m + 2))
    bank += 0.4 * np.clip(outside - 14, 0, _REACH_M)
    relief = np.where(outside < _REACH_M, height + _within(natural - height, bank), natural)
    relief -= country.ditch_m * ditch
    rough = _noise(n, 0.8, rng)[needed] * country.roughness_m
    paved = np.flatnonzero(outside == 0)
    if len(paved):
        rough[rng.choice(paved, country.potholes)] -= rng.uniform(0.02, 0.06, country.potholes)
    relief += np.where(outside == 0, rough, 0)
    ground.relief[needed] = relief
    blocks = blocks_of(ground.relief)
    blocks[~fine] = plain_block(blocks[..., ::BLOCK_CELLS, ::BLOCK_CELLS].copy())[~fine]


def _fine_blocks(away: Values) -> NDArray[np.bool_]:
    """Return the blocks (n-1,n-1) near roads, given the distances (n,n) of their corners from these."""
    near = np.minimum.reduce([away[:-1, :-1], away[:-1, 1:], away[1:, :-1], away[1:, 1:]])
    return np.asarray(near <= min(_FINE_M, float(np.sort(near.ravel())[_FINE_BLOCKS])))


def _built(
    xy: Line,
    country: Country,
    ways: Sequence[Way],
    hills: Hills,
    slabs: Sequence[Slab],
) -> tuple[Values, Values, Values]:
    """Return distance (n,) and height (n,) of what is built near points, and the share (n,) of a ditch.

    Between several roads, the nearer one counts more; on a road, the others count nothing that matters.
    """
    nearest = np.full(len(xy), np.inf)
    height, ditch, weights = np.zeros((3, len(xy)))
    parts = [_road(xy, way, country, hills) for way in ways]
    parts += [_slab(xy, slab, hills) for slab in slabs]
    for part in parts:
        weight = (part.outside_m + 0.3) ** -4
        height[part.near] += weight * part.height_m
        ditch[part.near] += weight * part.ditch
        weights[part.near] += weight
        nearest[part.near] = np.minimum(nearest[part.near], part.outside_m)
    weights = np.maximum(weights, 1e-12)
    return nearest, height / weights, ditch / weights


@dataclass(frozen=True)
class _Part:
    """What one road or slab asks for at the points near it.

    Attributes:
        near: (n,) rows of the points.
        outside_m: (n,) their distance from it.
        height_m: (n,) height.
        ditch: (n,) share of the depth of a ditch.
    """

    near: NDArray[np.int64]
    outside_m: Values
    height_m: Values
    ditch: Values


def _slab(xy: Line, slab: Slab, hills: Hills) -> _Part:
    outside = slab.outside_m(xy)
    near = np.flatnonzero(outside < _REACH_M)
    return _Part(near, outside[near], slab.height_m(xy[near], hills), np.zeros(len(near)))


def _road(xy: Line, way: Way, country: Country, hills: Hills) -> _Part:
    distance, row = cKDTree(way.line).query(xy, distance_upper_bound=_REACH_M + way.edge_m)
    near = np.flatnonzero(np.isfinite(distance))
    row = row[near]
    normal = normals(way.line)
    tangent = np.column_stack([normal[:, 1], -normal[:, 0]])
    offset = xy[near] - way.line[row]
    left = (offset * normal[row]).sum(axis=1)
    ahead = (offset * tangent[row]).sum(axis=1)
    along = np.clip(row + ahead / STEP_M, 0, len(way.line) - 1)
    outside = np.maximum(distance[near] - way.edge_m, 0)
    height = np.interp(along, np.arange(len(way.line)), _crown(way, hills))
    fall_left, fall_right = _falls(way, country.crossfall)
    across = np.clip(left, -way.kerb_m, way.kerb_m)
    begin = 1.0 if way.level_m is None else _step((along * STEP_M - way.level_m) / 15)
    height -= begin * np.where(across > 0, fall_left * across, -fall_right * across)
    height += begin * _WALKWAY_FALL * np.clip(np.abs(left) - way.kerb_m, 0, way.edge_m - way.kerb_m)
    height -= begin * country.verge_fall * np.minimum(outside, 4.0)
    ditch = begin * np.sin(np.pi * np.clip((outside - 0.4) / 2.6, 0, 1)) ** 2
    return _Part(near, outside, height, np.broadcast_to(ditch, len(near)))


def _crown(way: Way, hills: Hills) -> Values:
    """Return the height (n,) of the crown along a road: the country in vertical curves."""
    height = gaussian_filter1d(hills(way.line), _VERTICAL_CURVE_M / STEP_M, mode="nearest")
    if way.sink_m is not None:
        height -= way.sink_m
    if way.level_m is None:
        return height
    along = np.arange(len(height), dtype=np.float64) * STEP_M
    middle = float(hills(np.zeros((1, 2)))[0])
    return middle + (height - middle) * _step((along - way.level_m) / _LEVEL_OUT_M)


def _falls(way: Way, crossfall: float) -> tuple[float, float]:
    """Return the slopes by which a road falls to the left and to the right of its crown."""
    heading = np.unwrap(np.arctan2(*np.diff(way.line, axis=0).T[::-1]))
    bend = (heading[-1] - heading[0]) / (len(heading) * STEP_M)
    if abs(bend) < _BANKED_PER_M:
        return crossfall, crossfall
    return crossfall * np.sign(bend), -crossfall * np.sign(bend)


@dataclass(frozen=True)
class _Waves:
    """Waves of the country, with height 0 at the middle of the scene.

    Attributes:
        wave: (waves,2) wave vectors in rad/m.
        phase: (waves,) phases.
        size: (waves,) amplitudes in metres.
    """

    wave: NDArray[np.float64]
    phase: NDArray[np.float64]
    size: NDArray[np.float64]

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> _Waves:
        """Draw one slope of a kilometre and hills of 100 to 400 m, of equal steepness each."""
        length = np.array([2000.0, *rng.uniform(100, 400, 4)])
        angle = rng.uniform(0, 2 * np.pi, len(length))
        wave = 2 * np.pi / length[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
        phase = rng.uniform(0, 2 * np.pi, len(length))
        phase[0] = 0.0
        return cls(wave, phase, length * rng.uniform([1.0, *[0.2] * 4], [2.0, *[1.0] * 4]))

    def scaled(self, share: float) -> _Waves:
        return _Waves(self.wave, self.phase, self.size * share)

    def __call__(self, xy: Line) -> Values:
        angle = xy @ self.wave.T + self.phase
        return np.asarray((np.sin(angle) - np.sin(self.phase)) @ self.size)


def _noise(n: int, width: float, rng: np.random.Generator) -> Values:
    """Return smooth noise (n,n) of unit variance, with a Gaussian of so many cells."""
    noise = gaussian_filter(rng.standard_normal((n, n)), width / RELIEF_CELL_M, mode="wrap")
    return np.asarray(noise / noise.std())


def _within(values: Values, limit: Values) -> Values:
    """Return values drawn smoothly to within ±limit; those far below it hardly change."""
    return np.asarray(values * limit / np.maximum((values**4 + limit**4) ** 0.25, 1e-9))


def _step(share: Values) -> Values:
    """Return the smooth step from 0 at 0 to 1 at 1."""
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)
