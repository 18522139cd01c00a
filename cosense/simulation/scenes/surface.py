"""The ground of a scene: a raster of materials, raised where people walk, and its intersection with rays."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.geometry.transforms import Matrix
from cosense.simulation.scenes.materials import ALBEDO, REFLECTANCE, Material
from cosense.simulation.scenes.mesh import Mesh

EXTENT_M = 140.0
CELL_M = 0.1
KERB_M = 0.13
_RAISED = (Material.PAVING, Material.GRASS)
_IS_RAISED = np.array([material in _RAISED for material in Material])
# Number of fractional bits in the coordinates of OpenCV's polygons.
_SHIFT = 8


@dataclass(frozen=True)
class Ground:
    """The ground within ±`EXTENT_M` of the origin of a scene; beyond, the cells of the border go on.

    Attributes:
        surface: (H,W) uint8, values of `Material`, rows along y and columns along x. Walkways and lawns are
            raised by the height of a kerb.
    """

    surface: NDArray[np.uint8] = field(
        default_factory=lambda: np.full([round(2 * EXTENT_M / CELL_M)] * 2, Material.GRASS, dtype=np.uint8)
    )

    def paint(self, outline: NDArray[np.float64], material: Material) -> None:
        """Fill a polygon (n,2), given in the scene in metres, with a material."""
        pixels = (outline + EXTENT_M) / CELL_M - 0.5
        cv2.fillPoly(
            self.surface, [np.round(pixels * 2**_SHIFT).astype(np.int32)], int(material), shift=_SHIFT
        )

    def material_at(self, xy: NDArray) -> NDArray[np.uint8]:
        """Return the material (n,) at points (n,2)."""
        column, row = np.clip((xy + EXTENT_M) / CELL_M, 0, len(self.surface) - 1).astype(np.int64).T
        return np.asarray(self.surface[row, column])

    def is_raised(self, xy: NDArray) -> NDArray[np.bool_]:
        """Return (n,): whether a kerb raises the ground at points (n,2)."""
        return np.asarray(_IS_RAISED[self.material_at(xy)])

    def relief_mesh(self) -> Mesh:
        """Return the ground without its kerbs."""
        reach = 4 * EXTENT_M
        corners = [(-reach, -reach, 0.0), (reach, -reach, 0.0), (reach, reach, 0.0), (-reach, reach, 0.0)]
        return Mesh.of(np.array(corners), np.array([[0, 1, 2], [0, 2, 3]]), Material.GRASS)

    def normal_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the upward unit normals (n,3) of the relief at points (n,2)."""
        return np.tile([0.0, 0.0, 1.0], (len(xy), 1))

    def lift(self, mesh: Mesh) -> Mesh:
        """Return a mesh that stands at z = 0, moved up to the height of the ground at its middle."""
        return mesh.at(0.0, 0.0, z=float(self.height_at(mesh.middle[None])[0]))

    def height_at(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the height (n,) of the ground at points (n,2)."""
        return np.where(self.is_raised(xy), KERB_M, 0.0)


@dataclass(frozen=True)
class GroundTensors:
    """A `Ground` as tensors on a device, with the properties of each material.

    Attributes:
        surface: (H*W,) uint8, the raster of the ground.
        size: number of rows and of columns.
        raised: (materials,) bool, True for what a kerb raises.
        reflectance: (materials,) reflectance for the LiDAR.
        albedo: (materials,3) albedo for the camera.
    """

    surface: Tensor
    size: int
    raised: Tensor
    reflectance: Tensor
    albedo: Tensor

    @classmethod
    def of(cls, ground: Ground, device: torch.device) -> GroundTensors:
        return cls(
            surface=torch.from_numpy(ground.surface.ravel()).to(device),
            size=len(ground.surface),
            raised=torch.tensor([m in _RAISED for m in Material], device=device),
            reflectance=torch.tensor([REFLECTANCE[m] for m in Material], device=device),
            albedo=torch.tensor([ALBEDO[m] for m in Material], device=device),
        )

    def material_at(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the material (n,) at coordinates x (n,) and y (n,) of the scene."""
        column = ((x + EXTENT_M) / CELL_M).clamp(0, self.size - 1).long()
        row = ((y + EXTENT_M) / CELL_M).clamp(0, self.size - 1).long()
        return self.surface[row * self.size + column].long()

    def meet(self, directions: Tensor, T_scene_sensor: Matrix) -> tuple[Tensor, Tensor, Tensor]:
        """Return where rays (R,3) of a sensor meet the ground.

        A ray first reaches the level of the walkways. If there is none at that place, it goes on to the road;
        if it would arrive there below a walkway, it has hit the face of the kerb, which bisection locates.

        Returns:
            ranges (R,), inf above the horizon; materials (R,); whether the face of a kerb was hit (R,).
        """
        rotation = torch.tensor(T_scene_sensor[:2, :3], device=directions.device, dtype=directions.dtype)
        slope_x, slope_y = (directions @ rotation.T).T
        position = T_scene_sensor[:3, 3].tolist()
        down = torch.where(directions[:, 2] < -1e-4, -directions[:, 2], torch.nan)

        def material_at(range_m: Tensor, rays: Tensor | slice = slice(None)) -> Tensor:
            x, y = position[0] + slope_x[rays] * range_m, position[1] + slope_y[rays] * range_m
            return self.material_at(torch.nan_to_num(x), torch.nan_to_num(y))

        upper, lower = (position[2] - KERB_M) / down, position[2] / down
        on_top = self.raised[material_at(upper)]
        kerb = ~on_top & self.raised[material_at(lower)]
        faces = torch.nonzero(kerb).flatten()
        near, far = upper[faces], lower[faces]
        for _ in range(6):
            middle = (near + far) / 2
            inside = self.raised[material_at(middle, faces)]
            near, far = torch.where(inside, near, middle), torch.where(inside, middle, far)
        range_m = torch.where(on_top, upper, lower)
        range_m[faces] = far
        return torch.nan_to_num(range_m, nan=torch.inf), material_at(range_m), kerb
