"""Two LiDARs in one cloud, one above the other, perhaps upside down, as on the roof of an Argoverse 2 car.

Seen from one height, the beams of the other one form no lines. But where both are products with known beams,
each can be looked for by itself: that whose lines have most points about them first, the other one among the
points that are left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.sensing.beams.elevations import PRODUCTS_DEG

_HEIGHTS_M = np.linspace(-0.4, 0.4, 81)
_NEAR_DEG = 0.06
# By chance it is 0.6; in clouds from which the motion was taken out 0.68 and more.
_FEWEST_NEAR = 0.66
_POINTS = 12_000


@dataclass(frozen=True, eq=False)
class Head:
    """One of two LiDARs.

    Attributes:
        name: that of the product.
        elevations_deg: (B,) ascending.
        height_m: where its beams meet, above the origin.
    """

    name: str
    elevations_deg: NDArray[np.float64]
    height_m: float

    def off_deg(self, xyz: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how far points (N,3) are off the nearest beam, in degrees of elevation."""
        up = xyz[:, 2] - np.float32(self.height_m)
        elevation = np.degrees(np.arctan2(up, np.hypot(xyz[:, 0], xyz[:, 1])))
        lines = self.elevations_deg
        nearest = np.searchsorted((lines[1:] + lines[:-1]) / 2, elevation)
        return np.asarray(np.abs(elevation - lines[nearest]), dtype=np.float64)


def two_lidars(xyz: NDArray[np.float32], rng: np.random.Generator) -> tuple[Head, Head] | None:
    """Return the two LiDARs that points (N,3) come from, None where they are not those of two products."""
    if len(xyz) > _POINTS:
        xyz = xyz[rng.choice(len(xyz), _POINTS, replace=False)]
    first = _likeliest(xyz)
    off = first.off_deg(xyz)
    left = xyz[off > _NEAR_DEG]
    if not len(left):
        return None
    second = _likeliest(left)
    if first.height_m == second.height_m:
        return None
    near = np.minimum(off, second.off_deg(xyz)) < _NEAR_DEG
    return (first, second) if near.mean() >= _FEWEST_NEAR else None


def _likeliest(xyz: NDArray[np.float32]) -> Head:
    """Return the product and the height whose lines have most points about them."""
    heads = [
        Head(name, np.sort(side * np.array(product)), float(height_m))
        for name, product in PRODUCTS_DEG.items()
        for side in (1.0, -1.0)
        for height_m in _HEIGHTS_M
    ]
    return max(heads, key=lambda head: float(np.exp(-np.square(head.off_deg(xyz) / _NEAR_DEG)).mean()))
