"""People on foot: adults, children and the elderly, walking or standing, with what they carry.

Statures are those of adults in Europe and Asia (men 1.74 m with a deviation of 0.075 m, women 1.62 m, 0.07
m; NCD Risk Factor Collaboration, eLife 2016) and of children from three years on. Published means of length,
width and height in metres: KITTI 0.80, 0.60, 1.73, nuScenes 0.73, 0.67, 1.77, Waymo 0.91, 0.84, 1.74
(anchors of OpenPCDet). As in the annotators' instructions of nuScenes, the box holds what a person carries
(bags, an umbrella), but not what rolls or walks beside it: a suitcase, a pram, a dog.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.road_users.companions import dog, pram, wheelchair
from cosense.simulation.scenes.road_users.cycles import kick_scooter
from cosense.simulation.scenes.road_users.figures import ANKLE, HIP, SHOULDER, Clothes, Point, figure
from cosense.simulation.scenes.road_users.paints import cloth
from cosense.simulation.scenes.road_users.parts import Built
from cosense.simulation.scenes.shapes import block, skin, tubes

# Length of a step as a share of the stature.
_STEP = 0.42


@dataclass(frozen=True)
class _Posture:
    """How somebody stands or walks.

    Attributes:
        tall: stature in metres.
        girth: breadth relative to a slim adult.
        hip: (3,) middle of the hips.
        lean: of the spine, forward, in radians.
        ankles, wrists: places (3,) of the left and the right one.
    """

    tall: float
    girth: float
    hip: Point
    lean: float
    ankles: tuple[Point, Point]
    wrists: tuple[Point, Point]


def person(rng: np.random.Generator) -> Built:
    """Draw somebody on foot, seldom in a wheelchair or on an electric scooter."""
    kind = rng.random()
    if kind < 0.02:
        return _in_a_wheelchair(rng)
    if kind < 0.07:
        return _on_a_kick_scooter(rng)
    return _on_foot(rng)


def stature(rng: np.random.Generator) -> float:
    """Return the height of an adult."""
    mean, spread = (1.74, 0.075) if rng.random() < 0.5 else (1.62, 0.07)
    return float(np.clip(rng.normal(mean, spread), 1.45, 1.95))


def _on_foot(rng: np.random.Generator) -> Built:
    age = rng.random()
    if age < 0.09:
        tall, lean, girth = float(rng.uniform(0.95, 1.55)), 0.03, float(rng.uniform(0.95, 1.15))
    elif age < 0.21:
        tall, lean, girth = 0.97 * stature(rng), float(rng.uniform(0.08, 0.35)), float(rng.uniform(1.0, 1.35))
    else:
        tall, lean, girth = stature(rng), float(rng.uniform(0.0, 0.08)), float(rng.uniform(0.95, 1.4))
    walking = bool(rng.random() < 0.75)
    step = float(rng.uniform(0.7, 1.15)) * _STEP * tall if walking else 0.05
    pushes = bool(age >= 0.21 and rng.random() < 0.04)
    posture = _posture(tall, girth, lean, step, pushes, rng)
    clothes = Clothes.drawn(rng)
    body = figure(tall, posture.hip, lean, posture.ankles, posture.wrists, clothes, girth)
    parts = [body, *_carried(posture, rng)]
    if not walking or rng.random() < 0.3:
        parts.append(_skirt_or_coat(posture, clothes, rng))
    return Built(None, join(parts), _pushed(posture, rng) if pushes else _beside(posture, rng))


def _posture(
    tall: float, girth: float, lean: float, step: float, pushes: bool, rng: np.random.Generator
) -> _Posture:
    """Draw a phase of the gait, and where the hands are: swinging, at a telephone, at a handle."""
    phase = float(rng.uniform(0, 2 * np.pi))
    reach = step / 2 * np.cos(phase)
    lift = 0.2 * step * np.sin(phase)
    left = (reach, 0.055 * tall, ANKLE * tall + max(0.0, lift))
    right = (-reach, -0.055 * tall, ANKLE * tall + max(0.0, -lift))
    leg = (HIP - ANKLE) * tall
    hip = (0.0, 0.0, ANKLE * tall + float(np.sqrt(leg**2 - reach**2)) - 0.005 * tall)
    high = hip[2] + (SHOULDER - HIP) * tall * np.cos(lean)
    front = (SHOULDER - HIP) * tall * np.sin(lean)
    wide, swing = 0.15 * tall * girth, (0.5 * step + 0.02) * np.cos(phase)
    wrists = ((front - swing, wide, high - 0.37 * tall), (front + swing, -wide, high - 0.37 * tall))
    if pushes:
        wrists = (
            (front + 0.28 * tall, 0.12 * tall, 0.58 * tall),
            (front + 0.28 * tall, -0.12 * tall, 0.58 * tall),
        )
    elif rng.random() < 0.12:
        ear = (front + 0.12 * tall, 0.06 * tall, high + float(rng.uniform(-0.08, 0.08)) * tall)
        wrists = (ear, wrists[1])
    return _Posture(tall, girth, hip, lean, (left, right), wrists)


def _skirt_or_coat(posture: _Posture, clothes: Clothes, rng: np.random.Generator) -> Mesh:
    """Return what hangs around the legs."""
    colour, bright = clothes.trunk if rng.random() < 0.6 else cloth(rng)
    angle = 2 * np.pi * np.arange(7) / 7
    size = posture.tall * posture.girth
    sections = [
        (float(rng.uniform(0.12, 0.34)) * posture.tall, 0.12 * size, 0.13 * size),
        (posture.hip[2] + 0.03 * posture.tall, 0.085 * size, 0.105 * size),
    ]
    rings = np.stack(
        [np.column_stack([x * np.cos(angle), y * np.sin(angle), np.full(7, z)]) for z, x, y in sections]
    )
    return skin(rings, Material.CLOTH, colour, bright, ends=False)


def _carried(posture: _Posture, rng: np.random.Generator) -> list[Mesh]:
    """Return what a person carries, which belongs to its box."""
    parts = []
    tall, hip = posture.tall, posture.hip
    if rng.random() < 0.22:
        back = hip[0] + tall * (0.2 * np.sin(posture.lean) - 0.065 * posture.girth)
        deep, half = float(rng.uniform(0.06, 0.11)) * tall, 0.08 * tall
        z = (hip[2] + 0.03 * tall, hip[2] + 0.27 * tall)
        parts.append(block((back - deep, back), (-half, half), z, Material.CLOTH, *cloth(rng)))
    if rng.random() < 0.22:
        x, y, z_hand = posture.wrists[1]
        long, thick = float(rng.uniform(0.10, 0.17)), float(rng.uniform(0.04, 0.08))
        top = max(z_hand - 0.04, 0.25)
        z = (max(0.04, top - float(rng.uniform(0.25, 0.4))), top)
        parts.append(block((x - long, x + long), (y - thick, y + thick), z, Material.CLOTH, *cloth(rng)))
    if rng.random() < 0.06:
        parts += _umbrella(tall, rng)
    if posture.lean > 0.15 and rng.random() < 0.5:
        x, y, z_hand = posture.wrists[0]
        stick = ((x, y, z_hand), (x + 0.12, y, 0.0), 0.012, 0.012)
        parts.append(tubes([stick], Material.METAL, corners=4))
    return parts


def _umbrella(tall: float, rng: np.random.Generator) -> list[Mesh]:
    """Return an umbrella that is held above the head."""
    radius, top = float(rng.uniform(0.40, 0.50)), tall + float(rng.uniform(0.12, 0.22))
    angle = 2 * np.pi * np.arange(8) / 8
    rings = np.stack(
        [
            np.column_stack([r * np.cos(angle) + 0.08, r * np.sin(angle), np.full(8, z)])
            for r, z in ((radius, top - 0.2), (0.6 * radius, top - 0.06), (0.02, top))
        ]
    )
    stick = ((0.12, 0.0, 0.7 * tall), (0.08, 0.0, top), 0.012, 0.012)
    return [
        skin(rings, Material.CLOTH, *cloth(rng), ends=False),
        tubes([stick], Material.METAL, corners=4),
    ]


def _pushed(posture: _Posture, rng: np.random.Generator) -> Mesh:
    return pram(rng).at(posture.wrists[0][0] + 0.45, 0.0)


def _beside(posture: _Posture, rng: np.random.Generator) -> Mesh | None:
    """Return a dog on its leash or a suitcase that is pulled, seldom."""
    chance = rng.random()
    if chance < 0.05:
        ahead, aside = float(rng.uniform(-0.3, 1.1)), float(rng.choice([-1, 1]) * rng.uniform(0.35, 0.8))
        leash = tubes([(posture.wrists[0], (ahead, aside, 0.42), 0.008, 0.008)], Material.CLOTH, corners=3)
        return join([dog(rng).at(ahead, aside, float(rng.normal(0, 0.5))), leash])
    if chance < 0.12:
        x, y, z = posture.wrists[1]
        top = float(rng.uniform(0.5, 0.72))
        case = block((x - 0.62, x - 0.36), (y - 0.20, y + 0.20), (0.05, top), Material.PAINT, *cloth(rng))
        return join([case, tubes([((x, y, z), (x - 0.4, y, top), 0.012, 0.012)], Material.METAL, corners=4)])
    return None


def _in_a_wheelchair(rng: np.random.Generator) -> Built:
    tall = stature(rng)
    hip = (-0.12, 0.0, 0.56)
    ankles = ((0.42, 0.09, 0.18), (0.42, -0.09, 0.18))
    wrists = ((0.0, 0.26, 0.62), (0.0, -0.26, 0.62))
    rider = figure(tall, hip, 0.02, ankles, wrists, Clothes.drawn(rng), float(rng.uniform(1.0, 1.3)))
    return Built(None, join([rider, wheelchair()]))


def _on_a_kick_scooter(rng: np.random.Generator) -> Built:
    tall = stature(rng)
    deck = 0.13
    hip = (-0.12, 0.0, HIP * tall + deck - 0.03)
    ankles = ((0.0, 0.04, ANKLE * tall + deck), (-0.28, -0.05, ANKLE * tall + deck))
    wrists = ((0.38, 0.21, 1.08), (0.38, -0.21, 1.08))
    clothes = Clothes.drawn(rng, helmet=True)
    rider = figure(
        tall, hip, 0.06, ankles, wrists, clothes, float(rng.uniform(0.95, 1.3)), rng.random() < 0.3
    )
    return Built(None, join([rider, kick_scooter()]))
