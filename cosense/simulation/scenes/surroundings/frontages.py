"""What stands where along the arms of a scene: houses and plots behind the walkways, furniture on them.

Nothing stands on carriageways, on strips for cyclists or on the lines that pedestrians walk. Each thing is a
mesh at its place with its foot at z = 0; long ones come in pieces, so that each can be raised by the ground.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.chance import draw
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.road_users import cycles
from cosense.simulation.scenes.roads import Arm
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings import large_things as large
from cosense.simulation.scenes.surroundings import street_poles as poles
from cosense.simulation.scenes.surroundings import street_things as things
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, Barrier, bollard_row, draw_barrier
from cosense.simulation.scenes.surroundings.house_fronts import House
from cosense.simulation.scenes.surroundings.houses import house, shed
from cosense.simulation.scenes.surroundings.placing import FURNISHED_M, facing_road, is_free, occupy
from cosense.simulation.scenes.surroundings.plants import low_hedge, verge
from cosense.simulation.scenes.surroundings.plots import Plot, enclose, fill, stand
from cosense.simulation.scenes.surroundings.stock import Builder, Item, Stock
from cosense.simulation.scenes.surroundings.style import Style
from cosense.simulation.scenes.surroundings.trees import garden_tree, street_tree

# Pedestrians keep to this width at the outer edge of a walkway; things stand between it and the kerb.
_PASSAGE_M = 1.95
_KERB_GAP_M = 0.12
# Things that are looked at for a place on a walkway, until one is slim enough.
_TRIES = 3
_DEPTH_M = 15.0
# Share of fronts with a scaffold, where there is room.
_SCAFFOLDED = 0.06

# What stands on walkways, with weights.
_SMALL: dict[Builder, float] = {
    poles.sign: 5,
    poles.parking_meter: 1.2,
    poles.bus_stop: 0.5,
    poles.traffic_light: 0.5,
    poles.advertising_column: 0.5,
    poles.utility_pole: 0.5,
    poles.flag: 0.3,
    things.litter_bin: 2,
    things.wheelie_bins: 3,
    things.bollard: 2.5,
    bollard_row: 1,
    things.hydrant: 0.5,
    things.cabinet: 2.5,
    things.bench: 1.5,
    things.planter: 2,
    things.post_box: 1,
    things.telephone_box: 0.3,
    things.bicycle_stand: 2,
    cycles.parked_bicycle: 1.5,
    things.rental_scooters: 1,
    things.motor_scooters: 0.8,
    things.left_behind: 0.5,
    things.sandwich_board: 1,
    things.cafe_set: 0.8,
    things.sacks: 0.8,
    things.flower_bed: 0.8,
    things.pot_bush: 0.8,
    things.boulder: 0.3,
    things.heap: 0.3,
    things.shelter: 0.6,
    large.recycling: 0.5,
    large.skip: 0.3,
    large.pallets: 0.3,
    large.kiosk: 0.2,
}
# What may grow along a kerb.
_STRIPS: tuple[Builder, ...] = (low_hedge, low_hedge, things.flower_bed, things.pot_bush, verge)
# What stands in front of houses that are set back.
_FORECOURT: dict[Builder, float] = {
    things.planter: 3,
    things.pot_bush: 3,
    things.wheelie_bins: 2,
    cycles.parked_bicycle: 2,
    things.bench: 1,
    things.cafe_set: 2,
    things.sandwich_board: 1,
    things.flower_bed: 2,
    things.sacks: 0.5,
    things.bicycle_stand: 1,
    things.motor_scooters: 0.5,
    things.left_behind: 0.3,
}


def furnish(ground: Ground, arms: list[Arm], style: Style, rng: np.random.Generator) -> list[Mesh]:
    """Return all static things along the arms; marks the ground under houses as built up."""
    stock = Stock(rng)
    barriers = [draw_barrier(rng, kind) for kind in style.barriers]
    edging = (
        draw_barrier(rng, str(rng.choice(["parapet", "railing", "guard_rail"]))) if style.parapet else None
    )
    made: list[Mesh] = []
    for arm in arms:
        for side in (1, -1):
            made += _frontage(ground, arm, side, style, barriers, stock)
            made += _walkway(ground, arm, side, style, stock)
            if edging is not None:
                made += _edging(arm, side, edging)
    for arm in arms:
        for side in (1, -1):
            made += _behind(ground, arm, side, style, stock)
    return made


def _frontage(
    ground: Ground, arm: Arm, side: int, style: Style, barriers: list[Barrier], stock: Stock
) -> list[Mesh]:
    """Return houses in a row along one side, as near to the corner as the ground allows, and plots."""
    rng = stock.rng
    made: list[Mesh] = []
    along = 3.0
    while along < FURNISHED_M:
        front = float(rng.uniform(7, 24))
        if rng.random() > style.built_up:
            made += _plot(ground, arm, side, (along, along + front), style, barriers, stock)
            along += front
            continue
        depth, set_back = float(rng.uniform(8, 14)), float(rng.uniform(*style.set_back_m))
        x, y, yaw = facing_road(arm, side, along + front / 2, arm.profile.edge_m + set_back + depth / 2)
        footprint = (x, y, front, depth, yaw)
        if not is_free(ground, footprint, 0.05):
            along += 1.5
            continue
        occupy(ground, footprint)
        made.append(_house(front, depth, set_back, style, rng).at(x, y, yaw))
        made += _forecourt(ground, arm, side, (along, along + front), set_back, style, barriers, stock)
        along += front + (float(rng.uniform(1.5, 8)) if rng.random() < 0.5 else 0.2)
    return made


def _house(front: float, depth: float, set_back: float, style: Style, rng: np.random.Generator) -> Mesh:
    if rng.random() < style.halls:
        return shed(rng, (front, depth, float(rng.uniform(2.4, 8.0))))
    floors = int(rng.integers(style.floors[0], style.floors[1] + 1))
    return house(House(front, depth, floors, bool(rng.random() < style.shops), set_back < 1.8), rng)


def _forecourt(
    ground: Ground,
    arm: Arm,
    side: int,
    along: tuple[float, float],
    set_back: float,
    style: Style,
    barriers: list[Barrier],
    stock: Stock,
) -> list[Mesh]:
    """Return what stands between a walkway and a house: a front garden, or a few things along the wall."""
    rng = stock.rng
    edge = arm.profile.edge_m
    if set_back > 2.5:
        plot = Plot(arm, side, along, (edge + 0.15, edge + set_back - 1.6))
        closed = rng.random() < style.walls
        made = enclose(ground, plot, _one(barriers, rng), True, closed, stock) if closed else []
        inner = Plot(arm, side, along, (edge + 1.4, edge + set_back - 0.6))
        return made + fill(ground, inner, "garden", 1.5 * style.plenty, stock)
    if set_back > 1.1 and rng.random() < _SCAFFOLDED:
        bay = Item.of(large.scaffold(rng, int(rng.integers(1, 4))))
        poses = [
            facing_road(arm, side, float(at), edge + set_back - 0.6)
            for at in np.arange(along[0] + 1.25, along[1] - 1.0, 2.5)
        ]
        return [thing for thing in (stand(ground, bay, pose, 0.0) for pose in poses) if thing is not None]
    made = []
    for at in np.arange(along[0] + 1.0, along[1] - 1.0, 2.5):
        if rng.random() > 3 * style.furniture:
            continue
        item = stock.pick(_FORECOURT)
        if 2 * item.half_m[1] < set_back - 0.1:
            pose = facing_road(arm, side, float(at), edge + set_back - 0.08 - item.half_m[1])
            thing = stand(ground, item, pose, 0.0)
            made += [] if thing is None else [thing]
    return made


def _one(barriers: list[Barrier], rng: np.random.Generator) -> Barrier:
    return barriers[int(rng.integers(len(barriers)))]


def _plot(
    ground: Ground,
    arm: Arm,
    side: int,
    along: tuple[float, float],
    style: Style,
    barriers: list[Barrier],
    stock: Stock,
) -> list[Mesh]:
    """Return a plot without a house: what encloses it and what stands on it."""
    rng = stock.rng
    edge = arm.profile.edge_m
    kind = draw(style.plots, rng)
    made: list[Mesh] = []
    if rng.random() < style.walls:
        barrier = draw_barrier(rng, "hoarding") if kind == "site" else _one(barriers, rng)
        plot = Plot(arm, side, along, (edge + 0.15, edge + _DEPTH_M))
        made += enclose(ground, plot, barrier, rng.random() < 0.5, rng.random() < 0.4, stock)
    inner = Plot(arm, side, along, (edge + 1.2, edge + _DEPTH_M))
    return made + fill(ground, inner, kind, style.plenty, stock)


def _behind(ground: Ground, arm: Arm, side: int, style: Style, stock: Stock) -> list[Mesh]:
    """Return houses and tall trees of a second row, which are seen over gardens and through gaps."""
    rng = stock.rng
    made: list[Mesh] = []
    along = float(rng.uniform(5, 20))
    while along < FURNISHED_M:
        front, depth, away = float(rng.uniform(8, 18)), float(rng.uniform(8, 12)), float(rng.uniform(20, 38))
        x, y, yaw = facing_road(arm, side, along + front / 2, arm.profile.edge_m + away + depth / 2)
        footprint = (x, y, front, depth, yaw)
        if rng.random() < 0.6 * style.built_up + 0.1 and is_free(ground, footprint, 0.5):
            occupy(ground, footprint)
            turned = yaw + float(rng.choice([0.0, np.pi]))
            made.append(_house(front, depth, 5.0, style, rng).at(x, y, turned))
        for _ in range(int(rng.integers(1, 5))):
            from_centre_m = arm.profile.edge_m + float(rng.uniform(4, 45))
            place = facing_road(arm, side, along + float(rng.uniform(0, 20)), from_centre_m)
            tall = stand(ground, stock.take(garden_tree, 10), place)
            made += [] if tall is None else [tall]
        along += front + float(rng.uniform(1, 15))
    return made


def _walkway(ground: Ground, arm: Arm, side: int, style: Style, stock: Stock) -> list[Mesh]:
    """Return trees, lamps and furniture between the kerb and the part of the walkway where people walk."""
    rng = stock.rng
    room = arm.profile.walk_m - _PASSAGE_M - _KERB_GAP_M
    start = arm.mouth_m + (5.5 if arm.crossing else 2.0)
    lamp_gap = float(rng.uniform(18, 38))
    next_lamp, next_tree = start + float(rng.uniform(0, 10)), start + float(rng.uniform(2, 12))
    # Along some kerbs, plants fill what room the furniture leaves.
    strip = _STRIPS[int(rng.integers(len(_STRIPS)))] if rng.random() < style.strips else None
    made: list[Mesh] = []
    along = start
    while along < FURNISHED_M:
        builder: dict[Builder, float] | None = None
        variety = 4
        if along >= next_lamp:
            builder, variety = {poles.lamp: 1.0}, 1
            next_lamp += lamp_gap
        elif style.tree_gap_m and along >= next_tree:
            builder, variety = {street_tree: 1.0}, 6
            next_tree += max(3.5, float(rng.normal(style.tree_gap_m, 3)))
        elif rng.random() < style.furniture:
            builder = _SMALL
        elif strip is not None and rng.random() < 0.8:
            builder = {strip: 1.0}
        if builder is None:
            along += 1.0
            continue
        drawn = [stock.pick(builder, variety) for _ in range(_TRIES)]
        item = next((one for one in drawn if 2 * one.half_m[1] <= room), None)
        if item is None or along + 2 * item.half_m[0] > FURNISHED_M:
            along += 1.0
            continue
        thing = _at_kerb(arm, side, along, room, item, rng)
        if ground.material_at(thing.middle[None])[0] == Material.CONCRETE:
            # Kerbs are dropped here, for a crossing or a driveway.
            along += 1.0
            continue
        made.append(thing)
        along += 2 * item.half_m[0] + float(rng.uniform(0.4, 1.5))
    return made


def _at_kerb(arm: Arm, side: int, along: float, room: float, item: Item, rng: np.random.Generator) -> Mesh:
    """Return a thing that begins at an arc length, nearer to the kerb or to the passage as it comes."""
    slack = room - 2 * item.half_m[1]
    away = arm.profile.kerb_m + _KERB_GAP_M + item.half_m[1] + slack * float(rng.random()) ** 2
    return item.mesh.at(*facing_road(arm, side, along + item.half_m[0], away))


def _edging(arm: Arm, side: int, barrier: Barrier) -> list[Mesh]:
    """Return a barrier along the outer edge of a walkway."""
    made = []
    for along in np.arange(arm.mouth_m + 2.0 + PIECE_M / 2, FURNISHED_M, PIECE_M):
        pose = facing_road(arm, side, float(along), arm.profile.edge_m - 0.02)
        made.append(barrier.pieces[0].at(*pose))
    return made
