"""The ground around a LiDAR: one network serves a car's roof and a mast of seven metres, on any road.

A network measures heights from the ground, and boxes are moved back afterwards. The mounting heights of
sensors differ by five metres, their mounts are tilted by degrees, and roads climb; the ground is what they
have in common, and it takes no calibration to find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cosense.geometry.boxes import Boxes

_BIN_M = 0.1
# Large clouds are thinned to about this many points.
_ENOUGH = 20_000
# The ground has at least this share of the highest peak; lower layers with less are reflections and ditches.
_SHARE_OF_PEAK = 0.4

# The surface: every n-th point of a larger cloud tells as much.
_SURFACE_POINTS = 30_000
_REACH_M, _CELL_M = 70.0, 2.5
_CELLS = round(2 * _REACH_M / _CELL_M)
# Mirrored returns appear below the road: a layer has at least two returns and a twentieth of its cell's.
_LEAST_RETURNS, _QUANTILE = 2, 0.05
# Mounts are tilted by up to 5 degrees to the side and to the front, and roads climb by as much again.
_STEEPEST = float(np.tan(np.deg2rad(14.0)))
_PLANE_CELL_M, _PLANE_BIN_M, _PLANE_REACH_M = 5.0, 0.2, 45.0
_FEWEST_CELLS, _HYPOTHESES = 8, 200
# A roof is less than 4 m above its road; what is lower than that is another road.
_ON_PLANE_M, _BELOW_M = 0.4, (0.6, 4.0)
_COST_BELOW, _COST_OF_SLOPE = 0.5, 0.07
_OWN_ROAD_M = 20.0
_REFINE_M = (0.5, 0.3, 0.2)
_RELIEF_M, _RELIEF_BIN_M = 3.0, 0.1
_SURE_RETURNS = 5
_COARSER = 0.01
_STEP_M, _CONE_SLOPE = 0.3, 0.12
_CONE_M = _CONE_SLOPE * _CELL_M * np.hypot(*np.mgrid[-6:7, -6:7])
# Gaussians in cells, and how far from the surface so far a cell still counts.
_SMOOTHING = ((6.0, 1.2), (6.0, 0.6), (3.0, 0.5), (3.0, 0.35), (1.5, 0.3), (1.5, 0.25), (0.7, 0.2))


@dataclass(frozen=True)
class GroundSettings:
    """What the estimate assumes of a site.

    Attributes:
        sensor_height_m: (lowest, highest) mounting of a sensor above the ground; negative where the road
            around rises above the sensor.
        reach_m: (nearest, farthest) horizontal distance of the points that show the ground: nearer ones show
            the roof or the mast that carries the sensor, farther ones walls rather than road.
    """

    sensor_height_m: tuple[float, float] = (-3.0, 12.0)
    reach_m: tuple[float, float] = (2.5, 60.0)

    def __post_init__(self) -> None:
        if not self.sensor_height_m[0] < self.sensor_height_m[1]:
            raise ValueError(f"sensor_height_m {self.sensor_height_m} is empty")
        if not 0 <= self.reach_m[0] < self.reach_m[1]:
            raise ValueError(f"reach_m {self.reach_m} is empty or begins below 0")


# From the roof of a car to a mast of twelve metres.
ANY_SITE = GroundSettings()


def ground_height(points: NDArray[np.float32], settings: GroundSettings = ANY_SITE) -> float:
    """Return z of the ground in the frame of the cloud: the height of the lowest layer with many points.

    It is the lowest peak, small ones excepted, of a histogram of z in which a point weighs as much as the
    square of its distance, because the density of points on a flat road falls with that square.

    Args:
        points: (N,>=3) x, y, z in metres with the sensor at the origin and z up; all finite.
        settings: assumptions about the site.

    Returns:
        Height in metres; 0 for a cloud with no point within the settings.
    """
    nearest_m, farthest_m = settings.reach_m
    lowest_m, highest_m = -settings.sensor_height_m[1], -settings.sensor_height_m[0]
    points = points[:: max(1, len(points) // _ENOUGH)]
    # Somebody's coordinates are near the largest float32, and no float32 is their square.
    distance2 = np.square(points[:, :2], dtype=np.float64).sum(axis=1)
    z = points[:, 2]
    used = (distance2 > nearest_m**2) & (z > lowest_m) & (z < highest_m)
    within = used & (distance2 < farthest_m**2)
    used = within if within.any() else used
    z, distance2 = z[used], distance2[used]
    if len(z) == 0:
        return 0.0
    bins = ((z - lowest_m) / _BIN_M).astype(np.int64)
    weights = np.bincount(bins, weights=distance2, minlength=round((highest_m - lowest_m) / _BIN_M))
    smooth = np.convolve(weights, np.ones(5), mode="same")
    peak = int(np.flatnonzero(smooth >= _SHARE_OF_PEAK * smooth.max())[0])
    # Climb from the foot of that peak to its top.
    while peak + 1 < len(smooth) and smooth[peak + 1] > smooth[peak]:
        peak += 1
    layer = np.abs(z - (lowest_m + (peak + 0.5) * _BIN_M)) <= 0.25
    return float(np.average(z[layer], weights=distance2[layer]))


@dataclass(frozen=True)
class GroundPlane:
    """The plane that most of the ground lies in, in the frame of a cloud.

    Attributes:
        height_m: z below the sensor.
        slope_x, slope_y: rise of z per metre along x and y.
    """

    height_m: float
    slope_x: float = 0.0
    slope_y: float = 0.0

    @classmethod
    def of(cls, points: NDArray[np.float32], settings: GroundSettings = ANY_SITE) -> GroundPlane:
        """Measure the plane of the ground in a cloud.

        It is one through three of the lowest layers in cells of 5 m (random sample consensus of Fischler and
        Bolles, 1981, with a fixed seed), or the level plane of `ground_height`. The one wins that most cells
        lie on while few lie below it, because the ground is the lower envelope of a cloud; a steeper one has
        to win by more. It is then refined by iteratively reweighted least squares.

        Args:
            points: (N,>=3) x, y, z in metres with the sensor at the origin and z roughly up; all finite.
            settings: assumptions about the site.

        Returns:
            The plane; level, at the height that `ground_height` returns, where a cloud shows too little.
        """
        x, y, z = _around(points, settings)
        return _plane(x, y, z, ground_height(points, settings), settings)

    @property
    def level_height_m(self) -> float:
        """z of the plane in the levelled frame."""
        return self.height_m / float(np.sqrt(1 + self.slope_x**2 + self.slope_y**2))


@dataclass(frozen=True, eq=False)
class GroundSurface:
    """The ground around a sensor in a levelled frame: a height, and a relief in cells of 2.5 m.

    The relief is what no plane has: kerbs, verges, crowned and winding roads. It is a smooth surface through
    the lowest layers of the cells, corrected from coarse to fine with Gaussians of 15 m to 1.75 m (normalised
    convolution of Knutsson and Westin, CVPR 1993). A cell counts less the farther it lies from the surface so
    far, above more than below: the walls of houses, vehicles and hedges lift no ground. Without returns near
    by, the coarser surface goes on.

    Attributes:
        plane_m: z of the plane that most of the ground lies in.
        relief_m: (56,56) float32, height of the ground above that plane at the centres of the cells of a
            square of 140 m around the sensor, first index along x.
    """

    plane_m: float
    relief_m: NDArray[np.float32]

    @classmethod
    def of(
        cls, points: NDArray[np.float32], plane_m: float, settings: GroundSettings = ANY_SITE
    ) -> GroundSurface:
        """Measure the relief in a levelled cloud.

        Args:
            points: (N,>=3) x, y, z in metres with the sensor at the origin and z normal to the ground.
            plane_m: z of its plane.
            settings: assumptions about the site.
        """
        x, y, z = _around(points, settings)
        possible = z > -settings.sensor_height_m[1]
        return cls(plane_m, _relief(x[possible], y[possible], z[possible] - np.float32(plane_m)))

    @classmethod
    def level(cls, height_m: float) -> GroundSurface:
        """Return ground without relief at a height in the frame of the cloud."""
        return cls(height_m, np.zeros((_CELLS, _CELLS), np.float32))

    def off_by(self, height_m: float, slope_x: float, slope_y: float) -> GroundSurface:
        """Return the same ground with a height, and with what it rises per metre of x and y, added to it."""
        middle_m = (np.arange(_CELLS, dtype=np.float32) + 0.5) * _CELL_M - _REACH_M
        rise_m = slope_x * middle_m[:, None] + slope_y * middle_m
        return GroundSurface(self.plane_m + height_m, self.relief_m + rise_m.astype(np.float32))

    @property
    def height_m(self) -> float:
        """z of the ground below the sensor."""
        return float(self.at(np.zeros(1), np.zeros(1))[0])

    def at(self, x: NDArray, y: NDArray) -> NDArray:
        """Return z of the ground at places x (K,), y (K,), bilinear between the centres of cells."""
        # The last cell is approached, never reached, so that it always has a next one.
        column, row = (np.clip((axis + _REACH_M) / _CELL_M - 0.5, 0, _CELLS - 1.001) for axis in (x, y))
        first, second = np.floor(column), np.floor(row)
        column, row = column - first, row - second
        corner = (first * _CELLS + second).astype(np.int32)
        relief = self.relief_m.ravel()
        near = relief[corner] * (1 - row) + relief[corner + 1] * row
        far = relief[corner + _CELLS] * (1 - row) + relief[corner + _CELLS + 1] * row
        return np.asarray(self.plane_m + near + column * (far - near))

    def heights(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the heights (N,) of a levelled cloud (N,>=3) above the ground."""
        return np.asarray(points[:, 2] - self.at(points[:, 0], points[:, 1]), dtype=np.float32)

    def above(self, boxes: Boxes) -> Boxes:
        """Return boxes (M,7) with z counted from the ground below their centres."""
        lowered = boxes.copy()
        lowered[:, 2] -= self.at(boxes[:, 0], boxes[:, 1])
        return lowered


