"""A human figure in any posture: trunk and head along a leaning spine, limbs that reach for given places.

Lengths of the segments are shares of the stature (Drillis and Contini, Body Segment Parameters, 1966).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.paints import cloth, complexion
from cosense.simulation.scenes.shapes import skin, tubes

HIP, KNEE, ANKLE, SHOULDER = 0.53, 0.285, 0.045, 0.818
_UPPER_ARM, _LOWER_ARM = 0.186, 0.20
_SHOULDER_HALF, _HIP_HALF = 0.115, 0.075
_SHOE: Colour = (0.10, 0.09, 0.09)

# Places along the spine from hip (0) to neck (1); half width and half depth there, as shares of the stature.
_TRUNK = np.array([(-0.10, 0.095, 0.070), (0.40, 0.082, 0.065), (0.85, 0.118, 0.072), (1.06, 0.060, 0.040)])
# Places along the head's axis from its middle, and radii there.
_HEAD = np.array([(-0.075, 0.030), (-0.030, 0.048), (0.030, 0.050), (0.070, 0.022)])

Point = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True)
class Clothes:
    """Colour and reflectance at 905 nm of what is worn, and the colour of the skin."""

    trunk: tuple[Colour, float]
    legs: tuple[Colour, float]
    skin: Colour
    head: tuple[Colour, float]

    @classmethod
    def drawn(cls, rng: np.random.Generator, helmet: bool = False) -> Clothes:
        face = complexion(rng)
        return cls(cloth(rng), cloth(rng), face, cloth(rng) if helmet else (face, 0.45))


def figure(
    stature: float,
    hip: Point,
    lean: float,
    ankles: tuple[Point, Point],
    wrists: tuple[Point, Point],
    clothes: Clothes,
    girth: float = 1.0,
    helmet: bool = False,
) -> Mesh:
    """Return a person that looks along x.

    Args:
        stature: height of the standing person in metres.
        hip: middle of the hips.
        lean: of the spine, forward from the vertical, in radians.
        ankles, wrists: of the left and of the right side; a limb that is too short stops on the way.
        clothes: what is worn.
        girth: breadth relative to a slim adult.
        helmet: whether the head is larger by a helmet.
    """
    spine = np.array([np.sin(lean), 0.0, np.cos(lean)])
    ahead = np.array([np.cos(lean), 0.0, -np.sin(lean)])
    aside = np.array([0.0, 1.0, 0.0])
    low = np.asarray(hip, dtype=np.float64)
    back = (SHOULDER - HIP) * stature
    neck = low + back * spine
    angle = 2 * np.pi * np.arange(8) / 8 + np.pi / 8
    trunk = np.stack(
        [
            low
            + share * back * spine
            + girth
            * stature
            * (deep * np.cos(angle)[:, None] * ahead + wide * np.sin(angle)[:, None] * aside)
            for share, wide, deep in _TRUNK
        ]
    )
    nod = 0.4 * lean
    axis = np.array([np.sin(nod), 0.0, np.cos(nod)])
    face = np.array([np.cos(nod), 0.0, -np.sin(nod)])
    middle = neck + (0.925 - SHOULDER) * stature * (0.5 * axis + 0.5 * spine)
    around = 2 * np.pi * np.arange(6) / 6
    large = 1.2 if helmet else 1.0
    head = np.stack(
        [
            middle
            + stature * at * axis
            + large
            * stature
            * radius
            * (np.cos(around)[:, None] * face * 1.1 + np.sin(around)[:, None] * aside)
            for at, radius in _HEAD
        ]
    )
    arms, legs, shoes = [], [], []
    for side, ankle, wrist in ((1.0, ankles[0], wrists[0]), (-1.0, ankles[1], wrists[1])):
        joint = low + side * _HIP_HALF * stature * girth * aside
        knee, foot = _bent(joint, ankle, (HIP - KNEE) * stature, (KNEE - ANKLE) * stature, (1.0, 0.0, 0.3))
        legs += [
            (joint, knee, 0.050 * girth * stature, 0.034 * stature),
            (knee, foot, 0.036 * stature, 0.024 * stature),
        ]
        sole = foot - np.array([0.03, 0.0, 0.02]) * stature
        shoes.append((sole, sole + np.array([0.13, 0.0, -0.004]) * stature, 0.026 * stature, 0.020 * stature))
        joint = neck + side * _SHOULDER_HALF * stature * girth * aside - 0.02 * stature * spine
        elbow, hand = _bent(
            joint, wrist, _UPPER_ARM * stature, _LOWER_ARM * stature, (-0.6, 0.5 * side, -0.6)
        )
        arms += [
            (joint, elbow, 0.033 * girth * stature, 0.026 * stature),
            (elbow, hand, 0.026 * stature, 0.020 * stature),
        ]
    return join(
        [
            skin(trunk, Material.CLOTH, *clothes.trunk),
            skin(head, Material.CLOTH, *clothes.head),
            tubes(arms, Material.CLOTH, *clothes.trunk),
            tubes(legs, Material.CLOTH, *clothes.legs),
            tubes(shoes, Material.CLOTH, _SHOE, 0.15, corners=4),
        ]
    )


def _bent(
    start: NDArray[np.float64], end: Point, upper: float, lower: float, towards: Point
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return joint and end of a limb of two segments that reaches for `end`, bent `towards` a direction."""
    reach = np.asarray(end, dtype=np.float64) - start
    distance = float(np.linalg.norm(reach))
    along = reach / distance
    distance = float(np.clip(distance, abs(upper - lower) * 1.05 + 1e-6, 0.995 * (upper + lower)))
    share = (upper**2 - lower**2 + distance**2) / (2 * distance)
    across = np.asarray(towards, dtype=np.float64)
    across = across - (across @ along) * along
    across /= np.linalg.norm(across)
    joint = start + share * along + np.sqrt(max(upper**2 - share**2, 0.0)) * across
    return joint, start + distance * along
