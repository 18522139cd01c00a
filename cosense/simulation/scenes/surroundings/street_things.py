"""What stands on walkways at most as tall as a person: bins, boxes, benches, planters, bicycles.

The -y side of a thing faces the road, its foot lies about the origin.
"""

from __future__ import annotations

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.road_users.companions import pram, wheelchair
from cosense.simulation.scenes.road_users.cycles import kick_scooter, parked_bicycle, parked_scooter
from cosense.simulation.scenes.road_users.figures import ANKLE, HIP, SHOULDER, Clothes, figure
from cosense.simulation.scenes.road_users.parts import wheels
from cosense.simulation.scenes.shapes import block, box, boxes, skin, tube, tubes
from cosense.simulation.scenes.surroundings.colours import any_colour
from cosense.simulation.scenes.surroundings.plants import bush, foliage, round_outline


def _round(
    radius: float, z: tuple[float, float], material: Material, colour: Colour | None = None, top: float = 1.0
) -> Mesh:
    line = [(0.0, 0.0, z[0]), (0.0, 0.0, z[1])]
    return tube(line, [radius, radius * top], material, colour, around=10)


def litter_bin(rng: np.random.Generator) -> Mesh:
    """Return a bin: a drum on the ground, or a small one on a post."""
    colour = any_colour(rng)
    if rng.random() < 0.5:
        radius, height = float(rng.uniform(0.18, 0.32)), float(rng.uniform(0.7, 1.15))
        return _round(radius, (-0.05, height), Material.METAL, colour, float(rng.uniform(0.9, 1.2)))
    post = _round(0.04, (-0.1, 1.1), Material.METAL)
    return join([post, _round(0.2, (0.5, 1.0), Material.PLASTIC, colour).at(0.0, -0.2)])


def wheelie_bins(rng: np.random.Generator) -> Mesh:
    """Return one to four wheelie bins, not quite in line, or one large container on wheels."""
    if rng.random() < 0.25:
        return join(
            [
                box((0, 0, 0.65), (1.3, 0.95, 0.95), Material.PLASTIC, colour=(0.2, 0.25, 0.2)),
                box((0, 0, 1.18), (1.36, 1.0, 0.14), Material.PLASTIC, colour=any_colour(rng)),
                boxes(
                    np.array([(x, y, 0.09) for x in (-0.5, 0.5) for y in (-0.35, 0.35)]),
                    0.18 * np.ones(3),
                    Material.RUBBER,
                ),
            ]
        )
    parts = []
    count = int(rng.integers(1, 5))
    for number in range(count):
        wide, deep, tall = (
            float(rng.uniform(0.46, 0.6)),
            float(rng.uniform(0.5, 0.72)),
            float(rng.uniform(0.9, 1.1)),
        )
        lid = ((0.1, 0.2, 0.5), (0.4, 0.3, 0.1), (0.6, 0.5, 0.1), (0.1, 0.1, 0.1))[rng.integers(4)]
        parts.append(
            join(
                [
                    box(
                        (0, 0, tall / 2),
                        (wide * 0.92, deep * 0.85, tall),
                        Material.PLASTIC,
                        colour=(0.12, 0.13, 0.13),
                    ),
                    box((0, 0, tall + 0.03), (wide, deep, 0.07), Material.PLASTIC, colour=lid),
                ]
            ).at((number - (count - 1) / 2) * 0.66, float(rng.normal(0, 0.04)), float(rng.normal(0, 0.08)))
        )
    return join(parts)


def bollard(rng: np.random.Generator) -> Mesh:
    """Return a bollard of steel, stone or plastic, or a ball of stone."""
    kind = rng.random()
    height = float(rng.uniform(0.45, 1.15))
    if kind < 0.6:
        return _round(float(rng.uniform(0.04, 0.11)), (-0.1, height), Material.METAL, any_colour(rng))
    if kind < 0.8:
        wide = float(rng.uniform(0.2, 0.45))
        return box((0, 0, height * 0.4), (wide, wide, height * 0.9), Material.STONE)
    return join(
        [
            _round(0.1, (-0.1, 0.8), Material.PLASTIC, (0.8, 0.3, 0.1)),
            _round(0.2, (0.0, 0.06), Material.RUBBER),
        ]
    )


