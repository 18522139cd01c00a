"""Plants as a LiDAR meets them: loose leaves in a shell around a torn core, on stems.

A ray enters the foliage of a real hedge or crown by 0.1 to 0.5 m before something stops it. Leaves of a real
size would need a million triangles per tree; here, leaves of 0.15 to 0.45 m lie in the outer shell, and the
dense inside is a rough hull with holes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import ALBEDO, Material
from cosense.simulation.scenes.mesh import Colour, Mesh, join
from cosense.simulation.scenes.shapes import leaves, tube
from cosense.simulation.scenes.surroundings.colours import shade

_AROUND = 24
# Height of a row of the hull in which leaves grow.
_CORE_ROW_M = 0.4


def green(rng: np.random.Generator) -> Colour:
    """Draw the colour of foliage: mostly greens, some dark, some yellow, a few red."""
    base = np.array(ALBEDO[Material.FOLIAGE])
    tone = rng.random()
    if tone < 0.12:
        base = np.array((0.30, 0.12, 0.10))
    elif tone < 0.28:
        base = np.array((0.34, 0.34, 0.12))
    elif tone < 0.45:
        base = np.array((0.08, 0.18, 0.09))
    red, green_, blue = np.clip(base * rng.uniform(0.8, 1.25) + rng.normal(0, 0.015, 3), 0.02, 0.9)
    return float(red), float(green_), float(blue)


def round_outline(rng: np.random.Generator, ragged: float) -> NDArray[np.float64]:
    """Return a closed outline (n,2) of radius about 1 with some lobes."""
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    radius = np.ones(_AROUND)
    for lobes in (2, 3, 5):
        radius += ragged * rng.normal(0, 0.5) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.4, 1.6)
    return np.column_stack([np.cos(angle), np.sin(angle)]) * radius[:, None]


def oblong(length_m: float, width_m: float) -> NDArray[np.float64]:
    """Return the outline (n,2) of a piece of a hedge, counter-clockwise, with points at equal distances."""
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) * [length_m / 2, width_m / 2]
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.linspace(0, along[-1], _AROUND, endpoint=False)
    return np.column_stack([np.interp(at, along, corners[:, 0]), np.interp(at, along, corners[:, 1])])


def foliage(
    outline: NDArray[np.float64],
    side: NDArray[np.float64],
    rng: np.random.Generator,
    per_m2: float,
    leaf_m: tuple[float, float] = (0.18, 0.4),
    shell_m: float = 0.3,
    core: float = 0.8,
    material: Material = Material.FOLIAGE,
    colour: Colour | None = None,
) -> Mesh:
    """Return foliage that fills the body which an outline sweeps while it is scaled along its height.

    Args:
        outline: (n,2) horizontal section in metres, counter-clockwise about the origin.
        side: (k,2) scale of the outline and height in metres, from the lowest to the highest.
        per_m2: leaves for each square metre of the surface.
        leaf_m: smallest and largest edge of a leaf.
        shell_m: depth below the surface to which leaves reach.
        core: share of the hull below the shell that is closed, 0..1.
        material, colour: of leaves and core; the colour is drawn if it is None.
        rng: draws everything.
    """
    scale, height = np.asarray(side, dtype=np.float64).T
    radius = float(np.linalg.norm(outline, axis=1).mean())
    edge = np.roll(outline, -1, axis=0) - outline
    edge_m = np.linalg.norm(edge, axis=1)
    rise, widen = np.diff(height), np.diff(scale) * radius
    slant = np.hypot(rise, widen)
    area = slant * (scale[1:] + scale[:-1]) / 2 * edge_m.sum()
    n = max(8, int(per_m2 * area.sum()))
    # A place on the surface, then a step inwards.
    band = rng.choice(len(area), n, p=area / area.sum())
    share = rng.random(n)
    spot = rng.choice(len(edge), n, p=edge_m / edge_m.sum())
    place = outline[spot] + edge[spot] * rng.random((n, 1))
    outward = np.column_stack([edge[spot, 1], -edge[spot, 0]]) / np.maximum(edge_m[spot], 1e-9)[:, None]
    depth = np.minimum(shell_m * rng.random(n) ** 1.5, radius * 0.8)
    flat = rise[band] / np.maximum(slant[band], 1e-9)
    tilt = -widen[band] / np.maximum(slant[band], 1e-9)
    level = scale[band] + share * np.diff(scale)[band]
    wave = 1 + 0.08 * np.sin(3.1 * place[:, 0] + rng.uniform(0, 6)) * np.sin(
        2.3 * height[band] + rng.uniform(0, 6)
    )
    xy = place * (level * wave)[:, None] - outward * (depth * flat)[:, None]
    z = height[band] + share * rise[band] - depth * tilt
    hue = green(rng) if colour is None else colour
    bright = float(rng.uniform(0.35, 0.6))
    shell = leaves(np.column_stack([xy, z]), leaf_m, material, rng, hue, bright)
    tone = (1 + rng.normal(0, 0.16, (n, 1))).astype(np.float32)
    shell = replace(shell, colour=np.clip(shell.colour * tone, 0, 1))
    if core <= 0:
        return shell
    dark: Colour = (hue[0] * 0.6, hue[1] * 0.6, hue[2] * 0.6)
    return join([shell, _core(outline, scale, height, shell_m * 0.7, core, rng, material, dark, bright)])


def _core(
    outline: NDArray[np.float64],
    scale: NDArray[np.float64],
    height: NDArray[np.float64],
    inset_m: float,
    closed: float,
    rng: np.random.Generator,
    material: Material,
    colour: Colour,
    reflectance: float,
) -> Mesh:
    """Return a hull about `inset_m` below the surface of foliage, dented, with holes."""
    ahead = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    outward = np.column_stack([ahead[:, 1], -ahead[:, 0]])
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    low, high = height[0], height[-1]
    rows = int(np.clip((high - low) / _CORE_ROW_M, 3, 8))
    z = np.linspace(low, low + (high - low) * max(0.3, 1 - inset_m / max(high - low, 1e-6)), rows)
    around = len(outline)
    dent = inset_m * rng.uniform(0.0, 2.2, (rows, around, 1))
    reach = np.interp(z, height, scale)[:, None, None]
    inner = outline * reach - outward * np.minimum(
        dent, np.linalg.norm(outline, axis=1)[:, None] * reach * 0.7
    )
    level = z[:, None] + rng.normal(0, 0.12, (rows, around)) * (high - low) / rows
    level[0] = low
    places = np.concatenate([inner, level[:, :, None]], axis=2).reshape(-1, 3)
    top = np.append(inner[-1].mean(axis=0), level[-1].mean())
    i = np.arange(around)
    j = (i + 1) % around
    a = around * np.arange(rows - 1)[:, None]
    last = around * (rows - 1)
    faces = np.concatenate(
        [
            np.stack([a + i, a + j, a + around + j], axis=2).reshape(-1, 3),
            np.stack([a + i, a + around + j, a + around + i], axis=2).reshape(-1, 3),
            np.column_stack([last + i, last + j, np.full(around, around * rows)]),
        ]
    )
    kept = faces[rng.random(len(faces)) < closed]
    return Mesh.of(np.concatenate([places, top[None]]), kept, material, colour, reflectance)


def bush(rng: np.random.Generator, width_m: float | None = None) -> Mesh:
    """Return a bush of half a metre to four metres, cushion, ball or wild; some are as big as cars."""
    width = (
        float(
            rng.choice(
                [rng.uniform(0.5, 1.2), rng.uniform(1.0, 2.4), rng.uniform(2.0, 4.2)], p=[0.3, 0.45, 0.25]
            )
        )
        if width_m is None
        else width_m
    )
    height = width * float(rng.uniform(0.45, 1.1)) if width < 2.2 else float(rng.uniform(1.0, 2.4))
    outline = round_outline(rng, float(rng.uniform(0.05, 0.3))) * [
        width / 2,
        width / 2 * rng.uniform(0.55, 1.0),
    ]
    belly = float(rng.uniform(0.2, 0.6))
    side = np.array(
        [
            (rng.uniform(0.5, 0.95), 0.0),
            (1.0, belly * height),
            (rng.uniform(0.6, 0.9), 0.8 * height),
            (0.35, 0.96 * height),
            (0.0, height),
        ]
    )
    small = width < 1.2
    leaf = (0.08, 0.2) if small else (0.15, 0.36)
    return foliage(
        outline, side, rng, 60.0 if small else 26.0, leaf, min(0.3, width / 4), float(rng.uniform(0.5, 0.95))
    )


def hedge_piece(
    length_m: float, width_m: float, height_m: float, rng: np.random.Generator, colour: Colour, ragged: float
) -> Mesh:
    """Return a piece of a hedge along x: box-shaped; `ragged`, 0..1, says how long it was not cut."""
    height = height_m * (1 + ragged * float(rng.normal(0, 0.18)))
    width = width_m * (1 + ragged * float(rng.normal(0, 0.15)))
    outline = oblong(length_m + 0.1, max(width, 0.3))
    top = 0.88 - 0.4 * ragged * float(rng.random())
    side = np.array(
        [
            (0.92, 0.0),
            (1.0, 0.25 * height),
            (1.0 - 0.1 * ragged, 0.75 * height),
            (top, 0.96 * height),
            (0.0, height),
        ]
    )
    # The ends of a piece meet the next one, so that only the width tapers.
    side[:4, 0] = np.maximum(side[:4, 0], 0.8)
    return foliage(
        outline,
        side,
        rng,
        22.0 + 10.0 * ragged,
        (0.14, 0.32),
        0.12 + 0.25 * ragged,
        0.97 - 0.25 * ragged,
        colour=colour,
    )


def low_hedge(rng: np.random.Generator) -> Mesh:
    """Return a low hedge beside a kerb, up to three metres long."""
    size = rng.uniform([1.0, 0.3, 0.3], [2.9, 0.6, 1.1])
    return hedge_piece(size[0], size[1], size[2], rng, green(rng), float(rng.random()))


def verge(rng: np.random.Generator) -> Mesh:
    """Return tall grass or weeds beside a kerb."""
    material = Material.DRY_GRASS if rng.random() < 0.4 else Material.FOLIAGE
    return tall_grass(2.5, 0.5, rng, float(rng.uniform(0.15, 0.8)), material)


def tall_grass(
    length_m: float, width_m: float, rng: np.random.Generator, height_m: float, material: Material
) -> Mesh:
    """Return a patch of blades, reeds, nettles or corn, as upright thin triangles."""
    n = int(length_m * width_m * rng.uniform(12, 30))
    foot = (rng.random((n, 2)) - 0.5) * [length_m, width_m]
    turn = rng.uniform(0, 2 * np.pi, n)
    half = rng.uniform(0.015, 0.06, n)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    tip = foot + rng.normal(0, 0.12 * height_m + 0.03, (n, 2))
    top = height_m * rng.uniform(0.5, 1.1, n)
    zero = np.zeros(n)
    places = np.stack(
        [
            np.column_stack([foot - half, zero]),
            np.column_stack([foot + half, zero]),
            np.column_stack([tip, top]),
        ],
        axis=1,
    )
    return Mesh.of(
        places,
        np.arange(3 * n),
        material,
        green(rng) if material == Material.FOLIAGE else None,
        float(rng.uniform(0.3, 0.55)),
    )


def stem(height_m: float, girth_m: float, lean: NDArray[np.float64], rng: np.random.Generator) -> Mesh:
    """Return a trunk of a diameter `girth_m` at the foot, which leans by `lean` (2,) metres at its top."""
    share = np.array([0.0, 0.06, 0.4, 1.0])
    line = np.column_stack([share**1.3, share**1.3]) * lean + rng.normal(0, 0.03, (4, 2)) * share[:, None]
    radius = girth_m / 2 * np.array([1.35, 1.0, 0.88, 0.6])
    colour = shade(ALBEDO[Material.BARK], float(rng.uniform(0.7, 1.7)))
    return tube(
        np.column_stack([line, share * height_m]),
        radius,
        Material.BARK,
        colour,
        float(rng.uniform(0.2, 0.45)),
    )