def _around(
    points: NDArray[np.float32], settings: GroundSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return x, y and z of enough points to tell the ground by, without those on what carries the sensor."""
    x, y, z = np.ascontiguousarray(points[:: max(1, len(points) // _SURFACE_POINTS), :3].T)
    near = (np.abs(x) < _REACH_M) & (np.abs(y) < _REACH_M)
    x, y, z = x[near], y[near], z[near]
    used = x * x + y * y > settings.reach_m[0] ** 2
    return x[used], y[used], z[used]


def _plane(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    z: NDArray[np.float32],
    level_m: float,
    settings: GroundSettings,
) -> GroundPlane:
    """Return the plane of the ground; level, at `level_m`, where there are too few cells for another."""
    cells = round(2 * _REACH_M / _PLANE_CELL_M)
    lowest_m = -settings.sensor_height_m[1] - _PLANE_REACH_M * _STEEPEST
    highest_m = -settings.sensor_height_m[0] + _PLANE_REACH_M * _STEEPEST
    layers = _lowest_layers(x, y, z, cells, (lowest_m, highest_m), _PLANE_BIN_M)
    within = np.hypot(layers.middle[:, 0], layers.middle[:, 1]) < _PLANE_REACH_M
    middle, share = layers.middle[within], layers.share[within]
    places, low_m = np.column_stack([middle[:, :2], np.ones(len(middle))]), middle[:, 2]
    level = np.array([0.0, 0.0, level_m])
    if len(places) < _FEWEST_CELLS:
        return GroundPlane(level_m)

    triples = np.random.default_rng(0).integers(0, len(places), (_HYPOTHESES, 3))
    # Three places that span less than 50 m2 say little of the slope.
    triples = triples[np.abs(np.linalg.det(places[triples])) > 100]
    planes = np.linalg.solve(places[triples], low_m[triples][..., None])[..., 0]
    planes = np.concatenate([level[None], planes[_allowed(planes, settings)]])
    residual = low_m - planes @ places.T
    below = (residual < -_BELOW_M[0]) & (residual > -_BELOW_M[1])
    fit = np.maximum(0, 1 - (residual / _ON_PLANE_M) ** 2) - _COST_BELOW * below
    # The road around the sensor is its own; another one, below a bridge or beside a wall, is farther.
    near = 1 / (1 + (places[:, :2] ** 2).sum(axis=1) / _OWN_ROAD_M**2)
    # Ground is flat; crowns and walls are not.
    near *= np.sqrt(share)
    score = fit @ near - _COST_OF_SLOPE * near.sum() * np.hypot(planes[:, 0], planes[:, 1]) / _STEEPEST
    best = planes[score.argmax()]
    for width_m in _REFINE_M:
        weight = _weight(low_m - places @ best, width_m)
        weighted = places * weight[:, None]
        refined = np.linalg.solve(places.T @ weighted + 1e-6 * np.eye(3), weighted.T @ low_m)
        if not _allowed(refined[None], settings)[0]:
            break
        best = refined
    return GroundPlane(height_m=float(best[2]), slope_x=float(best[0]), slope_y=float(best[1]))


def _allowed(planes: NDArray[np.float64], settings: GroundSettings) -> NDArray[np.bool_]:
    """Tell which planes (K,3) are a possible ground of the site."""
    low, high = settings.sensor_height_m
    return np.asarray(
        (np.hypot(planes[:, 0], planes[:, 1]) < _STEEPEST) & (-planes[:, 2] > low) & (-planes[:, 2] < high)
    )


def _relief(x: NDArray[np.float32], y: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the relief, see `GroundSurface`, of a cloud whose z counts from the plane."""
    layers = _lowest_layers(x, y, z, _CELLS, (-_RELIEF_M, _RELIEF_M), _RELIEF_BIN_M)
    measured, sure = np.zeros((_CELLS, _CELLS)), np.zeros((_CELLS, _CELLS))
    measured.flat[layers.cell] = layers.middle[:, 2]
    sure.flat[layers.cell] = np.minimum(1.0, layers.count / _SURE_RETURNS)
    # Ground is flat; the lowest layer of a vehicle or a hedge is a part of a wall. What is lower than the
    # ground so far is believed, though: nothing is below the ground.
    flat = np.ones((_CELLS, _CELLS))
    flat.flat[layers.cell] = layers.share**2
    # Higher than a slope from any cell around allows: the top of something that hides its ground.
    lowest = np.where(sure > 0, measured, np.inf)
    sure[
        lowest > ndimage.grey_erosion(lowest, structure=-_CONE_M, mode="constant", cval=np.inf) + _STEP_M
    ] = 0
    relief = np.zeros((_CELLS, _CELLS))
    for sigma_cells, width_m in _SMOOTHING:
        residual = measured - relief
        weight = sure * _weight(residual, np.where(residual > 0, width_m, 1.5 * width_m))
        weight *= np.where(residual > 0, flat, 1.0)
        total = _smooth(weight * residual, sigma_cells)
        # One sure cell in the middle of the Gaussian, and a hundredth of all, speak for the coarser surface.
        relief += total / (_smooth(weight, sigma_cells) + _COARSER + 1 / (2 * np.pi * sigma_cells**2))
    return relief.astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Layers:
    """The lowest layers of C cells that have one.

    Attributes:
        cell: (C,) flat index.
        middle: (C,3) mean of the returns of the layer.
        count: (C,) number of these.
        share: (C,) their share of the returns of the cell.
    """

    cell: NDArray[np.int64]
    middle: NDArray[np.float64]
    count: NDArray[np.int64]
    share: NDArray[np.float64]


def _lowest_layers(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    z: NDArray[np.float32],
    cells: int,
    span_m: tuple[float, float],
    bin_m: float,
) -> _Layers:
    """Find the lowest layer of returns, stray ones excepted, in each of `cells` x `cells` cells."""
    bins = round((span_m[1] - span_m[0]) / bin_m)
    layer = (z - span_m[0]) * np.float32(1 / bin_m)
    used = (layer >= 0) & (layer < bins)
    x, y, z, layer = x[used], y[used], z[used], layer[used].astype(np.int32)
    scale = np.float32(cells / (2 * _REACH_M))
    # What lies just within the last cell is rounded to beyond it.
    column, row = (
        np.minimum(((axis + np.float32(_REACH_M)) * scale).astype(np.int32), cells - 1) for axis in (x, y)
    )
    cell = column * cells + row
    counts = np.bincount(cell * bins + layer, minlength=cells**2 * bins).reshape(-1, bins)
    below = counts.cumsum(axis=1, dtype=np.int32)
    total = below[:, -1]
    lowest = (below >= np.maximum(_LEAST_RETURNS, _QUANTILE * total)[:, None]).argmax(axis=1)
    in_layer = (layer >= lowest[cell]) & (layer <= lowest[cell] + 1)
    cell = cell[in_layer]
    count = np.bincount(cell, minlength=cells**2)
    sums = [np.bincount(cell, weights=axis[in_layer], minlength=cells**2) for axis in (x, y, z)]
    found = np.flatnonzero(total >= _LEAST_RETURNS)
    count, total = count[found], total[found]
    return _Layers(found, np.stack(sums, axis=1)[found] / count[:, None], count, count / total)


def _weight(residual_m: NDArray[np.float64], width_m: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much a residual counts: 1 at 0, and almost nothing beyond some widths (Geman-McClure)."""
    return np.asarray(1 / (1 + (residual_m / width_m) ** 2) ** 2)


def _smooth(values: NDArray[np.float64], sigma_cells: float) -> NDArray[np.float64]:
    """Return values (n,n) under a Gaussian; beyond the border they are those of the border."""
    kernel = _gaussian(len(values), sigma_cells)
    return np.asarray(kernel @ values @ kernel.T)


@cache
def _gaussian(cells: int, sigma_cells: float) -> NDArray[np.float64]:
    """Return the matrix (n,n) that smooths a column; for small maps the product is faster than a filter."""
    unit = np.eye(cells)
    return np.asarray(ndimage.gaussian_filter1d(unit, sigma_cells, axis=0, mode="nearest", truncate=2.5))
