"""Fills plots beside a road: gardens, greens, woods, fields, yards, building sites, squares, playgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.roads import Arm
from cosense.simulation.scenes.shapes import box, boxes, tube
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings import large_things as large
from cosense.simulation.scenes.surroundings import street_poles as poles
from cosense.simulation.scenes.surroundings import street_things as things
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, Barrier
from cosense.simulation.scenes.surroundings.placing import facing_road, is_free
from cosense.simulation.scenes.surroundings.plants import bush, tall_grass
from cosense.simulation.scenes.surroundings.stock import Builder, Item, Stock
from cosense.simulation.scenes.surroundings.trees import bare_tree, conifer, garden_tree, young_tree


def _meadow(rng: np.random.Generator) -> Mesh:
    dry = rng.random() < 0.4
    material = Material.DRY_GRASS if dry else Material.FOLIAGE
    return tall_grass(2.6, 2.6, rng, float(rng.uniform(0.15, 0.7)), material)


def _crop(rng: np.random.Generator) -> Mesh:
    return tall_grass(2.8, 2.8, rng, float(rng.uniform(0.6, 2.2)), Material.FOLIAGE)


def _site_barrier(rng: np.random.Generator) -> Mesh:
    """Return a board with red and white stripes on two feet."""
    long = float(rng.uniform(1.2, 2.4))
    boards = np.array([(0, 0, z) for z in (0.45, 0.95)])
    feet = np.array([(s * long * 0.4, 0, 0.5) for s in (-1, 1)])
    return join(
        [
            boxes(boards, (long, 0.04, 0.2), Material.SIGN, colour=(0.8, 0.2, 0.15)),
            boxes(feet, (0.06, 0.06, 1.1), Material.METAL),
            boxes(feet * [1, 1, 0.1], (0.25, 0.6, 0.1), Material.RUBBER),
            box((long * 0.4, 0, 1.2), (0.16, 0.1, 0.22), Material.PLASTIC, colour=(0.8, 0.6, 0.1)),
        ]
    )


def _cone(rng: np.random.Generator) -> Mesh:
    tall = float(rng.uniform(0.4, 0.8))
    body = tube(
        [(0, 0, 0.0), (0, 0, tall)], [tall * 0.22, 0.03], Material.PLASTIC, (0.85, 0.3, 0.08), around=8
    )
    return join([body, box((0, 0, 0.02), (tall * 0.55, tall * 0.55, 0.05), Material.RUBBER)])


# What stands on a plot: weight of each kind, and things on each 100 square metres.
_FILLING: dict[str, tuple[dict[Builder, float], float]] = {
    "garden": (
        {
            bush: 6,
            garden_tree: 3,
            things.flower_bed: 2,
            things.planter: 1,
            things.wheelie_bins: 1,
            things.bench: 0.6,
            things.cafe_set: 0.6,
            things.parasol: 0.3,
            large.play_thing: 0.8,
            large.stack: 0.3,
            large.trailer: 0.2,
            large.boat: 0.15,
            things.heap: 0.5,
            things.boulder: 0.5,
            things.statue: 0.2,
            things.bicycle_stand: 0.2,
            large.tank: 0.2,
            _meadow: 0.8,
        },
        6.0,
    ),
    "green": (
        {
            garden_tree: 5,
            bush: 5,
            young_tree: 1,
            things.flower_bed: 1,
            things.bench: 1,
            _meadow: 2,
            things.boulder: 0.5,
            things.statue: 0.3,
            things.litter_bin: 0.4,
        },
        4.0,
    ),
    "wood": ({garden_tree: 6, bush: 6, conifer: 3, bare_tree: 1, _meadow: 2, large.stack: 0.2}, 7.0),
    "field": (
        {
            _meadow: 4,
            _crop: 6,
            bush: 0.8,
            garden_tree: 0.4,
            large.stack: 0.4,
            things.heap: 0.3,
            large.tank: 0.1,
        },
        5.5,
    ),
    "yard": (
        {
            large.container: 1.5,
            large.skip: 1.5,
            large.pallets: 4,
            large.stack: 2,
            large.trailer: 1.2,
            large.boat: 0.4,
            large.caravan: 0.4,
            things.heap: 1.5,
            large.tank: 0.8,
            things.sacks: 1,
            things.wheelie_bins: 1,
            large.digger: 0.5,
            bush: 1.5,
            poles.lamp: 0.4,
            _meadow: 1,
        },
        3.5,
    ),
    "site": (
        {
            things.heap: 3,
            large.pallets: 3,
            large.stack: 2,
            large.digger: 1,
            large.container: 1,
            large.skip: 1,
            _site_barrier: 2,
            _cone: 2,
            things.sacks: 1,
            large.tank: 0.5,
        },
        4.5,
    ),
    "square": (
        {
            things.cafe_set: 5,
            things.bench: 2,
            things.planter: 2,
            large.market_stall: 1.5,
            large.kiosk: 0.6,
            things.bicycle_stand: 1,
            things.rental_scooters: 1,
            things.statue: 0.5,
            young_tree: 1,
            garden_tree: 1,
            poles.advertising_column: 0.5,
            poles.flag: 0.4,
            things.bollard: 1,
            things.litter_bin: 1,
            large.recycling: 0.4,
            things.sandwich_board: 0.6,
        },
        5.0,
    ),
    "play": (
        {
            large.play_thing: 4,
            things.bench: 1.5,
            garden_tree: 2,
            bush: 3,
            things.litter_bin: 0.5,
            things.boulder: 0.5,
            things.bicycle_stand: 0.4,
        },
        4.0,
    ),
}


@dataclass(frozen=True)
class Plot:
    """A piece of land beside an arm.

    Attributes:
        arm: the arm.
        side: +1 left of its outward direction, -1 right of it.
        along_m: arc lengths at which the plot begins and ends.
        from_centre_m: distances from the centre line at which it begins and ends.
    """

    arm: Arm
    side: int
    along_m: tuple[float, float]
    from_centre_m: tuple[float, float]

    @property
    def area_m2(self) -> float:
        return (self.along_m[1] - self.along_m[0]) * (self.from_centre_m[1] - self.from_centre_m[0])


def fill(ground: Ground, plot: Plot, kind: str, plenty: float, stock: Stock) -> list[Mesh]:
    """Return things that stand on a plot where the ground is free, none in another."""
    weights, per_100_m2 = _FILLING[kind]
    rng = stock.rng
    taken: list[tuple[float, float, float]] = []
    made = []
    for _ in range(rng.poisson(per_100_m2 * plenty * plot.area_m2 / 100)):
        item = stock.pick(weights)
        pose = facing_road(plot.arm, plot.side, rng.uniform(*plot.along_m), rng.uniform(*plot.from_centre_m))
        turn = float(rng.normal(0, 0.15) if rng.random() < 0.6 else rng.uniform(0, 6.28))
        reach = float(np.hypot(*item.half_m))
        if any(np.hypot(pose[0] - x, pose[1] - y) < (reach + other) * 0.75 for x, y, other in taken):
            continue
        thing = stand(ground, item, (pose[0], pose[1], pose[2] + turn))
        if thing is not None:
            taken.append((pose[0], pose[1], reach))
            made.append(thing)
    return made


def stand(ground: Ground, item: Item, pose: tuple[float, float, float], margin_m: float = 0.1) -> Mesh | None:
    """Return a thing at a pose (x, y, yaw), None where the ground, with a margin, is in use."""
    x, y, yaw = pose
    if is_free(ground, (x, y, 2 * item.half_m[0], 2 * item.half_m[1], yaw), margin_m):
        return item.mesh.at(x, y, yaw)
    return None


def enclose(
    ground: Ground, plot: Plot, barrier: Barrier, gates: bool, sides: bool, stock: Stock
) -> list[Mesh]:
    """Return a barrier along the front of a plot, and along its sides, with a gap or a gate in the front."""
    rng = stock.rng
    arm, side = plot.arm, plot.side
    made: list[Mesh] = []
    front = plot.from_centre_m[0] + barrier.width_m / 2
    places = np.arange(plot.along_m[0] + PIECE_M / 2, plot.along_m[1], PIECE_M)
    opening = int(rng.integers(len(places))) if gates and len(places) else -1
    for number, along in enumerate(places):
        x, y, yaw = facing_road(arm, side, float(along), front)
        if not is_free(ground, (x, y, PIECE_M, barrier.width_m, yaw)):
            continue
        if number == opening:
            if rng.random() < 0.6:
                made.append(barrier.gates[int(rng.integers(2))].at(x, y, yaw))
        elif rng.random() >= barrier.gap:
            made.append(barrier.piece(rng).at(x, y, yaw))
    if sides:
        for away in np.arange(front + PIECE_M / 2 + 0.2, plot.from_centre_m[1], PIECE_M):
            x, y, yaw = facing_road(arm, side, plot.along_m[1], float(away))
            turned = yaw + np.pi / 2
            if is_free(ground, (x, y, PIECE_M, barrier.width_m, turned)) and rng.random() >= barrier.gap:
                made.append(barrier.piece(rng).at(x, y, turned))
    return made
