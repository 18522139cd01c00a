"""Which beam of a LiDAR each point comes from: as the cloud says it, else by the elevations of the points.

A field of rings is taken where it fits the elevations. Without one, the elevations of many clouds of a LiDAR
form lines, one for each beam, and the peaks of their common histogram are its table: the fine spacing about
the horizon of a LiDAR such as the Pandar40P is too much for a clustering of single clouds. Beams meet in one
place, which drivers do not always call the origin (0.2 m above it in KITTI's clouds of the HDL-64): the
height is searched for at which the lines are sharpest. A table that is the one of a product is taken to have
all of its beams, also those that have met nothing. Two products in one cloud are told apart (`two_lidars`).

Where no lines can be told apart the points are cut into slices by their elevation instead, each with equally
many points, and it is said: the clouds of solid-state LiDARs, and those in which the motion of a vehicle
during the sweep is made up for, since their points lie away from the rays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter

from cosense.errors import counted
from cosense.sensing.beams.elevations import PRODUCTS_DEG
from cosense.sensing.beams.two_lidars import Head, two_lidars

Points = NDArray[np.float32]
Rings = NDArray[np.int16]

# Slices where no beams can be told apart: what is most common in LiDARs that turn.
SLICES = 64
# Points of one cloud, and of all clouds, that show the beams; fewer than the latter show none.
_OF_A_CLOUD, _FOR_HEIGHT, _FEWEST_POINTS = 60_000, 60_000, 200
# Nearer ones lie off the rays by the size of the sensor.
_NEAREST_M = 1.5
_BIN_DEG = 0.01
# Lines are as sharp as the calibration: the smoothing that sets them apart best is taken.
_SMOOTH_BINS = (2.0, 4.0, 8.0)
# Peaks stand out from what is usual within 0.4 degrees to either side, and hold a share of the points.
_ABOUT_BINS, _STANDS_OUT, _LEAST_SHARE = 81, 2.0, 5e-5
_APART_BINS = 8
# A peak is part of its neighbour where the gap is so much smaller than those around.
_SAME_BEAM = 0.3
_HEIGHTS_M = np.linspace(-0.3, 0.3, 61)
_HEIGHT_BIN_DEG = 0.02
# The origin is where the beams meet unless another height is so much sharper.
_SHARPER = 1.1
# Share of the points within a quarter of the gap to the next line: half if there are no lines.
_QUARTER, _DISTINCT = 0.25, 0.85
# A product has lines within this, nearly all its beams, and nothing besides.
_OF_PRODUCT_DEG, _OF_PRODUCT = 0.15, 0.8
# Numbers of beams that LiDARs have: where the highest ring has seen nothing its number is still known.
_USUAL = (8, 16, 32, 40, 64, 80, 128, 256)


@dataclass(frozen=True, eq=False)
class BeamTable:
    """The beams of one LiDAR, from the lowest up.

    Attributes:
        elevations_deg: (B,) ascending; nan for a beam of which only the ring is known.
        rings: (B,) ring of each beam, None where points do not name their ring.
        heights_m: (B,) where each beam begins, above the origin: two heights for two LiDARs in one cloud.
        how: how the beams were found, for the log.
        are_slices: whether no beams could be told apart.
    """

    elevations_deg: NDArray[np.float64]
    rings: Rings | None
    heights_m: NDArray[np.float64]
    how: str
    are_slices: bool = False

    def __len__(self) -> int:
        return len(self.elevations_deg)

    @classmethod
    def of(cls, clouds: Sequence[tuple[Points, Rings | None]]) -> BeamTable:
        """Learn the beams of a LiDAR from some of its clouds.

        Args:
            clouds: points (N,>=3) in the frame of the sensor, and their rings (N,) where they name them.
        """
        rng = np.random.default_rng(0)
        parts, ring_parts = [], list[Rings | None]()
        for points, rings in clouds:
            xyz = points[:, :3]
            chosen = np.flatnonzero(np.einsum("ij,ij->i", xyz, xyz) > _NEAREST_M**2)
            if len(chosen) > _OF_A_CLOUD:
                chosen = rng.choice(chosen, _OF_A_CLOUD, replace=False)
            parts.append(xyz[chosen])
            ring_parts.append(None if rings is None else rings[chosen])
        xyz = np.concatenate([np.zeros((0, 3), np.float32), *parts])
        named = [rings for rings in ring_parts if rings is not None]
        if len(xyz) and len(named) == len(ring_parts):
            table = _from_rings(_elevation_deg(xyz), np.concatenate(named))
            if table is not None:
                return table
        return _from_elevations(xyz, rng)

    def beams_of(self, points: Points, rings: Rings | None) -> Rings:
        """Return the beam (N,) of each point, counted from the lowest; -1 for a ring that is no beam."""
        if self.rings is not None and rings is not None:
            known = np.full(max(int(self.rings.max()), int(rings.max(initial=0))) + 1, -1, np.int16)
            known[self.rings] = np.arange(len(self), dtype=np.int16)
            return np.where(rings < 0, np.int16(-1), known[rings])
        found, nearest = np.zeros(len(points), np.int16), np.full(len(points), np.inf)
        for height_m in np.unique(self.heights_m):
            beams = np.flatnonzero(np.isfinite(self.elevations_deg) & (self.heights_m == height_m))
            known_deg = self.elevations_deg[beams]
            elevation_deg = _elevation_deg(points[:, :3], height_m)
            beam = np.searchsorted((known_deg[1:] + known_deg[:-1]) / 2, elevation_deg)
            off = np.abs(elevation_deg - known_deg[beam])
            found = np.where(off < nearest, beams[beam].astype(np.int16), found)
            nearest = np.minimum(off, nearest)
        return found


def _elevation_deg(xyz: Points, height_m: float = 0.0) -> NDArray[np.float32]:
    """Return (N,) elevations as seen from a height above the origin."""
    up = xyz[:, 2] - np.float32(height_m)
    return np.degrees(np.arctan2(up, np.hypot(xyz[:, 0], xyz[:, 1])))


def _from_rings(elevation_deg: NDArray[np.float32], rings: Rings) -> BeamTable | None:
    """Return the table of rings (N,), None where these do not fit the elevations (N,)."""
    numbers, ring = np.unique(rings, return_inverse=True)
    order = np.lexsort((elevation_deg, ring))
    starts = np.searchsorted(ring[order], np.arange(len(numbers) + 1))
    middle = np.array([elevation_deg[order[(a + b) // 2]] for a, b in pairwise(starts)])
    spread = np.median(np.abs(elevation_deg - np.median(elevation_deg)))
    within = np.median(np.abs(elevation_deg - middle[ring]))
    if numbers[0] < 0 or (spread > 0.1 and not within < 0.25 * spread):
        return None
    highest = int(numbers[-1])
    first = 1 if numbers[0] >= 1 and highest in _USUAL else 0
    count = next((usual for usual in _USUAL if usual > highest - first), highest - first + 1)
    steps = np.diff(middle)
    if len(numbers) > 1 and ((steps > 0).all() or (steps < 0).all()) and len(numbers) > 0.75 * count:
        # Rings in the order of their elevation: those without a point have their place among the others.
        elevations = np.full(count, np.nan)
        elevations[numbers - first] = middle
        named = np.arange(first, first + count, dtype=np.int16)
        up = slice(None) if steps[0] > 0 else slice(None, None, -1)
        return BeamTable(elevations[up], named[up], np.zeros(count), "by the rings of the points")
    by_elevation = np.argsort(middle, kind="stable")
    return BeamTable(
        middle[by_elevation].astype(np.float64),
        numbers[by_elevation].astype(np.int16),
        np.zeros(len(numbers)),
        "by the rings of the points",
    )


def _from_elevations(xyz: Points, rng: np.random.Generator) -> BeamTable:
    """Return the table of points (N,3) that do not name their beam."""
    if len(xyz) < _FEWEST_POINTS:
        return _slices(_elevation_deg(xyz), f"{counted(len(xyz), 'point')} show no beams")
    some = xyz if len(xyz) <= _FOR_HEIGHT else xyz[rng.choice(len(xyz), _FOR_HEIGHT, replace=False)]
    sharpness = np.array([_sharpness(_elevation_deg(some, height)) for height in _HEIGHTS_M])
    height = float(_HEIGHTS_M[np.argmax(sharpness)])
    if sharpness.max() < _SHARPER * _sharpness(_elevation_deg(some)):
        height = 0.0
    elevation = _elevation_deg(xyz, height)
    distinct, lines = max(
        ((_distinct(elevation, lines), lines) for lines in _lines(elevation)), key=lambda found: found[0]
    )
    if distinct < _DISTINCT:
        heads = two_lidars(xyz, rng)
        if heads is not None:
            return _of_two(heads)
        return _slices(_elevation_deg(xyz), "the elevations of the points form no lines")
    for name, product in PRODUCTS_DEG.items():
        known = np.array(product)
        off = np.abs(lines[:, None] - known)
        is_each = len(set(off.argmin(axis=1))) == len(lines) >= _OF_PRODUCT * len(known)
        if is_each and off.min(axis=1).max() < _OF_PRODUCT_DEG:
            heights = np.full(len(known), height)
            return BeamTable(known, None, heights, f"by elevations, which are those of a {name}")
    return BeamTable(lines, None, np.full(len(lines), height), "by the elevations of the points")


def _of_two(heads: tuple[Head, Head]) -> BeamTable:
    """Return the table of two LiDARs together."""
    elevations = np.concatenate([head.elevations_deg for head in heads])
    heights = np.concatenate([np.full(len(head.elevations_deg), head.height_m) for head in heads])
    up = np.argsort(elevations, kind="stable")
    names = " and of a ".join(f"{head.name} {head.height_m:+.2f} m above the origin" for head in heads)
    return BeamTable(elevations[up], None, heights[up], f"by elevations, which are those of a {names}")


def _sharpness(elevation_deg: NDArray[np.float32]) -> float:
    """Return how likely two points have the same elevation."""
    bins = ((elevation_deg + 90) / _HEIGHT_BIN_DEG).astype(np.int64)
    return float(np.sum((np.bincount(bins) / len(bins)) ** 2))


def _lines(elevation_deg: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Yield the elevations of the lines that points (N,) form, ascending, for each smoothing."""
    bins = np.bincount(((elevation_deg + 90) / _BIN_DEG).astype(np.int64), minlength=int(180 / _BIN_DEG) + 1)
    usual = median_filter(bins, _ABOUT_BINS)
    least = np.maximum(_STANDS_OUT * usual, _LEAST_SHARE * len(elevation_deg))
    ordered = np.sort(elevation_deg)
    for smooth in _SMOOTH_BINS:
        counts = gaussian_filter1d(bins.astype(np.float64), smooth)
        middles = _peaks(counts, least) * _BIN_DEG - 90 + _BIN_DEG / 2
        first, last = np.searchsorted(ordered, [middles - 0.03, middles + 0.03])
        yield ordered[np.minimum((first + last) // 2, len(ordered) - 1)].astype(np.float64)


def _peaks(counts: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bins of peaks that are at least so high, one a beam."""
    # Imported late: it takes longer than all else that a player needs, and only those who drop beams use it.
    from scipy.signal import find_peaks

    peaks, _ = find_peaks(counts, distance=_APART_BINS, height=least)
    while len(peaks) > 2:
        gaps = np.diff(peaks)
        around = _around(gaps)
        doubled = int(np.argmin(gaps / around))
        if gaps[doubled] >= _SAME_BEAM * around[doubled]:
            break
        peaks = np.delete(peaks, doubled + int(counts[peaks[doubled]] > counts[peaks[doubled + 1]]))
    return peaks


def _around(gaps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each gap (N,), two at least, the median of up to three before and three after it."""
    padded = np.pad(gaps.astype(np.float64), 3, constant_values=np.nan)
    beside = np.sort(np.delete(sliding_window_view(padded, 7), 3, axis=1), axis=1)  # nan comes last
    count = np.isfinite(beside).sum(axis=1)
    row = np.arange(len(gaps))
    return (beside[row, (count - 1) // 2] + beside[row, count // 2]) / 2


def _distinct(elevation_deg: NDArray[np.float32], lines: NDArray[np.float64]) -> float:
    """Return the share of points (N,) that lie near a line (L,)."""
    if not len(lines):
        return 0.0
    gaps = np.diff(lines, prepend=lines[0] - 1, append=lines[-1] + 1)
    beam = np.searchsorted((lines[1:] + lines[:-1]) / 2, elevation_deg)
    off = elevation_deg - lines[beam]
    gap = np.where(off > 0, gaps[beam + 1], gaps[beam])
    return float(np.mean(np.abs(off) < _QUARTER * np.minimum(gap, 1.0)))


def _slices(elevation_deg: NDArray[np.float32], why: str) -> BeamTable:
    """Return slices of elevation with equally many points."""
    shares = (np.arange(SLICES) + 0.5) / SLICES
    middles = np.quantile(elevation_deg, shares) if len(elevation_deg) else np.linspace(-25, 15, SLICES)
    how = f"{why}: they are taken for {SLICES} slices with equally many points"
    return BeamTable(np.asarray(middles, np.float64), None, np.zeros(SLICES), how, are_slices=True)
