"""Pinhole cameras, rendered by ray casting: one ray through the middle of each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.geometry.transforms import Matrix, transform_from
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.solids import Primitives
from cosense.simulation.scenes.surface import GroundTensors
from cosense.simulation.sensors.solid_rays import (
    NO_HIT,
    Solids,
    Windows,
    cast,
    solids_in_sensor,
    surface_normals,
)
from cosense.simulation.sensors.textures import Surface, paint, sky

_NEAR_M = 0.1
_HAZE_M = 350.0
_AMBIENT = 0.55
# The eight corners of a box (-1 or +1 in x, y, z, with x slowest), and the pairs of them that form an edge.
_CORNERS = [(x, y, z) for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)]
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4)]


@dataclass(frozen=True)
class CameraModel:
    """A camera on an agent.

    Attributes:
        position: position of the lens in the agent frame, in metres.
        pitch_rad: downward tilt of the optical axis.
        focal_px: focal length, equal in both directions.
        size: width and height of the image in pixels.
    """

    position: tuple[float, float, float]
    pitch_rad: float
    focal_px: float
    size: tuple[int, int]

    @property
    def K(self) -> NDArray[np.float64]:
        """Pinhole matrix (3,3); (0,0) is the middle of the first pixel."""
        width, height = self.size
        return np.array(
            [
                [self.focal_px, 0.0, (width - 1) / 2],
                [0.0, self.focal_px, (height - 1) / 2],
                [0.0, 0.0, 1.0],
            ]
        )

    @property
    def T_camera_agent(self) -> Matrix:
        """Transform (4,4) to the optical frame: z forward, x right, y down."""
        cos, sin = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        rotation = np.array([[0.0, -1.0, 0.0], [-sin, 0.0, -cos], [cos, 0.0, -sin]])
        return transform_from(rotation, -rotation @ np.array(self.position))


FRONT_CAMERA = CameraModel((0.55, 0.0, -0.42), 0.02, 800.0, (960, 540))
MAST_CAMERA = CameraModel((0.1, 0.0, 0.15), 0.22, 700.0, (960, 540))


@dataclass(frozen=True)
class PixelGrid:
    """The rays of a camera; rows and columns are those of the image.

    Attributes:
        directions: (R,3) unit vectors in the orientation of the agent, row by row.
        columns, rows: size of the image in pixels.
        focal_px: focal length.
        R_camera_agent: (3,3) rotation from the agent frame to the optical frame.
    """

    directions: Tensor
    columns: int
    rows: int
    focal_px: float
    R_camera_agent: Tensor

    @classmethod
    def of(cls, model: CameraModel, device: torch.device) -> PixelGrid:
        width, height = model.size
        rotation = torch.tensor(model.T_camera_agent[:3, :3], device=device, dtype=torch.float32)
        v, u = torch.meshgrid(
            torch.arange(height, device=device, dtype=torch.float32) - (height - 1) / 2,
            torch.arange(width, device=device, dtype=torch.float32) - (width - 1) / 2,
            indexing="ij",
        )
        rays = torch.stack([u, v, torch.full_like(u, model.focal_px)], 2).reshape(-1, 3)
        directions = torch.nn.functional.normalize(rays, dim=1) @ rotation
        return cls(directions, width, height, model.focal_px, rotation)

    def windows(self, solids: Solids) -> Windows:
        """See `RayGrid`: the rectangle around the part of each solid that is in front of the lens."""
        device = self.directions.device
        local = torch.tensor(_CORNERS, device=device) * solids.half[:, None]
        cos, sin = solids.cos[:, None], solids.sin[:, None]
        turned = torch.stack(
            [
                local[..., 0] * cos - local[..., 1] * sin,
                local[..., 0] * sin + local[..., 1] * cos,
                local[..., 2],
            ],
            2,
        )
        corner = (turned + solids.centre[:, None]) @ self.R_camera_agent.T
        start, end = corner[:, [a for a, _ in _EDGES]], corner[:, [b for _, b in _EDGES]]
        share = (_NEAR_M - start[..., 2:]) / torch.where(
            start[..., 2:] == end[..., 2:], 1.0, end[..., 2:] - start[..., 2:]
        )
        # An edge is cut where it passes the plane just before the lens.
        cut = start + share * (end - start)
        passes = (start[..., 2] < _NEAR_M) != (end[..., 2] < _NEAR_M)
        points = torch.cat([corner, cut], 1)
        valid = torch.cat([corner[..., 2] >= _NEAR_M, passes], 1)
        pixel = points[..., :2] / points[..., 2:].clamp_min(_NEAR_M) * self.focal_px
        low = torch.where(valid[..., None], pixel, torch.inf).amin(1)
        high = torch.where(valid[..., None], pixel, -torch.inf).amax(1)
        first_column, columns = _span(low[:, 0], high[:, 0], self.columns)
        first_row, rows = _span(low[:, 1], high[:, 1], self.rows)
        return Windows(first_row, rows, first_column, columns)


def _span(low: Tensor, high: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the first pixel that a stretch covers, and how many, for `count` pixels centred on zero."""
    middle = (count - 1) / 2
    first = (low.clamp(-count, count) + middle).floor().clamp(0, count).long()
    last = (high.clamp(-count, count) + middle).ceil().clamp(-1, count - 1).long()
    return first.clamp_max(count - 1), (last - first + 1).clamp_min(0)