def hydrant(rng: np.random.Generator) -> Mesh:
    """Return a hydrant."""
    tall = float(rng.uniform(0.6, 0.95))
    colour: Colour = (0.65, 0.1, 0.08) if rng.random() < 0.7 else (0.75, 0.65, 0.1)
    arms = box((0, 0, tall * 0.65), (0.38, 0.14, 0.14), Material.METAL, colour=colour)
    return join([_round(0.12, (-0.05, tall), Material.METAL, colour), arms])


def cabinet(rng: np.random.Generator) -> Mesh:
    """Return a distribution box of any size, sometimes two of unlike size beside each other."""
    parts, x = [], 0.0
    for _ in range(1 if rng.random() < 0.7 else 2):
        wide, deep, tall = (
            float(rng.uniform(0.35, 1.6)),
            float(rng.uniform(0.25, 0.45)),
            float(rng.uniform(0.7, 1.6)),
        )
        grey = float(rng.uniform(0.35, 0.7))
        parts.append(
            box(
                (x + wide / 2, 0, tall / 2 - 0.05),
                (wide, deep, tall + 0.1),
                Material.PLASTIC,
                colour=(grey, grey, grey * 0.95),
            )
        )
        x += wide + 0.05
    return join(parts).at(-x / 2, 0)


def bench(rng: np.random.Generator) -> Mesh:
    """Return a bench with or without a back, of wood, metal or stone."""
    long = float(rng.uniform(1.3, 2.3))
    if rng.random() < 0.25:
        return box((0, 0, 0.22), (long, 0.45, 0.5), Material.STONE)
    laths = np.array([(0, y, 0.45) for y in (-0.18, -0.05, 0.08)])
    parts = [boxes(laths, (long, 0.1, 0.04), Material.WOOD)]
    parts.append(
        boxes(np.array([(s * long * 0.4, 0, 0.2) for s in (-1, 1)]), (0.08, 0.4, 0.45), Material.METAL)
    )
    if rng.random() < 0.75:
        parts.append(boxes(np.array([(0, 0.22, 0.62), (0, 0.25, 0.78)]), (long, 0.03, 0.11), Material.WOOD))
        parts.append(
            boxes(np.array([(s * long * 0.4, 0.23, 0.6) for s in (-1, 1)]), (0.06, 0.05, 0.5), Material.METAL)
        )
    return join(parts).at(0, 0, np.pi if rng.random() < 0.4 else 0.0)


def planter(rng: np.random.Generator) -> Mesh:
    """Return a tub or a trough of stone, wood or plastic with flowers, a bush or a small tree in it."""
    wide, deep, tall = (
        float(rng.uniform(0.4, 1.5)),
        float(rng.uniform(0.35, 0.6)),
        float(rng.uniform(0.3, 0.8)),
    )
    material = Material(rng.choice([Material.STONE, Material.CONCRETE, Material.WOOD, Material.PLASTIC]))
    pot = box((0, 0, tall / 2), (wide, deep, tall), material)
    high = float(rng.uniform(0.2, 1.3))
    side = np.array([(0.8, tall), (1.1, tall + high * 0.5), (0.5, tall + high), (0.0, tall + high * 1.05)])
    outline = round_outline(rng, 0.15) * [wide / 2, deep / 2]
    return join([pot, foliage(outline, side, rng, 60.0, (0.08, 0.2), 0.12, 0.6)])


def post_box(rng: np.random.Generator) -> Mesh:
    """Return a box for letters, a vending machine, a ticket machine or a telephone stand."""
    wide, deep, tall = (
        float(rng.uniform(0.4, 0.95)),
        float(rng.uniform(0.3, 0.7)),
        float(rng.uniform(1.0, 2.0)),
    )
    low = 0.0 if rng.random() < 0.6 else float(rng.uniform(0.3, 0.8))
    colour = ((0.75, 0.62, 0.05), (0.6, 0.08, 0.08), (0.1, 0.2, 0.45), (0.4, 0.42, 0.42))[rng.integers(4)]
    body = box((0, 0, (low + tall) / 2), (wide, deep, tall - low), Material.METAL, colour=colour)
    return join([body, box((0, 0, low / 2), (0.15, 0.15, low), Material.METAL)]) if low else body


