"""Procedural textures: how the colour of a material varies with the place on the thing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.sensors.raycast import Floats, Looks

_SLAB_M = 0.5
_COURSE_M, _BRICK_M = 0.25, 0.6
# Strength of the variation of brightness: strongest on leaves, none on paint.
_GRAIN = np.zeros(len(Material), dtype=np.float32)
for _material, _strength in (
    (Material.ASPHALT, 0.12),
    (Material.GRASS, 0.35),
    (Material.MARKING, 0.12),
    (Material.PAVING, 0.08),
    (Material.FOLIAGE, 0.5),
    (Material.BARK, 0.4),
    (Material.CONCRETE, 0.1),
    (Material.PLASTER, 0.05),
    (Material.CLOTH, 0.25),
):
    _GRAIN[_material] = _strength


def paint(material: NDArray[np.uint8], looks: Looks) -> Floats:
    """Return the albedo (N,3) of places on surfaces of materials (N,), 0..1."""
    local = looks.local
    bright = 1 + _GRAIN[material] * (grain(local, 0.07) + 0.5 * grain(local, 0.9) - 0.75)
    slab = np.flatnonzero(material == Material.PAVING)
    bright[slab[((local[slab, :2] / _SLAB_M) % 1 < 0.07).any(axis=1)]] *= 0.72
    brick = np.flatnonzero(material == Material.BRICK)
    bright[brick[_is_joint(local[brick])]] *= 0.78
    return np.clip(looks.colour * bright[:, None], 0, 1)


def _is_joint(local: Floats) -> NDArray[np.bool_]:
    """Return (n,): whether places on a wall lie in the mortar between bricks."""
    course = local[:, 2] / _COURSE_M
    along = (local[:, 0] + local[:, 1] + np.floor(course) * _BRICK_M / 2) / _BRICK_M
    return np.asarray((course % 1 < 0.15) | (along % 1 < 0.07))


def grain(place: Floats, size_m: float) -> Floats:
    """Return (N,) numbers in 0..1 for places (N,3), one for each cube of `size_m`."""
    cell = np.floor(place / np.float32(size_m)).astype(np.int32).view(np.uint32)
    mixed = cell[:, 0] * np.uint32(73856093)
    mixed ^= cell[:, 1] * np.uint32(19349663)
    mixed ^= cell[:, 2] * np.uint32(83492791)
    mixed = (mixed ^ (mixed >> 13)) * np.uint32(1274126177)
    return ((mixed ^ (mixed >> 16)) & 0xFFFF).astype(np.float32) / np.float32(0xFFFF)
