"""Materials of surfaces, and how they look to a LiDAR and to a camera."""

from __future__ import annotations

from enum import IntEnum


class Material(IntEnum):
    """Kinds of surfaces; the camera draws a texture for each."""

    ASPHALT = 0
    PAVING = 1
    GRASS = 2
    MARKING = 3
    PLASTER = 4
    BRICK = 5
    CONCRETE = 6
    FOLIAGE = 7
    BARK = 8
    METAL = 9
    SIGN = 10
    PAINT = 11
    GLASS = 12
    RUBBER = 13
    CLOTH = 14
    WOOD = 15
    SOIL = 16
    GRAVEL = 17
    TILE = 18
    PLASTIC = 19
    STONE = 20
    DRY_GRASS = 21
    LAMP = 22


# Diffuse reflectance at the 905 nm of the LiDAR, 0..1; retro-reflecting signs exceed the scale. Values lie
# within the spectra at 0.9 um of the ECOSTRESS library (Meerdink et al., Remote Sensing of Environment 230,
# 2019): asphalt 0.1-0.2, concrete and stone 0.3-0.5, brick and tile 0.25-0.4, grass and leaves 0.4-0.6, dry
# grass 0.4-0.5, bare soil and gravel 0.2-0.35, wood 0.4-0.6, bark 0.2-0.4. Builders draw around them.
REFLECTANCE = {
    Material.ASPHALT: 0.14,
    Material.PAVING: 0.30,
    Material.GRASS: 0.38,
    Material.MARKING: 0.70,
    Material.PLASTER: 0.50,
    Material.BRICK: 0.32,
    Material.CONCRETE: 0.36,
    Material.FOLIAGE: 0.42,
    Material.BARK: 0.30,
    Material.METAL: 0.40,
    Material.SIGN: 3.00,
    Material.PAINT: 0.40,
    Material.GLASS: 0.08,
    Material.RUBBER: 0.06,
    Material.CLOTH: 0.35,
    Material.WOOD: 0.45,
    Material.SOIL: 0.22,
    Material.GRAVEL: 0.28,
    Material.TILE: 0.30,
    Material.PLASTIC: 0.40,
    Material.STONE: 0.45,
    Material.DRY_GRASS: 0.48,
    Material.LAMP: 0.40,
}

# Typical albedo (red, green, blue), 0..1.
ALBEDO = {
    Material.ASPHALT: (0.24, 0.24, 0.25),
    Material.PAVING: (0.50, 0.48, 0.45),
    Material.GRASS: (0.25, 0.36, 0.16),
    Material.MARKING: (0.86, 0.86, 0.82),
    Material.PLASTER: (0.72, 0.66, 0.56),
    Material.BRICK: (0.52, 0.28, 0.21),
    Material.CONCRETE: (0.55, 0.55, 0.53),
    Material.FOLIAGE: (0.16, 0.32, 0.11),
    Material.BARK: (0.28, 0.21, 0.15),
    Material.METAL: (0.42, 0.44, 0.46),
    Material.SIGN: (0.15, 0.32, 0.68),
    Material.PAINT: (0.50, 0.50, 0.52),
    Material.GLASS: (0.10, 0.13, 0.16),
    Material.RUBBER: (0.06, 0.06, 0.06),
    Material.CLOTH: (0.35, 0.30, 0.32),
    Material.WOOD: (0.46, 0.34, 0.22),
    Material.SOIL: (0.30, 0.22, 0.15),
    Material.GRAVEL: (0.48, 0.46, 0.43),
    Material.TILE: (0.50, 0.24, 0.17),
    Material.PLASTIC: (0.20, 0.24, 0.22),
    Material.STONE: (0.58, 0.55, 0.50),
    Material.DRY_GRASS: (0.55, 0.49, 0.28),
    Material.LAMP: (0.95, 0.95, 0.90),
}
