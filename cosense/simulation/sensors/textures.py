"""Procedural textures: the colour of each material as a function of the place on a surface."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cosense.geometry.transforms import Matrix
from cosense.simulation.scenes.materials import Material

_WINDOW_GLASS = (0.13, 0.17, 0.22)
_STOREY_M, _BAY_M = 3.1, 2.9


@dataclass(frozen=True)
class Surface:
    """N places on surfaces.

    Attributes:
        point: (N,3) places in metres, relative to the sensor.
        local: (N,3) places in metres, relative to the middle of the solid and along its axes.
        half: (N,3) half extents of the solid.
        normal: (N,3) outward normals, along the axes of the solid.
        material: (N,) values of `Material`.
        colour: (N,3) albedo of the solid.
        seed: (N,) a number that differs between solids.
    """

    point: Tensor
    local: Tensor
    half: Tensor
    normal: Tensor
    material: Tensor
    colour: Tensor
    seed: Tensor

    def on_ground(self, mask: Tensor, material: Tensor, albedo: Tensor, T_scene_sensor: Matrix) -> Surface:
        """Return the same surfaces, except that the places in `mask` lie on the ground.

        Args:
            mask: (N,) places to change.
            material: (N,) material of the ground.
            albedo: (materials,3) albedo of each material.
            T_scene_sensor: (4,4) pose of the sensor in the scene.
        """
        T = torch.tensor(T_scene_sensor, device=self.point.device, dtype=self.point.dtype)
        scene = self.point @ T[:3, :3].T + T[:3, 3]
        up = torch.tensor([0.0, 0.0, 1.0], device=scene.device)
        return replace(
            self,
            local=torch.where(mask[:, None], scene, self.local),
            normal=torch.where(mask[:, None], up, self.normal),
            material=torch.where(mask, material, self.material),
            colour=torch.where(mask[:, None], albedo[material], self.colour),
            seed=torch.where(mask, 0, self.seed),
        )


def sky(directions: Tensor) -> Tensor:
    """Return the colour (N,3) of the sky in directions (N,3), paler towards the horizon."""
    height = directions[:, 2:].clamp(0, 1) ** 0.6
    horizon = torch.tensor([0.80, 0.84, 0.88], device=directions.device)
    zenith = torch.tensor([0.30, 0.48, 0.78], device=directions.device)
    return horizon + (zenith - horizon) * height


def paint(surface: Surface) -> Tensor:
    """Return the albedo (N,3) of surfaces, 0..1."""
    colour = surface.colour * _grain(surface)[:, None]
    for draw in (_paving, _facade, _lamps, _rims):
        colour = draw(surface, colour)
    return colour.clamp(0, 1)


def _is(surface: Surface, *materials: Material) -> Tensor:
    wanted = torch.tensor([int(m) for m in materials], device=surface.material.device)
    return torch.isin(surface.material, wanted)


def _noise(place: Tensor, size_m: float, seed: Tensor) -> Tensor:
    """Return (N,) numbers in 0..1, one for each cube of `size_m`; integer hashing is the same everywhere."""
    cell = torch.floor(place / size_m).long()
    mixed = cell[:, 0] * 73856093 ^ cell[:, 1] * 19349663 ^ cell[:, 2] * 83492791 ^ seed * 2654435761
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed ^ (mixed >> 16)) & 0xFFFF).to(torch.float32) / 0xFFFF


def _grain(surface: Surface) -> Tensor:
    """Return the variation (N,) of brightness: strongest on leaves, none on paint."""
    strength = torch.zeros(len(surface.material), device=surface.material.device)
    for material, value in (
        (Material.ASPHALT, 0.12),
        (Material.GRASS, 0.35),
        (Material.MARKING, 0.12),
        (Material.PAVING, 0.08),
        (Material.FOLIAGE, 0.8),
        (Material.BARK, 0.4),
        (Material.CONCRETE, 0.1),
        (Material.PLASTER, 0.05),
        (Material.CLOTH, 0.25),
    ):
        strength = torch.where(surface.material == int(material), value, strength)
    fine = _noise(surface.local, 0.07, surface.seed) - 0.5
    coarse = _noise(surface.local, 0.9, surface.seed + 1) - 0.5
    return 1 + strength * (fine + 0.5 * coarse)


def _paving(surface: Surface, colour: Tensor) -> Tensor:
    """Draw joints between slabs of half a metre."""
    joint = ((surface.local[:, :2] / 0.5) % 1 < 0.07).any(1) & _is(surface, Material.PAVING)
    return torch.where(joint[:, None], colour * 0.72, colour)


def _facade(surface: Surface, colour: Tensor) -> Tensor:
    """Draw rows of windows on the walls of houses, and courses on brick."""
    upright = surface.normal[:, 2].abs() < 0.5
    across = torch.where(surface.normal[:, 0].abs() > 0.5, 1, 0)[:, None]
    along = surface.local.gather(1, across)[:, 0]
    half = surface.half.gather(1, across)[:, 0]
    above = surface.local[:, 2] + surface.half[:, 2]
    brick = _is(surface, Material.BRICK) & upright
    course = ((above / 0.25) % 1 < 0.15) | (((along + (above / 0.25).floor() * 0.3) / 0.6) % 1 < 0.07)
    colour = torch.where((brick & course)[:, None], colour * 0.78, colour)
    house = _is(surface, Material.PLASTER, Material.BRICK) & upright & (surface.half[:, 2] > 1.6)
    bay, storey = (along / _BAY_M) % 1, (above / _STOREY_M) % 1
    opening = (bay > 0.26) & (bay < 0.74) & (storey > 0.30) & (storey < 0.80)
    opening &= (half - along.abs() > 0.7) & (2 * surface.half[:, 2] - above > 0.5)
    glass = torch.tensor(_WINDOW_GLASS, device=colour.device)
    return torch.where((house & opening)[:, None], glass, colour)


def _lamps(surface: Surface, colour: Tensor) -> Tensor:
    """Draw red lamps at the rear and white ones at the front of painted bodies, and a plate between them."""
    body = _is(surface, Material.PAINT) & (surface.normal[:, 0].abs() > 0.9) & (surface.half[:, 1] > 0.6)
    height = surface.local[:, 2] / surface.half[:, 2]
    aside = surface.local[:, 1].abs() / surface.half[:, 1]
    lamp = body & (aside > 0.68) & (aside < 0.95) & (height > 0.05) & (height < 0.6)
    red = torch.tensor([0.62, 0.03, 0.03], device=colour.device)
    white = torch.tensor([0.95, 0.95, 0.90], device=colour.device)
    rear = surface.normal[:, 0] < 0
    colour = torch.where((lamp & rear)[:, None], red, colour)
    colour = torch.where((lamp & ~rear)[:, None], white, colour)
    plate = body & (aside < 0.27) & (height > -0.35) & (height < -0.1)
    return torch.where(plate[:, None], white * 0.8, colour)


def _rims(surface: Surface, colour: Tensor) -> Tensor:
    """Draw bright rims on the outer faces of wheels."""
    radius = torch.hypot(surface.local[:, 0], surface.local[:, 2])
    face = _is(surface, Material.RUBBER) & (surface.normal[:, 1].abs() > 0.9)
    rim = face & (radius < 0.62 * surface.half[:, 2])
    metal = torch.tensor([0.45, 0.46, 0.48], device=colour.device)
    return torch.where(rim[:, None], metal, colour)