def telephone_box(rng: np.random.Generator) -> Mesh:
    """Return a telephone box: a frame with glass, something inside."""
    wide, tall = float(rng.uniform(0.8, 1.0)), float(rng.uniform(2.1, 2.5))
    colour: Colour = (0.6, 0.06, 0.08) if rng.random() < 0.5 else (0.7, 0.1, 0.4)
    half = wide / 2
    posts = np.array([(x, y, tall / 2) for x in (-half, half) for y in (-half, half)])
    panes = np.array([(0, half, tall / 2), (half, 0, tall / 2), (-half, 0, tall / 2)])
    sizes = np.array([(wide, 0.02, tall), (0.02, wide, tall), (0.02, wide, tall)])
    return join(
        [
            boxes(posts, (0.1, 0.1, tall), Material.METAL, colour=colour),
            boxes(panes, sizes, Material.GLASS),
            box((0, 0, tall + 0.08), (wide + 0.1, wide + 0.1, 0.2), Material.METAL, colour=colour),
            box((0, half - 0.15, 1.3), (0.35, 0.2, 0.6), Material.METAL),
        ]
    )


def bicycle_stand(rng: np.random.Generator) -> Mesh:
    """Return up to three metres of hoops with bicycles at some of them; they stand across or at an angle."""
    count, gap = int(rng.integers(2, 5)), float(rng.uniform(0.55, 0.9))
    turn = float(rng.choice([np.pi / 2, np.pi / 3]))
    kinds = [parked_bicycle(rng) for _ in range(2)]
    hoop = tube(
        [(0.0, -0.35, 0.0), (0.0, -0.3, 0.8), (0.0, 0.3, 0.8), (0.0, 0.35, 0.0)],
        0.025,
        Material.METAL,
        around=4,
    )
    parts = []
    for x in (np.arange(count) - (count - 1) / 2) * gap:
        parts.append(hoop.at(float(x), 0.0, turn - np.pi / 2))
        if rng.random() < 0.6:
            heading = turn + (np.pi if rng.random() < 0.3 else 0.0) + float(rng.normal(0, 0.08))
            parts.append(kinds[rng.integers(2)].at(float(x) + 0.15, float(rng.normal(0, 0.06)), heading))
    return join(parts)


def rental_scooters(rng: np.random.Generator) -> Mesh:
    """Return one to four kick scooters, in a row or any way round, one of them perhaps fallen over."""
    parts = []
    neat, one = rng.random() < 0.5, kick_scooter()
    for number in range(int(rng.integers(1, 5))):
        turn = np.pi / 2 + float(rng.normal(0, 0.08 if neat else 1.5))
        if rng.random() < 0.1:
            lying = np.array([[1, 0, 0, 0], [0, 0, 1.0, -0.4], [0, -1.0, 0, 0.1], [0, 0, 0, 1]])
            parts.append(one.placed(lying).at(number * 0.55, 0.0, turn))
        else:
            parts.append(one.at(number * 0.55, float(rng.normal(0, 0.05)), turn))
    return join(parts)


def motor_scooters(rng: np.random.Generator) -> Mesh:
    """Return one to three parked scooters or motorcycles beside each other, at an angle to the road."""
    turn = float(rng.uniform(0.6, 1.6)) * (1 if rng.random() < 0.5 else -1)
    return join(
        parked_scooter(rng).at(number * 0.95, 0.0, turn + float(rng.normal(0, 0.06)))
        for number in range(int(rng.integers(1, 4)))
    )


def left_behind(rng: np.random.Generator) -> Mesh:
    """Return something on wheels that somebody has left: a pram, a wheelchair or shopping trolleys."""
    kind = rng.random()
    if kind < 0.4:
        return pram(rng)
    if kind < 0.5:
        return wheelchair()
    one, count = shopping_trolley(rng), int(rng.integers(1, 7))
    return join(one.at(number * 0.3, 0.0) for number in range(count))


def shopping_trolley(rng: np.random.Generator) -> Mesh:
    """Return a shopping trolley of wire, which most light passes."""
    deep = 0.27
    places = [(-0.45, 0.98), (0.42, 0.72), (0.36, 0.50), (-0.38, 0.50)]
    wires = []
    for level_z in np.linspace(0.5, 0.95, 4):
        back, ahead = -0.42, 0.38 - 0.05 * (0.95 - level_z)
        for y in (-deep, deep):
            wires.append(((back, y, level_z), (ahead, y, min(level_z, 0.80)), 0.012, 0.012))
    for x, z in places:
        wires.append(((x, -deep, z), (x, deep, z), 0.012, 0.012))
    for y in (-deep, deep):
        wires += [
            ((-0.45, y, 0.98), (-0.38, y, 0.15), 0.015, 0.015),
            ((-0.38, y, 0.15), (0.42, y, 0.15), 0.015, 0.015),
        ]
    return join(
        [
            tubes(wires, Material.METAL, (0.45, 0.46, 0.48), corners=3),
            wheels(
                [(x, y) for x in (-0.36, 0.38) for y in (-deep + 0.02, deep - 0.02)], 0.06, 0.04, corners=6
            ),
        ]
    )


