"""What cars, vans, lorries and buses have in common: the lower body, the cabin of glass, what is inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.paints import cloth, complexion
from cosense.simulation.scenes.road_users.parts import level, mirrored, span, upright
from cosense.simulation.scenes.shapes import block, quads, skin, tubes

_UPHOLSTERY: Colour = (0.09, 0.09, 0.10)
_HEAD_LAMP: Colour = (0.95, 0.95, 0.90)
_TAIL_LAMP: Colour = (0.62, 0.03, 0.03)
_PLATES: tuple[Colour, ...] = ((0.90, 0.90, 0.86), (0.90, 0.78, 0.20), (0.10, 0.25, 0.70), (0.20, 0.60, 0.30))
_LINING = 0.15
# How much the middle of the bonnet is higher than its edges, and how much of each end is bowed, in metres.
_CROWN, _BOWED = 0.025, 0.7


@dataclass(frozen=True)
class Coat:
    """Colour of the paint, and its reflectance at the wavelength of the LiDAR."""

    colour: Colour
    reflectance: float


@dataclass(frozen=True)
class Shell:
    """The lower body: open on top where the cabin stands on it, and raised above the wheels.

    Attributes:
        width: extent in y in metres where it is widest.
        top: (n,2) x and z of the line of bonnet, belt and boot, from the rear to the front.
        bottom: (n,2) x and z of bumpers, sills and arches.
        plan: (n,2) x, and width there as a share of `width`.
        tuck: width of the top as a share of the widest place below it.
        bow: how far the middle of the nose stands before its corners, in metres; that of the tail is a third.
    """

    width: float
    top: NDArray[np.float64]
    bottom: NDArray[np.float64]
    plan: NDArray[np.float64]
    tuck: float
    bow: float

    def top_at(self, x: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.interp(np.asarray(x), self.top[:, 0], self.top[:, 1])

    def half_width_at(self, x: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the half width of the top edge."""
        return np.interp(np.asarray(x), self.plan[:, 0], self.plan[:, 1]) * self.width / 2 * self.tuck

    def bowed(self, x: NDArray[np.float64] | float, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return by how much places of the straight body are moved to the rear, in metres."""
        nose, tail = self.top[-1, 0], self.top[0, 0]
        ahead = self.bow * np.clip((x - nose) / _BOWED + 1, 0, 1)
        behind = self.bow / 3 * np.clip((tail - x) / _BOWED + 1, 0, 1)
        return (ahead - behind) * (2 * np.asarray(y) / self.width) ** 2

    def mesh(self, coat: Coat, open_to_the_sky: Sequence[tuple[float, float]]) -> Mesh:
        """Return the skin; `open_to_the_sky` are ranges of x that have no top."""
        x = np.unique(np.concatenate([self.top[:, 0], self.bottom[:, 0], self.plan[:, 0]]).round(3))
        x = x[np.r_[True, np.diff(x) > 0.015]]
        bottom = np.interp(x, self.bottom[:, 0], self.bottom[:, 1])
        top = np.maximum(self.top_at(x), bottom + 0.05)
        half = np.interp(x, self.plan[:, 0], self.plan[:, 1]) * self.width / 2
        tall = top - bottom
        nothing = np.zeros(len(x))
        rows = [
            # Between the wheels, arches are closed.
            (nothing, np.minimum(bottom, bottom.min() + 0.1)),
            (0.95 * half, bottom),
            (half, bottom + 0.45 * tall),
            ((0.6 + 0.4 * self.tuck) * half, top - np.minimum(0.14 * tall, 0.12)),
            (self.tuck * half, top),
            (nothing, top + _CROWN),
        ]
        half_rings = np.stack([np.column_stack([x, y, z]) for y, z in rows], axis=1)
        rings = mirrored(half_rings)
        rings[..., 0] -= self.bowed(rings[..., 0], rings[..., 1])
        keep = np.ones((len(x) - 1, rings.shape[1]), dtype=bool)
        middle = (x[1:] + x[:-1]) / 2
        for low, high in open_to_the_sky:
            keep[(middle > low) & (middle < high), len(rows) - 2 : len(rows)] = False
        return skin(rings, Material.PAINT, coat.colour, coat.reflectance, keep)


def arches(axles: Sequence[float], radius: float, sill: float) -> list[tuple[float, float]]:
    """Return the part of a bottom line that leaves room for wheels at these axles, sorted from the rear."""
    line = []
    for x in axles:
        wide, high = 1.15 * radius, 2.08 * radius
        line += [(x - wide, sill), (x - 0.72 * wide, high), (x + 0.72 * wide, high), (x + wide, sill)]
    return line


@dataclass(frozen=True)
class Cabin:
    """The upper body from the belt to the roof.

    Attributes:
        base: x of its rear and its front end at the belt, in metres.
        roof: x of the rear and the front edge of the roof.
        height: of the roof's highest place.
        narrow: width of the roof as a share of the width at the belt.
        panes: ends of the windows of a side, as shares of its length from the rear.
        rear_glass: whether it has a rear window.
        crown: how much lower the edges of the roof are, in metres.
        bow: how far the middle of the windscreen stands before its corners, in metres.
    """

    base: tuple[float, float]
    roof: tuple[float, float]
    height: float
    narrow: float
    panes: tuple[tuple[float, float], ...]
    rear_glass: bool
    crown: float
    bow: float

    def mesh(self, shell: Shell, coat: Coat) -> Mesh:
        """Return roof, pillars and windows above a lower body."""
        t = np.unique([0.0, 1.0, *np.ravel(self.panes)])
        base_x = self.base[0] + t * (self.base[1] - self.base[0])
        roof_x = self.roof[0] + t * (self.roof[1] - self.roof[0])
        half = shell.half_width_at(base_x)
        narrow = self.narrow * half.max()
        edge_z = self.height - self.crown * (1 + 2 * (t - 0.45) ** 2)
        low = np.column_stack([base_x - shell.bowed(base_x, half), half, shell.top_at(base_x)])
        high = np.column_stack([roof_x, np.full(len(t), narrow), edge_z])
        ridge = np.column_stack([roof_x, np.zeros(len(t)), edge_z + self.crown])
        # A roof is nearly flat, and bends down beside the rails.
        rail = np.column_stack([roof_x, np.full(len(t), 0.84 * narrow), edge_z + 0.8 * self.crown])
        ridge[-1, 0] += 0.5 * self.bow
        other = np.array([1.0, -1.0, 1.0])
        glass: list[list[NDArray[np.float64]]] = []
        solid: list[list[NDArray[np.float64]]] = []
        for k in range(len(t) - 1):
            glazed = any(start <= (t[k] + t[k + 1]) / 2 <= end for start, end in self.panes)
            for side in (1.0, other):
                (glass if glazed else solid).append(
                    [low[k] * side, high[k] * side, high[k + 1] * side, low[k + 1] * side]
                )
                solid.append([high[k] * side, rail[k] * side, rail[k + 1] * side, high[k + 1] * side])
                solid.append([rail[k] * side, ridge[k], ridge[k + 1], rail[k + 1] * side])
        for end, bow in ((-1, self.bow), (0, -0.4 * self.bow)):
            foot = np.array([low[end, 0] + bow, 0.0, low[end, 2]])
            panes = glass if end == -1 or self.rear_glass else solid
            for side in (1.0, other):
                panes.append([low[end] * side, foot, ridge[end], high[end] * side])
        return join(
            [
                quads(glass, Material.GLASS),
                quads(solid, Material.PAINT, coat.colour, coat.reflectance),
            ]
        )


def seats(rows: Sequence[float] | NDArray[np.float64], width: float, floor: float, belt: float) -> Mesh:
    """Return rows of seats, each with cushion, leaning back and head rests; x of the hips is given."""
    pieces = []
    for x in rows:
        for side in (-1, 1):
            y = span(side * 0.06 * width, side * 0.42 * width)
            middle = side * 0.24 * width
            pieces.append(level((x - 0.05, x + 0.45), y, floor))
            low, high = upright(x - 0.02, y, (floor - 0.05, belt + 0.08)), 0.20
            pieces.append([low[0], low[1], (x - high, y[1], belt + 0.08), (x - high, y[0], belt + 0.08)])
            pieces.append(upright(x - high, (middle - 0.13, middle + 0.13), (belt + 0.08, belt + 0.30)))
    return quads(pieces, Material.CLOTH, _UPHOLSTERY, _LINING)


def dashboard(x: float, half: float, z: tuple[float, float]) -> Mesh:
    """Return a dashboard that ends at x, towards the driver."""
    return block((x, x + 0.3), (-half, half), z, Material.CLOTH, _UPHOLSTERY, 0.08)


def sitting(x: float, y: float, hip: float, rng: np.random.Generator) -> Mesh:
    """Return head and trunk of somebody who sits, at x and y of the hips."""
    colour, bright = cloth(rng)
    top = hip + 0.52
    trunk = tubes([([x, y, hip], [x - 0.12, y, top], 0.15, 0.19)], Material.CLOTH, colour, bright)
    head = tubes(
        [([x - 0.1, y, top], [x - 0.08, y, top + 0.28], 0.09, 0.09)], Material.CLOTH, complexion(rng)
    )
    return join([trunk, head])


def lamps(
    front: tuple[float, float, float], rear: tuple[float, float, float], size: tuple[float, float]
) -> Mesh:
    """Return two head lamps and two tail lamps, each the outer corner's x, y and z, as large as `size`."""
    parts = []
    for (x, y, z), colour, bright in ((front, _HEAD_LAMP, 0.35), (rear, _TAIL_LAMP, 1.2)):
        spans = [span(side * y, side * (y - size[0])) for side in (-1, 1)]
        places = [upright(x, limits, (z - size[1] / 2, z + size[1] / 2)) for limits in spans]
        parts.append(quads(places, Material.LAMP, colour, bright))
    return join(parts)


def plates(places: Sequence[tuple[float, float]], rng: np.random.Generator) -> Mesh:
    """Return retro-reflecting number plates at x and z of their middles."""
    colour = _PLATES[int(rng.choice(len(_PLATES), p=[0.6, 0.1, 0.2, 0.1]))]
    corners = [upright(x, (-0.24, 0.24), (z - 0.06, z + 0.06)) for x, z in places]
    return quads(corners, Material.SIGN, colour, float(rng.uniform(1.5, 3.0)))


def mirrors(x: float, y: float, z: float, size: tuple[float, float, float], coat: Coat) -> Mesh:
    """Return two mirrors at x, beside the half width y, with their middles at z."""
    long, wide, tall = size
    return join(
        block(
            (x - long / 2, x + long / 2),
            span(side * y, side * (y + wide)),
            (z - tall / 2, z + tall / 2),
            Material.PAINT,
            coat.colour,
            coat.reflectance,
        )
        for side in (-1, 1)
    )
