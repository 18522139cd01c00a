"""What closes a plot: walls, fences, railings, guard rails, noise walls, gates; a piece lies along x."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.shapes import box, boxes, prism, profile
from cosense.simulation.scenes.surroundings.colours import any_colour
from cosense.simulation.scenes.surroundings.plants import foliage, green, hedge_piece, oblong

PIECE_M = 2.5

_Piece = Callable[[np.random.Generator], Mesh]


@dataclass(frozen=True)
class Barrier:
    """A kind of barrier as it was drawn for one plot.

    Attributes:
        pieces: pieces of `PIECE_M` to choose from; their middle is the origin.
        gates: gates in place of a piece.
        gap: share of pieces that are missing.
        width_m: room that it takes across.
    """

    pieces: tuple[Mesh, ...]
    gates: tuple[Mesh, ...]
    gap: float
    width_m: float

    def piece(self, rng: np.random.Generator) -> Mesh:
        """Return one of the pieces."""
        return self.pieces[int(rng.integers(len(self.pieces)))]


def draw_barrier(rng: np.random.Generator, kind: str) -> Barrier:
    """Draw the look of a barrier of one of `KINDS`."""
    make, count, width_m = _KINDS[kind](rng)
    gap = float(rng.choice([0.0, rng.uniform(0.0, 0.25)]))
    gates = tuple(gate(rng, PIECE_M) for _ in range(2))
    return Barrier(tuple(make(rng) for _ in range(count)), gates, gap, width_m)


def _hedge(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    width, height = float(rng.uniform(0.45, 1.6)), float(rng.uniform(0.4, 2.6))
    ragged, colour = float(rng.random() ** 1.5), green(rng)
    return lambda r: hedge_piece(PIECE_M, width, height, r, colour, ragged), 4, width + 0.3


def _wall(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """A wall with a coping, sometimes with pillars, ivy or a fence on it."""
    material = Material(rng.choice([Material.BRICK, Material.PLASTER, Material.CONCRETE, Material.STONE]))
    height, thick = float(rng.uniform(0.35, 2.6)), float(rng.uniform(0.12, 0.45))
    pillar, rail, ivy = rng.random() < 0.5, height < 1.0 and rng.random() < 0.5, rng.random() < 0.15
    over = float(rng.uniform(0.05, 0.35))

    def piece(r: np.random.Generator) -> Mesh:
        parts = [
            box((0, 0, height / 2 - 0.15), (PIECE_M + 0.02, thick, height + 0.3), material),
            box((0, 0, height + 0.04), (PIECE_M + 0.02, thick + 0.1, 0.08), Material.CONCRETE),
        ]
        if pillar:
            tall = height + over
            parts.append(box((0, 0, tall / 2 - 0.15), (thick + 0.15, thick + 0.15, tall + 0.3), material))
        if rail:
            parts.append(_bars(PIECE_M, (height, height + 0.8), 0.13, 0.025, Material.METAL, (0.1, 0.1, 0.1)))
        if ivy:
            side = np.array([(1.0, 0.0), (1.0, height), (0.9, height + 0.15), (0.0, height + 0.2)])
            parts.append(foliage(oblong(PIECE_M, thick + 0.3), side, r, 22.0, (0.1, 0.22), 0.1, 0.0))
        return join(parts)

    return piece, 2, thick + 0.2


def _bars(
    length_m: float, z: tuple[float, float], gap_m: float, thick_m: float, material: Material, colour: Colour
) -> Mesh:
    """Return upright bars between two rails."""
    x = np.arange(-length_m / 2 + gap_m / 2, length_m / 2, gap_m)
    tall = z[1] - z[0]
    middle = np.column_stack([x, np.zeros(len(x)), np.full(len(x), (z[0] + z[1]) / 2)])
    rails = boxes(
        np.array([(0, 0, z[0] + 0.1 * tall), (0, 0, z[1] - 0.08 * tall)]),
        (length_m, 0.04, 0.05),
        material,
        colour=colour,
    )
    return join([boxes(middle, (thick_m, thick_m, tall), material, colour=colour), rails])


def _bar_fence(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    height, gap = float(rng.uniform(0.8, 2.4)), float(rng.uniform(0.09, 0.18))
    thick = float(rng.uniform(0.015, 0.035))
    colour: Colour = (0.08, 0.09, 0.08) if rng.random() < 0.7 else (0.5, 0.52, 0.5)

    def piece(_: np.random.Generator) -> Mesh:
        post = box((0, 0, height / 2), (0.07, 0.07, height + 0.1), Material.METAL, colour=colour)
        return join([_bars(PIECE_M, (0.08, height), gap, thick, Material.METAL, colour), post])

    return piece, 1, 0.1


def _picket(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """A wooden fence of upright laths, with gaps or closed."""
    height, lath = float(rng.uniform(0.7, 2.0)), float(rng.uniform(0.06, 0.14))
    gap = lath * float(rng.choice([1.0, 1.3, 1.7]))
    white = rng.random() < 0.3
    colour: Colour = (0.8, 0.8, 0.78) if white else (0.40, 0.29, 0.19)

    def piece(r: np.random.Generator) -> Mesh:
        x = np.arange(-PIECE_M / 2 + gap / 2, PIECE_M / 2, gap)
        tall = height * r.uniform(0.95, 1.0, len(x))
        middle = np.column_stack([x, np.full(len(x), -0.03), tall / 2 + 0.05])
        laths = boxes(
            middle,
            np.column_stack([np.full(len(x), lath), np.full(len(x), 0.02), tall]),
            Material.WOOD,
            colour=colour,
        )
        posts = boxes(
            np.array([(-PIECE_M / 2 + 0.1, 0.03, height / 2), (PIECE_M / 2 - 0.1, 0.03, height / 2)]),
            (0.09, 0.09, height + 0.1),
            Material.WOOD,
            colour=colour,
        )
        return join([laths, posts])

    return piece, 1, 0.12


def _planks(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """Two to four horizontal boards on posts, as around paddocks and building sites."""
    count, height = int(rng.integers(2, 5)), float(rng.uniform(0.9, 1.6))
    board = float(rng.uniform(0.08, 0.2))

    def piece(_: np.random.Generator) -> Mesh:
        z = np.linspace(0.3, height - board / 2, count)
        boards = boxes(
            np.column_stack([np.zeros(count), np.zeros(count), z]),
            (PIECE_M + 0.02, 0.03, board),
            Material.WOOD,
        )
        return join([boards, box((0, 0.05, height / 2), (0.1, 0.1, height), Material.WOOD)])

    return piece, 1, 0.2


def _wire(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """A wire mesh between posts: a ray meets it now and then."""
    height, gap = float(rng.uniform(1.0, 2.4)), float(rng.uniform(0.1, 0.2))
    green_ = rng.random() < 0.5
    colour: Colour = (0.1, 0.25, 0.14) if green_ else (0.5, 0.52, 0.53)

    def piece(_: np.random.Generator) -> Mesh:
        x = np.arange(-PIECE_M / 2, PIECE_M / 2, gap)
        z = np.arange(0.1, height, gap)
        upright = boxes(
            np.column_stack([x, 0 * x, 0 * x + height / 2]),
            (0.012, 0.012, height),
            Material.METAL,
            colour=colour,
        )
        level = boxes(
            np.column_stack([0 * z, 0 * z, z]), (PIECE_M, 0.012, 0.012), Material.METAL, colour=colour
        )
        post = box((0, 0, height / 2), (0.06, 0.06, height), Material.METAL, colour=colour)
        return join([upright, level, post])

    return piece, 1, 0.1


def _guard_rail(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """A steel rail with its two waves on posts."""
    top = float(rng.uniform(0.65, 0.85))

    def piece(_: np.random.Generator) -> Mesh:
        z = top - np.array([0.27, 0.155, 0.04])
        waves = boxes(
            np.column_stack([np.zeros(3), [-0.04, 0.02, -0.04], z]),
            (PIECE_M + 0.02, 0.03, 0.13),
            Material.METAL,
        )
        return join([waves, box((0, 0.12, top / 2 - 0.1), (0.06, 0.12, top + 0.1), Material.METAL)])

    return piece, 1, 0.3


def _jersey(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """A concrete safety barrier, wide at its foot, or one of red and white plastic."""
    plastic, height = rng.random() < 0.3, float(rng.uniform(0.7, 1.1))
    width = float(rng.uniform(0.4, 0.65))

    def piece(r: np.random.Generator) -> Mesh:
        section = [(-width / 2, 0.0), (width / 2, 0.0), (width * 0.18, height * 0.4), (width * 0.12, height)]
        section += [(-width * 0.12, height), (-width * 0.18, height * 0.4)]
        red: Colour = (0.75, 0.12, 0.08) if r.random() < 0.5 else (0.85, 0.85, 0.83)
        material = Material.PLASTIC if plastic else Material.CONCRETE
        lower = profile(
            [section[5], section[0], section[1], section[2]],
            PIECE_M - 0.06,
            material,
            red if plastic else None,
        )
        upper = profile(
            [section[5], section[2], section[3], section[4]],
            PIECE_M - 0.06,
            material,
            red if plastic else None,
        )
        return join([lower, upper]).at(0, 0, np.pi / 2)

    return piece, 2, width


def _noise_wall(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    height = float(rng.uniform(1.8, 4.5))
    material = Material(rng.choice([Material.CONCRETE, Material.WOOD, Material.METAL]))

    def piece(_: np.random.Generator) -> Mesh:
        z = np.arange(0.25, height, 0.5)
        relief = 0.03 * (np.arange(len(z)) % 2)
        panels = boxes(np.column_stack([0 * z, relief, z]), (PIECE_M, 0.12, 0.5), material)
        post = box((PIECE_M / 2, 0, height / 2), (0.18, 0.22, height + 0.15), Material.METAL)
        return join([panels, post, box((0, 0, -0.2), (PIECE_M, 0.3, 0.8), Material.CONCRETE)])

    return piece, 1, 0.35


def _railing(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """Two or three tubes on posts, as at crossings and bridges."""
    count, height = int(rng.integers(1, 4)), float(rng.uniform(0.75, 1.1))
    colour: Colour = (0.7, 0.1, 0.1) if rng.random() < 0.2 else (0.5, 0.52, 0.54)

    def piece(_: np.random.Generator) -> Mesh:
        z = np.linspace(height, height * 0.35, count)
        tubes = boxes(
            np.column_stack([0 * z, 0 * z, z]), (PIECE_M - 0.3, 0.05, 0.05), Material.METAL, colour=colour
        )
        ends = np.array([(x, 0, height / 2) for x in (-PIECE_M / 2 + 0.15, 0.0, PIECE_M / 2 - 0.15)])
        return join([tubes, boxes(ends, (0.06, 0.06, height), Material.METAL, colour=colour)])

    return piece, 1, 0.1


def _hoarding(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    """The closed fence of a building site: sheets of steel or wood, or mesh on blocks with a tarpaulin."""
    height = float(rng.uniform(1.9, 2.3))
    colour = any_colour(rng)

    def piece(r: np.random.Generator) -> Mesh:
        lean = float(r.normal(0, 0.02))
        sheet = box((0, 0, height / 2 + 0.05), (PIECE_M - 0.04, 0.04, height), Material.METAL, colour=colour)
        feet = boxes(
            np.array([(-PIECE_M / 2, 0, 0.07), (PIECE_M / 2 - 0.2, 0, 0.07)]),
            (0.24, 0.7, 0.14),
            Material.CONCRETE,
        )
        return join([sheet.at(0, 0, lean), feet])

    return piece, 2, 0.5


def _gabion(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    height, width = float(rng.choice([0.5, 1.0, 1.5])), float(rng.choice([0.5, 1.0]))

    def piece(r: np.random.Generator) -> Mesh:
        stones = 40
        at = r.uniform(-0.5, 0.5, (stones, 3)) * [PIECE_M, width, height]
        face = r.integers(0, 3, stones)
        at[face < 2, 1] = np.sign(at[face < 2, 1]) * width / 2
        at[face == 2, 2] = height / 2
        rough = boxes(
            at + np.array([0, 0, height / 2]),
            r.uniform(0.1, 0.3, (stones, 3)),
            Material.STONE,
            r.uniform(0, 3, stones),
        )
        return join(
            [box((0, 0, height / 2 - 0.1), (PIECE_M, width - 0.06, height + 0.1), Material.STONE), rough]
        )

    return piece, 2, width + 0.2


def _parapet(rng: np.random.Generator) -> tuple[_Piece, int, float]:
    height = float(rng.uniform(0.8, 1.2))
    return (
        lambda _: box((0, 0, height / 2 - 0.1), (PIECE_M + 0.06, 0.2, height + 0.2), Material.CONCRETE),
        1,
        0.2,
    )


def gate(rng: np.random.Generator, width_m: float) -> Mesh:
    """Return a gate between two pillars, of bars or closed, up to three metres wide."""
    height = float(rng.uniform(0.9, 2.0))
    pillar = Material.BRICK if rng.random() < 0.5 else Material.CONCRETE
    ends = np.array([(side * width_m / 2, 0, height / 2) for side in (-1, 1)])
    posts = boxes(ends, (0.35, 0.35, height + 0.2), pillar)
    if rng.random() < 0.5:
        leaf = _bars(width_m - 0.4, (0.1, height - 0.1), 0.12, 0.03, Material.METAL, (0.1, 0.1, 0.1))
    else:
        leaf = box((0, 0, height / 2), (width_m - 0.4, 0.05, height - 0.2), Material.WOOD)
    # Some stand open.
    if rng.random() < 0.3:
        leaf = leaf.at((width_m - 0.4) / 2, 0).at(-width_m / 2 + 0.2, 0.1, float(rng.uniform(0.3, 1.5)))
    return join([posts, leaf])


def bollard_row(rng: np.random.Generator) -> Mesh:
    """Return two or three bollards with a chain or a bar between them."""
    height = float(rng.uniform(0.6, 1.1))
    x = np.array([-PIECE_M / 2 + 0.2, PIECE_M / 2 - 0.2])
    outline = [(0.06 * np.cos(a), 0.06 * np.sin(a)) for a in 2 * np.pi * np.arange(8) / 8]
    posts = [prism(outline, (-0.1, height), Material.METAL).at(float(at), 0) for at in x]
    return join([*posts, box((0, 0, height * 0.8), (PIECE_M - 0.4, 0.03, 0.03), Material.METAL)])


_KINDS: dict[str, Callable[[np.random.Generator], tuple[_Piece, int, float]]] = {
    "hedge": _hedge,
    "wall": _wall,
    "bars": _bar_fence,
    "picket": _picket,
    "planks": _planks,
    "wire": _wire,
    "guard_rail": _guard_rail,
    "jersey": _jersey,
    "noise_wall": _noise_wall,
    "railing": _railing,
    "hoarding": _hoarding,
    "gabion": _gabion,
    "parapet": _parapet,
}
KINDS: tuple[str, ...] = tuple(_KINDS)
