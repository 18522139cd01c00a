"""Static objects along roads: houses, walls, hedges, trees, poles, shelters, parapets, parked vehicles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.geometry.boxes import bev_corners
from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bodies import make_body
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.roads import Arm
from cosense.simulation.scenes.scene import Parked
from cosense.simulation.scenes.solids import Shape, Solid
from cosense.simulation.scenes.surface import KERB_M, Ground

FURNISHED_M = 115.0
_FACADES = (
    (0.74, 0.68, 0.57),
    (0.80, 0.78, 0.74),
    (0.66, 0.47, 0.38),
    (0.58, 0.60, 0.62),
    (0.70, 0.60, 0.42),
    (0.52, 0.44, 0.42),
)


@dataclass(frozen=True)
class Style:
    """How a place is built up and furnished.

    Attributes:
        built_up: share of the frontage with houses, 0..1.
        set_back_m: smallest and largest distance between walkway and front of a house.
        floors: smallest and largest number of floors.
        walls: share of the gaps between houses that a wall, fence or hedge closes.
        tree_gap_m: mean distance of trees along a walkway, 0 for no trees.
        parapet: whether a low concrete wall follows the outer edges of the walkways.
        parked: share of the parking strips that is in use.
    """

    built_up: float
    set_back_m: tuple[float, float]
    floors: tuple[int, int]
    walls: float
    tree_gap_m: float
    parapet: bool
    parked: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, density: float) -> Style:
        """Draw a style between a loose suburb (density 0) and a dense old town (density 1)."""
        return cls(
            built_up=0.35 + 0.6 * density,
            set_back_m=(0.1, float(rng.uniform(0.5, 7.0) * (1.3 - density))),
            floors=(1, int(rng.integers(2, 7))),
            walls=float(rng.uniform(0.3, 0.95)),
            tree_gap_m=float(rng.uniform(7, 30)) if rng.random() < 0.8 else 0.0,
            parapet=bool(rng.random() < 0.15),
            parked=float(rng.uniform(0.35, 0.9)),
        )


def furnish(ground: Ground, arms: list[Arm], style: Style, rng: np.random.Generator) -> list[Solid]:
    """Return all static objects along the arms, none of them on a carriageway; marks built-up ground."""
    solids: list[Solid] = []
    for arm in arms:
        for side in (1, -1):
            solids += _frontage(ground, arm, side, style, rng)
            solids += _street_furniture(arm, side, style, rng)
    return solids


def station(arm: Arm, along_m: float, left_m: float) -> tuple[float, float, float]:
    """Return x, y and the outward heading at an arc length of an arm, shifted to the left."""
    index = min(int(along_m / 0.5), len(arm.line) - 2)
    step = arm.line[index + 1] - arm.line[index]
    yaw = float(np.arctan2(step[1], step[0]))
    x, y = arm.line[index]
    return float(x - np.sin(yaw) * left_m), float(y + np.cos(yaw) * left_m), yaw


def is_free(ground: Ground, footprint: tuple[float, float, float, float, float], margin_m: float) -> bool:
    """Return whether a footprint (x, y, length, width, yaw), with a margin, lies on unused ground only."""
    x, y, length, width, yaw = footprint
    along = np.linspace(-0.5, 0.5, max(3, round(length) + 1)) * (length + 2 * margin_m)
    across = np.linspace(-0.5, 0.5, max(3, round(width) + 1)) * (width + 2 * margin_m)
    u, v = (grid.ravel() for grid in np.meshgrid(along, across))
    xy = np.column_stack([x + u * np.cos(yaw) - v * np.sin(yaw), y + u * np.sin(yaw) + v * np.cos(yaw)])
    return bool((ground.material_at(xy) == Material.GRASS).all())


def occupy(ground: Ground, footprint: tuple[float, float, float, float, float]) -> None:
    """Mark the ground under a footprint (x, y, length, width, yaw) as built up."""
    x, y, length, width, yaw = footprint
    ground.paint(bev_corners([[x, y, 0, length, width, 1, yaw]])[0], Material.CONCRETE)


def house(
    x: float, y: float, size: tuple[float, float, float], yaw: float, rng: np.random.Generator
) -> list[Solid]:
    """Return a house: a block of (length, width, height), sometimes with a smaller block on its roof."""
    length, width, height = size
    material = Material.BRICK if rng.random() < 0.35 else Material.PLASTER
    colour = None if material == Material.BRICK else _FACADES[rng.integers(len(_FACADES))]
    solids = [Solid((x, y, height / 2), (length, width, height), material, yaw, colour=colour)]
    if rng.random() < 0.5:
        roof = (length * rng.uniform(0.4, 0.8), width * rng.uniform(0.4, 0.8), rng.uniform(1.0, 3.0))
        solids.append(Solid((x, y, height + roof[2] / 2), roof, Material.CONCRETE, yaw))
    return solids


def _frontage(ground: Ground, arm: Arm, side: int, style: Style, rng: np.random.Generator) -> list[Solid]:
    """Return houses in a row along one side, as near to the corner as the ground allows, and their gaps."""
    solids: list[Solid] = []
    along = 3.0
    while along < FURNISHED_M:
        front = float(rng.uniform(7, 26))
        if rng.random() > style.built_up:
            solids += _gap(ground, arm, side, (along, along + front), style, rng)
            along += front
            continue
        depth, set_back = rng.uniform(8, 15), rng.uniform(*style.set_back_m)
        height = 3.1 * rng.integers(style.floors[0], style.floors[1] + 1) + rng.uniform(0.3, 1.5)
        x, y, yaw = station(arm, along + front / 2, side * (arm.profile.edge_m + set_back + depth / 2))
        footprint = (x, y, front, float(depth), yaw)
        if is_free(ground, footprint, 0.05):
            occupy(ground, footprint)
            solids += house(x, y, (front, float(depth), float(height)), yaw, rng)
            along += front + (rng.uniform(1.5, 8) if rng.random() < 0.5 else 0.2)
        else:
            along += 1.5
    return solids


def _gap(
    ground: Ground, arm: Arm, side: int, span: tuple[float, float], style: Style, rng: np.random.Generator
) -> list[Solid]:
    """Return a wall, a fence or a hedge that closes a gap between houses, or nothing, and some plants."""
    solids: list[Solid] = []
    kind = rng.choice(["wall", "fence", "hedge"]) if rng.random() < style.walls else "open"
    edge = side * (arm.profile.edge_m + 0.5)
    height = float(rng.uniform(1.0, 2.6))
    for along in np.arange(span[0] + 1.0, span[1] - 1.0, 2.0):
        x, y, yaw = station(arm, along, edge)
        if kind == "open" or not is_free(ground, (x, y, 2.0, 0.4, yaw), 0.0):
            continue
        if kind == "wall":
            solids.append(Solid((x, y, height / 2), (2.04, 0.24, height), Material.BRICK, yaw))
        elif kind == "hedge":
            solids.append(
                Solid((x, y, height / 2), (2.04, 0.8, height), Material.FOLIAGE, yaw, free_path_m=0.12)
            )
        else:
            solids.append(Solid((x, y, height / 2), (0.07, 0.07, height), Material.METAL, yaw))
            solids.append(
                Solid((x, y, height / 2), (2.0, 0.05, height - 0.2), Material.METAL, yaw, free_path_m=0.09)
            )
    for _ in range(rng.integers(0, 5)):
        x, y, _ = station(arm, rng.uniform(*span), side * (arm.profile.edge_m + rng.uniform(2, 14)))
        if is_free(ground, (x, y, 1.5, 1.5, 0.0), 0.0):
            solids += tree(x, y, rng) if rng.random() < 0.5 else bush(x, y, rng)
    return solids


def _street_furniture(arm: Arm, side: int, style: Style, rng: np.random.Generator) -> list[Solid]:
    """Return trees, lamp posts, signs, cabinets, bollards and shelters in the strip next to the kerb."""
    solids: list[Solid] = []
    strip = side * (arm.profile.kerb_m + 0.42)
    shelter_at = rng.uniform(25, 80) if rng.random() < 0.35 else np.inf
    start = arm.mouth_m + (5.5 if arm.crossing else 2.0)
    lamp_gap = rng.uniform(22, 38)
    next_lamp, next_tree = start + rng.uniform(0, 10), start + rng.uniform(2, 12)
    for along in np.arange(start, FURNISHED_M, 1.0):
        x, y, yaw = station(arm, along, strip)
        if abs(along - shelter_at) < 4:
            if abs(along - shelter_at) <= 0.5:
                solids += _shelter(x, y, yaw + (0 if side > 0 else np.pi))
        elif along >= next_lamp:
            solids += _lamp(x, y, yaw - side * np.pi / 2, rng)
            next_lamp += lamp_gap
        elif style.tree_gap_m and along >= next_tree:
            solids += tree(x, y, rng)
            next_tree += max(5.0, rng.normal(style.tree_gap_m, 3))
        elif rng.random() < 0.05:
            solids += _small_thing(x, y, yaw, rng)
    if style.parapet:
        for along in np.arange(arm.mouth_m + 2.0, FURNISHED_M, 3.0):
            x, y, yaw = station(arm, along, side * (arm.profile.edge_m - 0.05))
            solids.append(Solid((x, y, 0.5), (3.06, 0.2, 1.0), Material.CONCRETE, yaw))
    return solids


def tree(x: float, y: float, rng: np.random.Generator) -> list[Solid]:
    """Return a trunk and a crown of one or two porous ellipsoids, high enough for a truck to pass below."""
    stem, crown = float(rng.uniform(3.4, 4.2)), float(rng.uniform(1.8, 5.0))
    radius, girth = float(rng.uniform(0.9, 2.4)), float(rng.uniform(0.16, 0.42))
    trunk = stem + crown / 2
    solids = [Solid((x, y, trunk / 2), (girth, girth, trunk), Material.BARK, shape=Shape.CYLINDER)]
    for _ in range(rng.integers(1, 3)):
        dx, dy = rng.uniform(-0.3, 0.3, 2) * radius
        size = (2 * radius * rng.uniform(0.7, 1.0), 2 * radius * rng.uniform(0.7, 1.0), crown)
        solids.append(
            Solid(
                (x + dx, y + dy, stem + crown / 2 + rng.uniform(0.0, 0.4)),
                size,
                Material.FOLIAGE,
                float(rng.uniform(0, np.pi)),
                Shape.ELLIPSOID,
                free_path_m=float(rng.uniform(0.5, 1.6)),
            )
        )
    return solids


def bush(x: float, y: float, rng: np.random.Generator) -> list[Solid]:
    """Return a low porous ellipsoid."""
    size = tuple(rng.uniform([0.8, 0.8, 0.6], [2.6, 2.6, 1.9]))
    return [
        Solid(
            (x, y, size[2] * 0.4),
            (size[0], size[1], size[2]),
            Material.FOLIAGE,
            float(rng.uniform(0, np.pi)),
            Shape.ELLIPSOID,
            free_path_m=0.25,
        )
    ]


def _lamp(x: float, y: float, towards_road: float, rng: np.random.Generator) -> list[Solid]:
    height = float(rng.uniform(6, 9.5))
    thick = float(rng.uniform(0.12, 0.22))
    reach = 1.2
    return [
        Solid((x, y, height / 2), (thick, thick, height), Material.METAL, shape=Shape.CYLINDER),
        Solid(
            (x + np.cos(towards_road) * reach / 2, y + np.sin(towards_road) * reach / 2, height),
            (reach, 0.16, 0.12),
            Material.METAL,
            towards_road,
        ),
    ]


def _small_thing(x: float, y: float, yaw: float, rng: np.random.Generator) -> list[Solid]:
    kind = rng.choice(["sign", "cabinet", "bin", "bollard"])
    if kind == "sign":
        height = float(rng.uniform(2.0, 2.6))
        return [
            Solid((x, y, height / 2), (0.07, 0.07, height), Material.METAL, shape=Shape.CYLINDER),
            Solid((x, y, height), (0.04, 0.6, 0.6), Material.SIGN, yaw),
        ]
    if kind == "cabinet":
        height = float(rng.uniform(0.9, 1.5))
        size = (float(rng.uniform(0.5, 1.3)), 0.4, height)
        return [Solid((x, y, height / 2), size, Material.CONCRETE, yaw)]
    thick, height = (0.42, 0.95) if kind == "bin" else (0.12, 0.9)
    return [
        Solid(
            (x, y, height / 2 + KERB_M / 2),
            (thick, thick, height + KERB_M),
            Material.METAL,
            shape=Shape.CYLINDER,
        )
    ]


def _shelter(x: float, y: float, yaw: float) -> list[Solid]:
    """Return a bus shelter: a glass wall at the kerb, a roof, and an end wall with an advertisement."""
    end_x, end_y = x + 2.0 * np.cos(yaw), y + 2.0 * np.sin(yaw)
    return [
        Solid((x, y, 1.3), (4.0, 0.06, 2.1), Material.GLASS, yaw),
        Solid((x, y, 2.45), (4.4, 0.8, 0.1), Material.METAL, yaw),
        Solid((end_x, end_y, 1.25), (0.15, 0.7, 2.3), Material.SIGN, yaw, colour=(0.7, 0.5, 0.3)),
    ]


def park_along(arms: list[Arm], style: Style, rng: np.random.Generator) -> list[Parked]:
    """Return vehicles in the parking strips of the arms, in the direction of the traffic."""
    parked = []
    for arm in arms:
        profile = arm.profile
        if profile.parking_m == 0:
            continue
        for side in (1, -1):
            along = arm.mouth_m + (12.0 if arm.crossing else 3.0) + rng.uniform(0, 4)
            while along < FURNISHED_M - 8:
                if rng.random() > style.parked:
                    along += 6.0
                    continue
                body = make_body(ObjectClass.CAR if rng.random() < 0.85 else ObjectClass.VAN, rng)
                lateral = profile.kerb_m - body.size[1] / 2 - rng.uniform(0.08, 0.25)
                x, y, yaw = station(arm, along + body.size[0] / 2, side * lateral)
                turned = yaw + (np.pi if side > 0 else 0.0) + rng.normal(0, 0.015)
                parked.append(Parked(body, x, y, float(turned)))
                along += body.size[0] + rng.uniform(0.7, 1.8)
    return parked
