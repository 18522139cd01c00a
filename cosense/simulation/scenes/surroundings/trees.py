"""Trees: crowns of many shapes on trunks of all girths, conifers, young trees with stakes, bare ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.shapes import box, tube
from cosense.simulation.scenes.surroundings.plants import foliage, round_outline, stem

# Scale and height share of the sides of crowns, from their lowest to their highest point.
_SHAPES = {
    "ball": [(0.0, 0.0), (0.65, 0.12), (1.0, 0.45), (0.8, 0.78), (0.4, 0.95), (0.0, 1.0)],
    "egg": [(0.2, 0.0), (0.9, 0.2), (1.0, 0.35), (0.7, 0.65), (0.3, 0.9), (0.0, 1.0)],
    "umbrella": [(0.3, 0.0), (1.0, 0.25), (0.95, 0.5), (0.6, 0.85), (0.0, 1.0)],
    "column": [(0.5, 0.0), (0.9, 0.1), (1.0, 0.4), (0.85, 0.75), (0.4, 0.95), (0.0, 1.0)],
    "cut": [(0.95, 0.0), (1.0, 0.1), (1.0, 0.9), (0.9, 1.0), (0.0, 1.01)],
    "weeping": [(1.0, 0.0), (1.05, 0.2), (0.95, 0.6), (0.6, 0.9), (0.0, 1.0)],
}


def street_tree(rng: np.random.Generator) -> Mesh:
    """Return a tree beside a road, whose crown begins high enough for a lorry to pass below."""
    if rng.random() < 0.15:
        return young_tree(rng)
    clear = float(rng.uniform(3.7, 4.6))
    shape = str(rng.choice(["ball", "egg", "umbrella", "column", "cut"], p=[0.35, 0.25, 0.15, 0.1, 0.15]))
    radius = float(rng.uniform(0.5, 1.1) if shape == "column" else rng.uniform(1.0, 3.6))
    return tree(rng, clear, radius, float(rng.uniform(1.6, 5.5)), shape, float(rng.uniform(0.14, 0.6)))


def garden_tree(rng: np.random.Generator) -> Mesh:
    """Return a tree of a garden or wood: of any shape, with several stems, leaning, bare, or a conifer."""
    kind = rng.random()
    if kind < 0.2:
        return conifer(rng)
    if kind < 0.3:
        return young_tree(rng)
    if kind < 0.38:
        return bare_tree(rng)
    shape = str(rng.choice(list(_SHAPES)))
    clear = float(
        rng.uniform(0.1, 0.8)
        if shape == "weeping"
        else rng.choice([rng.uniform(0.4, 1.7), rng.uniform(1.7, 3.2)], p=[0.3, 0.7])
    )
    # What hangs down to the ground stays as large as a bush, so that it can stand on a slope.
    widest = 3.2 if clear < 1.5 else 4.6
    radius = float(rng.uniform(0.5, 1.0) if shape == "column" else rng.uniform(1.0, widest))
    return tree(
        rng, clear, radius, float(rng.uniform(1.5, 5.0)) + radius * 0.6, shape, float(rng.uniform(0.1, 0.7))
    )


def tree(
    rng: np.random.Generator, clear_m: float, radius_m: float, crown_m: float, shape: str, girth_m: float
) -> Mesh:
    """Return a tree whose crown of a height `crown_m` begins at `clear_m`, on one to four stems."""
    outline = round_outline(rng, float(rng.uniform(0.05, 0.25))) * radius_m
    side = np.array(_SHAPES[shape]) * [1.0, crown_m] + [0.0, clear_m]
    per_m2 = float(np.clip(800 / (radius_m * crown_m * 6), 4.5, 22)) * float(rng.uniform(0.6, 1.0))
    core = float(rng.uniform(0.15, 0.75))
    # A large crown has larger leaves instead of more.
    leaf_m = (0.2, 0.45) if per_m2 > 6.0 else (0.28, 0.6)
    crown = foliage(outline, side, rng, per_m2, leaf_m, min(0.9, radius_m * 0.45), core)
    stems = 1 if rng.random() < 0.85 else int(rng.integers(2, 5))
    height = clear_m + crown_m * 0.55
    parts = [crown.at(*(rng.uniform(-0.15, 0.15, 2) * radius_m))]
    for _ in range(stems):
        lean = rng.normal(0, 0.12 if stems == 1 else 0.5, 2)
        foot = rng.normal(0, 0.12, 2) if stems > 1 else np.zeros(2)
        parts.append(stem(height, girth_m / stems**0.6, lean, rng).at(*foot))
    parts += _boughs(clear_m, crown_m, radius_m, girth_m, rng)
    return join(parts)


def _boughs(
    clear_m: float, crown_m: float, radius_m: float, girth_m: float, rng: np.random.Generator
) -> list[Mesh]:
    parts = []
    for turn in rng.uniform(0, 2 * np.pi, int(rng.integers(2, 5))):
        z = clear_m + crown_m * rng.uniform(-0.02, 0.25)
        out = radius_m * rng.uniform(0.4, 0.8)
        tip = (np.cos(turn) * out, np.sin(turn) * out, z + crown_m * rng.uniform(0.1, 0.4))
        parts.append(tube([(0.0, 0.0, max(z, 0.2)), tip], [girth_m * 0.25, 0.03], Material.BARK, around=4))
    return parts


def conifer(rng: np.random.Generator) -> Mesh:
    """Return a spruce, a fir or a slim cypress, with branches down to the ground or over a bare trunk."""
    height = float(rng.uniform(1.5, 11.0))
    radius = height * float(rng.uniform(0.12, 0.3))
    clear = 0.1 if rng.random() < 0.6 else float(rng.uniform(0.3, 0.3 * height))
    outline = round_outline(rng, 0.15) * radius
    # Whorls of branches: the radius swings on the way to the top.
    share = np.linspace(0, 1, 8)
    scale = (1 - share**1.2) * (1 + 0.12 * np.cos(np.arange(8) * np.pi))
    scale[0] = 0.85
    side = np.column_stack([np.maximum(scale, 0), clear + share * (height - clear)])
    dark = (0.06, 0.15 * float(rng.uniform(0.8, 1.4)), 0.08)
    per_m2 = float(np.clip(600 / (radius * height * 4), 8, 30))
    needles = foliage(outline, side, rng, per_m2, (0.15, 0.4), min(0.5, radius * 0.4), 0.7, colour=dark)
    return join([needles, stem(height * 0.8, 0.05 + height * 0.025, np.zeros(2), rng)])


def young_tree(rng: np.random.Generator) -> Mesh:
    """Return a thin tree tied to one to three stakes."""
    clear = float(rng.uniform(1.8, 2.6))
    outline = round_outline(rng, 0.2) * float(rng.uniform(0.3, 0.8))
    side = np.array(_SHAPES["egg"]) * [1.0, float(rng.uniform(0.9, 2.0))] + [0.0, clear]
    crown = foliage(outline, side, rng, 16.0, (0.1, 0.25), 0.25, 0.1)
    parts = [crown, stem(clear + 0.8, float(rng.uniform(0.05, 0.1)), rng.normal(0, 0.05, 2), rng)]
    first, count = rng.uniform(0, 2 * np.pi), int(rng.integers(1, 4))
    for turn in first + 2 * np.pi * np.arange(count) / count:
        x, y = 0.35 * np.cos(turn), 0.35 * np.sin(turn)
        tall = float(rng.uniform(1.2, 1.9))
        parts.append(box((x, y, tall / 2), (0.08, 0.08, tall), Material.WOOD))
    if count == 3:
        parts.append(box((0, 0, 1.1), (0.7, 0.06, 0.08), Material.WOOD, yaw=float(first)))
    return join(parts)


def bare_tree(rng: np.random.Generator) -> Mesh:
    """Return a tree without leaves: trunk, boughs and twigs, most of it air."""
    height, girth = float(rng.uniform(3.5, 9.0)), float(rng.uniform(0.12, 0.5))
    fork = height * float(rng.uniform(0.25, 0.45))
    parts = [stem(fork, girth, rng.normal(0, 0.1, 2), rng)]
    ends = [np.array([0.0, 0.0, fork])] * int(rng.integers(3, 6))
    reach, thick = (height - fork) * 0.5, girth * 0.3
    for _ in range(2):
        grown = []
        for end in ends:
            for _ in range(2):
                turn = rng.normal(0, 0.55, 3) + np.array([0, 0, 0.75]) + 0.4 * np.sign(end) * [1, 1, 0]
                tip = end + turn / np.linalg.norm(turn) * reach * rng.uniform(0.7, 1.1)
                parts.append(tube(np.array([end, tip]), [thick, thick * 0.5], Material.BARK, around=4))
                grown.append(tip)
        ends, reach, thick = grown[:24], reach * 0.6, thick * 0.5
    return join([*parts, _twigs(np.array(ends), reach, rng)])


def _twigs(ends: NDArray[np.float64], reach_m: float, rng: np.random.Generator) -> Mesh:
    """Return five twigs at each of the ends (n,3) of boughs, as thin triangles."""
    foot = np.repeat(ends, 5, axis=0)
    tip = foot + rng.normal(0, 0.5 * reach_m, foot.shape) + [0, 0, 0.3 * reach_m]
    half = rng.normal(0, 0.02, foot.shape)
    places = np.stack([foot - half, foot + half, tip], axis=1)
    return Mesh.of(places, np.arange(3 * len(foot)), Material.BARK)