def sandwich_board(rng: np.random.Generator) -> Mesh:
    """Return a folding board that a shop puts out."""
    wide, tall = float(rng.uniform(0.5, 0.75)), float(rng.uniform(0.8, 1.25))
    colour = any_colour(rng)
    leaf = box((0, 0, tall / 2), (wide, 0.03, tall), Material.WOOD, colour=colour)
    parts = []
    for lean in (-0.25, 0.25):
        tilt = np.array([[1, 0, 0, 0], [0, 1, lean, -lean * tall], [0, 0, 1, 0], [0, 0, 0, 1.0]])
        parts.append(leaf.placed(tilt))
    return join(parts).at(0, 0, np.pi / 2)


def cafe_set(rng: np.random.Generator) -> Mesh:
    """Return a table with two to four chairs, now and then below a parasol."""
    if rng.random() < 0.5:
        table = join(
            [
                _round(float(rng.uniform(0.28, 0.45)), (0.70, 0.74), Material.METAL),
                _round(0.04, (0.0, 0.7), Material.METAL),
            ]
        )
    else:
        table = join(
            [box((0, 0, 0.72), (0.75, 0.75, 0.04), Material.WOOD), _round(0.05, (0.0, 0.7), Material.METAL)]
        )
    colour = any_colour(rng)
    legs = np.array([(x, y, 0.22) for x in (-0.18, 0.18) for y in (-0.18, 0.18)])
    chair = join(
        [
            boxes(legs, (0.03, 0.03, 0.44), Material.METAL),
            box((0, 0, 0.45), (0.42, 0.42, 0.04), Material.WOOD, colour=colour),
            box((-0.2, 0, 0.68), (0.04, 0.4, 0.4), Material.WOOD, colour=colour),
        ]
    )
    first = float(rng.uniform(0, 6))
    parts = [table]
    for turn in first + np.pi / 2 * rng.permutation(4)[: rng.integers(2, 5)]:
        turn += float(rng.normal(0, 0.2))
        out = float(rng.uniform(0.45, 0.7))
        parts.append(chair.at(-out * np.cos(turn), -out * np.sin(turn), float(turn)))
    if rng.random() < 0.3:
        parts.append(parasol(rng).at(0.0, 0.4))
    return join(parts)


def parasol(rng: np.random.Generator) -> Mesh:
    """Return a parasol, open or folded."""
    foot, pole = (
        box((0, 0, 0.05), (0.5, 0.5, 0.1), Material.CONCRETE),
        _round(0.03, (0.0, 2.5), Material.METAL),
    )
    colour = any_colour(rng)
    if rng.random() < 0.4:
        return join([foot, pole, tube([(0, 0, 1.2), (0, 0, 2.5)], [0.16, 0.05], Material.CLOTH, colour)])
    radius = float(rng.uniform(1.0, 1.5))
    shade = tube([(0, 0, 2.2), (0, 0, 2.6)], [radius, 0.05], Material.CLOTH, colour, around=8)
    return join([foot, pole, shade])


def boulder(rng: np.random.Generator) -> Mesh:
    """Return a rock, or a ball or block of stone that keeps cars away."""
    size = rng.uniform([0.4, 0.35, 0.3], [1.5, 1.1, 0.9])
    return _lump(size, Material.STONE, rng)


def _lump(size: np.ndarray, material: Material, rng: np.random.Generator) -> Mesh:
    """Return a rough heap with a given extent."""
    outline = round_outline(rng, 0.2)[::2] * size[:2] / 2
    rings = [
        (1.0, -0.1),
        (float(rng.uniform(0.75, 0.95)), 0.45 * size[2]),
        (float(rng.uniform(0.3, 0.6)), 0.85 * size[2]),
        (0.05, size[2]),
    ]
    n = len(outline)
    places = np.stack(
        [
            np.column_stack([outline * scale * r, np.full(n, z)])
            for (scale, z), r in zip(rings, rng.normal(1, 0.08, (4, n, 1)), strict=True)
        ]
    )
    return skin(places, material, ends=False)