def render(
    model: CameraModel,
    primitives: Primitives,
    ground: GroundTensors,
    T_scene_agent: Matrix,
    sun: NDArray[np.float64],
    generator: torch.Generator,
) -> NDArray[np.uint8]:
    """Render the image (H,W,3) of a camera on an agent.

    Args:
        model: the camera.
        primitives: all solids of the scene.
        ground: the ground of the scene.
        T_scene_agent: (4,4) pose of the agent, rotated only about the vertical.
        sun: (3,) unit vector towards the sun, in the scene.
        generator: draws the leaves that rays meet, and the noise of the pixels; its device is used.
    """
    device = generator.device
    # Rays start at the lens, in the orientation of the agent, in which solids are upright.
    T_scene_lens = T_scene_agent @ transform_from(np.eye(3), model.position)
    grid = PixelGrid.of(model, device)
    solids = solids_in_sensor(primitives, T_scene_lens, device)
    hits = cast(grid, solids, generator)
    ground_m, ground_material, _ = ground.meet(grid.directions, T_scene_lens)
    on_ground = ground_m < hits.range_m
    range_m = torch.minimum(ground_m, hits.range_m)
    normals = surface_normals(grid.directions, hits, solids)
    normals[on_ground] = torch.tensor([0.0, 0.0, 1.0], device=device)
    hit = torch.nonzero(torch.isfinite(range_m)).flatten()
    colour = sky(grid.directions)
    surface = _surface(hit, grid, range_m, normals, hits.solid, on_ground, solids, primitives)
    surface = surface.on_ground(on_ground[hit], ground_material[hit], ground.albedo, T_scene_lens)
    towards_sun = torch.tensor(T_scene_agent[:3, :3].T @ sun, device=device, dtype=torch.float32)
    light = _AMBIENT + (1 - _AMBIENT) * (normals[hit] @ towards_sun).clamp_min(0)
    haze = torch.exp(-range_m[hit] / _HAZE_M)[:, None]
    colour[hit] = paint(surface) * light[:, None] * 1.25 * haze + colour[hit] * (1 - haze)
    colour += 0.012 * torch.randn(colour.shape, generator=generator, device=device)
    # Displays expect roughly the square root of the radiance.
    image = (colour.clamp(0, 1) ** (1 / 1.8) * 255).round().to(torch.uint8)
    return np.asarray(image.reshape(grid.rows, grid.columns, 3).cpu().numpy())


def _surface(
    hit: Tensor,
    grid: PixelGrid,
    range_m: Tensor,
    normals: Tensor,
    solid: Tensor,
    on_ground: Tensor,
    solids: Solids,
    primitives: Primitives,
) -> Surface:
    """Return the places where the rays `hit` meet surfaces, in the axes of the solids."""
    device = grid.directions.device
    row = solid[hit].clamp_min(0)
    point = grid.directions[hit] * range_m[hit, None]
    if len(solids) == 0:
        nothing = torch.zeros_like(point)
        material = torch.full((len(hit),), int(Material.ASPHALT), device=device)
        return Surface(point, nothing, nothing, nothing, material, nothing, torch.zeros_like(material))
    cos, sin = solids.cos[row], solids.sin[row]

    def into(vector: Tensor) -> Tensor:
        x, y, z = vector.T
        return torch.stack([x * cos + y * sin, y * cos - x * sin, z], 1)

    material = torch.from_numpy(primitives.material).to(device)[row]
    tint = torch.from_numpy(primitives.colour).to(device)[row]
    return Surface(
        point=point,
        local=into(point - solids.centre[row]),
        half=solids.half[row],
        normal=into(normals[hit]),
        material=material,
        colour=tint,
        seed=torch.where(solid[hit] == NO_HIT, 0, row),
    )
