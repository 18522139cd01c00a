"""What stands on and around a car park: on islands, between rows, before the shop, and beyond the fence."""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.shapes import boxes, quads
from cosense.simulation.scenes.surroundings import large_things as large
from cosense.simulation.scenes.surroundings import street_poles as poles
from cosense.simulation.scenes.surroundings import street_things as things
from cosense.simulation.scenes.surroundings.plants import bush, low_hedge
from cosense.simulation.scenes.surroundings.stock import Builder
from cosense.simulation.scenes.surroundings.trees import conifer, garden_tree, street_tree, young_tree


def trolley_shelter(rng: np.random.Generator) -> Mesh:
    """Return a roof on hoops with one or two rows of shopping trolleys below, about as large as a car."""
    long, wide, tall = (
        float(rng.uniform(2.8, 4.4)),
        float(rng.uniform(1.6, 2.1)),
        float(rng.uniform(2.0, 2.4)),
    )
    x, y = long / 2, wide / 2
    posts = np.array([(a, b, tall / 2) for a in (-x, 0.0, x) for b in (-y, y)])
    rails = np.array([(0, b, z) for b in (-y, y) for z in (0.4, 0.9)])
    crown = tall + float(rng.uniform(0.1, 0.5))
    roof = [
        [(-x, -y, tall), (x, -y, tall), (x, 0, crown), (-x, 0, crown)],
        [(x, y, tall), (-x, y, tall), (-x, 0, crown), (x, 0, crown)],
    ]
    one = things.shopping_trolley(rng)
    count = int(rng.integers(2, max(3, int((long - 1.0) / 0.35))))
    rows = (-0.4, 0.4) if rng.random() < 0.6 else (0.0,)
    return join(
        [
            boxes(posts, (0.06, 0.06, tall), Material.METAL),
            boxes(rails, (long, 0.04, 0.05), Material.METAL),
            quads(np.array(roof), Material.GLASS if rng.random() < 0.4 else Material.PLASTIC),
            *(one.at(-x + 0.6 + 0.35 * number, row) for row in rows for number in range(count)),
        ]
    )


ISLANDS: dict[Builder, float] = {
    street_tree: 4,
    young_tree: 1,
    bush: 3,
    low_hedge: 2,
    things.flower_bed: 1,
    things.boulder: 0.5,
    things.bollard: 0.7,
    things.litter_bin: 0.5,
    things.bicycle_stand: 0.4,
    things.motor_scooters: 0.4,
    things.left_behind: 0.5,
    trolley_shelter: 2.0,
    large.recycling: 1.0,
    poles.sign: 1,
    poles.parking_meter: 0.7,
}
SHOP_FRONT: dict[Builder, float] = {
    things.planter: 3,
    things.left_behind: 2,
    things.bicycle_stand: 1,
    things.litter_bin: 1,
    things.bench: 1,
    things.sandwich_board: 1,
    things.post_box: 1,
    things.bollard: 1.5,
    things.sacks: 1,
    large.pallets: 1.5,
    large.stack: 0.3,
    things.rental_scooters: 0.5,
}
RIM: dict[Builder, float] = {
    bush: 5,
    garden_tree: 4,
    conifer: 1.5,
    things.heap: 0.5,
    things.boulder: 0.4,
    large.container: 0.4,
    large.trailer: 0.3,
    large.caravan: 0.2,
    large.skip: 0.3,
    poles.utility_pole: 0.3,
    poles.advertising_column: 0.3,
    poles.flag: 0.4,
}