def heap(rng: np.random.Generator) -> Mesh:
    """Return a heap of earth, sand, gravel, leaves or snow-like rubble, from a bump to as large as a car."""
    wide = float(rng.choice([rng.uniform(0.4, 1.2), rng.uniform(1.0, 4.5)]))
    size = np.array([wide, wide * rng.uniform(0.5, 1.0), wide * rng.uniform(0.15, 0.45)])
    material = Material(
        rng.choice([Material.SOIL, Material.GRAVEL, Material.STONE, Material.DRY_GRASS, Material.WOOD])
    )
    return _lump(size, material, rng)


def flower_bed(rng: np.random.Generator) -> Mesh:
    """Return a low bed of plants with a rim, at most three metres long."""
    long, wide = float(rng.uniform(0.8, 2.8)), float(rng.uniform(0.4, 1.4))
    tall = float(rng.uniform(0.12, 0.6))
    outline = round_outline(rng, 0.05) * [long / 2, wide / 2]
    side = np.array([(0.9, 0.0), (1.0, tall * 0.6), (0.8, tall), (0.0, tall)])
    return foliage(outline, side, rng, 40.0, (0.08, 0.22), 0.12, 0.5)


def sacks(rng: np.random.Generator) -> Mesh:
    """Return a pile of bags, boxes or old furniture put out for collection."""
    n = int(rng.integers(2, 9))
    size = rng.uniform([0.25, 0.25, 0.2], [0.9, 0.6, 0.7], (n, 3))
    at = np.column_stack([rng.normal(0, 0.5, n), rng.normal(0, 0.15, n), size[:, 2] / 2])
    at[n // 2 :, 2] += rng.uniform(0, 0.4, n - n // 2)
    material = Material.PLASTIC if rng.random() < 0.5 else Material.WOOD
    return boxes(at, size, material, rng.uniform(0, 3, n), rng.uniform(0.05, 0.6, (n, 3)))


def mannequin(rng: np.random.Generator) -> Mesh:
    """Return a statue or a shop's dummy on a base: a person's shape that nobody labels."""
    tall, base = float(rng.uniform(1.6, 2.2)), float(rng.uniform(0.1, 0.9))
    grey = float(rng.uniform(0.15, 0.8))
    stone = ((grey, grey, 0.95 * grey), float(rng.uniform(0.2, 0.6)))
    hip = (0.0, 0.0, HIP * tall + base - 0.01)
    ankles = ((0.06, 0.06 * tall, ANKLE * tall + base), (-0.06, -0.06 * tall, ANKLE * tall + base))
    reach = SHOULDER * tall + base
    wrists = (
        (float(rng.uniform(0, 0.5)), 0.2, reach - float(rng.uniform(-0.3, 0.6))),
        (0.05, -0.15 * tall, reach - 0.6),
    )
    body = figure(tall, hip, 0.0, ankles, wrists, Clothes(stone, stone, stone[0], stone))
    return join([body, block((-0.35, 0.35), (-0.35, 0.35), (0.0, base), Material.CONCRETE)])


def statue(rng: np.random.Generator) -> Mesh:
    """Return a figure on a plinth: as tall and slim as a person, yet of stone."""
    low, wide = float(rng.uniform(0.4, 1.4)), float(rng.uniform(0.5, 1.0))
    return join([box((0, 0, low / 2), (wide, wide, low), Material.STONE), mannequin(rng).at(0, 0, 0, low)])


def shelter(rng: np.random.Generator) -> Mesh:
    """Return a bus shelter: a glass wall at the kerb, a roof, an end wall with an advertisement, a seat."""
    long = float(rng.uniform(2.6, 4.4))
    posts = np.array([(x, 0.3, 1.25) for x in np.linspace(-long / 2, long / 2, 3)])
    roof_deep = float(rng.uniform(0.7, 1.0))
    return join(
        [
            box((0, 0, 1.3), (long, 0.03, 2.0), Material.GLASS),
            boxes(posts - [0, 0.3, 0], (0.08, 0.08, 2.5), Material.METAL),
            box((0, 0.1, 2.5), (long + 0.3, roof_deep, 0.1), Material.METAL),
            box((long / 2, 0.1, 1.25), (0.15, 0.7, 2.2), Material.PLASTIC, colour=any_colour(rng)),
            box((-0.3, 0.25, 0.5), (long * 0.5, 0.3, 0.06), Material.METAL),
        ]
    )


def pot_bush(rng: np.random.Generator) -> Mesh:
    """Return a small bush that grows out of a gap in the paving."""
    return bush(rng, float(rng.uniform(0.4, 0.9)))
