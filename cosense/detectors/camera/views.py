"""Which images of a frame can be used, and where in them a place of the levelled frame is.

An image that cannot be used is left out with a reason, and the frame is encoded without it: no image is worse
than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.errors import CosenseError
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from cosense.sensing.projection import check_view

# Pixels of nearly no or nearly all light, and the share of them from which an image shows nothing.
_DARK, _BRIGHT, _BLIND = 12, 243, 0.97
# The optical axis meets the image in its middle part, unless the calibration is for another size.
_OFF_MIDDLE = 0.25
# One height of the ground for so many cells along each edge: the relief is that smooth.
GROUND_STRIDE = 4


@dataclass(frozen=True, eq=False)
class Picture:
    """One image as the network takes it.

    Attributes:
        name: name of the camera.
        pixels: (H,W,3) uint8.
        covered: height and width of the part that is not black filling.
        P: (3,4) maps (x, y, z, 1) of the levelled frame to (u, v, 1) times the depth in metres.
    """

    name: str
    pixels: NDArray[np.uint8]
    covered: tuple[int, int]
    P: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Views:
    """V images of B clouds.

    Attributes:
        stages: maps of the images, see `ImageEncoder.stages`.
        P: (V,3,4) float32, maps (x, y, z, 1) of the levelled frame to (u, v, 1) times the depth; u, v in
            pixels of the images as the network takes them.
        covered: (V,2) float32, height and width of the part that shows something.
        of: number of the cloud of each image.
        corner_m: (B,2) float32, x and y at which the grid of each cloud begins.
        ground_m: (B,H/4,W/4) float32, z of the ground in the levelled frame.
    """

    stages: tuple[Tensor, ...]
    P: Tensor
    covered: Tensor
    of: tuple[int, ...]
    corner_m: Tensor
    ground_m: Tensor

    def to(self, device: torch.device | str) -> Views:
        """Return the same images on another device."""
        return Views(
            tuple(stage.to(device) for stage in self.stages),
            self.P.to(device),
            self.covered.to(device),
            self.of,
            self.corner_m.to(device),
            self.ground_m.to(device),
        )


def usable(frame: AgentFrame) -> tuple[tuple[Camera, ...], dict[str, str]]:
    """Return the cameras of a frame that show it, and why others do not, by name."""
    cameras, reasons = [], {}
    for camera in frame.cameras:
        try:
            check_view(frame, camera)
            _check_image(frame, camera)
            cameras.append(camera)
        except CosenseError as error:
            reasons[camera.name] = str(error)
    return tuple(cameras), reasons


def picture(camera: Camera, size: tuple[int, int]) -> Picture:
    """Return an image in the size (height, width) of the network; its proportions stay."""
    rows, columns = camera.image.shape[:2]
    scale = min(size[0] / rows, size[1] / columns)
    covered = (min(size[0], round(rows * scale)), min(size[1], round(columns * scale)))
    pixels = camera.image
    if (rows, columns) != covered:
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = np.asarray(cv2.resize(pixels, (covered[1], covered[0]), interpolation=way), np.uint8)
    if covered != size:
        filled = np.zeros((*size, 3), np.uint8)
        filled[: covered[0], : covered[1]] = pixels
        pixels = filled
    across, down = covered[1] / columns, covered[0] / rows
    # The centre of the first pixel is at 0, the corner of the image at -1/2.
    resized = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])
    return Picture(camera.name, pixels, covered, resized @ camera.K @ camera.T_image_agent[:3])


def views_of(
    places: Sequence[NDArray[np.float64]],
    covered: Sequence[tuple[int, int]],
    stages: tuple[Tensor, ...],
    ground: GroundSurface,
    grid: BevGrid,
    device: torch.device | str = "cpu",
) -> Views:
    """Return V images of one cloud, perhaps none, as the network takes them.

    Args:
        places: P (3,4) of each image, see `Picture`.
        covered: height and width of the part of each that shows something.
        stages: maps of all of them, see `ImageEncoder.stages`.
        ground: ground in the levelled frame.
        grid: that of the pillars of the cloud.
        device: where the network runs.
    """
    centres = grid.coarser(GROUND_STRIDE).centres()
    ground_m = torch.from_numpy(ground.at(centres[..., 0], centres[..., 1]).astype(np.float32))
    return Views(
        stages,
        torch.tensor(np.array(places).reshape(-1, 3, 4), dtype=torch.float32).to(device),
        torch.tensor(covered, dtype=torch.float32, device=device).view(-1, 2),
        (0,) * len(places),
        torch.tensor([grid.range_m[:2]], device=device),
        ground_m[None].to(device),
    )


def join_views(parts: Sequence[Views]) -> Views:
    """Join images of several clouds into one batch."""
    stages = tuple(torch.cat(maps) for maps in zip(*(part.stages for part in parts), strict=True))
    of, clouds = list[int](), 0
    for part in parts:
        of += [cloud + clouds for cloud in part.of]
        clouds += len(part.corner_m)
    return Views(
        stages,
        torch.cat([part.P for part in parts]),
        torch.cat([part.covered for part in parts]),
        tuple(of),
        torch.cat([part.corner_m for part in parts]),
        torch.cat([part.ground_m for part in parts]),
    )


def _check_image(frame: AgentFrame, camera: Camera) -> None:
    """Check that an image shows something, and that its calibration is of its size.

    Raises:
        CosenseError: one of this is not so.
    """
    where = f"camera '{camera.name}' of {frame.agent_id}"
    image = camera.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise CosenseError(f"{where}: an image of {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
    height, width = image.shape[:2]
    middle = np.array([camera.K[0, 2] / (width - 1), camera.K[1, 2] / (height - 1)])
    if (np.abs(middle - 0.5) >= _OFF_MIDDLE).any():
        raise CosenseError(
            f"{where}: the middle of the lens is at ({camera.K[0, 2]:.0f}, {camera.K[1, 2]:.0f}) of an image "
            f"of {width} x {height} pixels: K is that of another size; scale it with the image"
        )
    # A sixteenth of the pixels tells as much.
    some = image[::4, ::4]
    for kind, share in (("black", (some <= _DARK).mean()), ("saturated", (some >= _BRIGHT).mean())):
        if share >= _BLIND:
            raise CosenseError(f"{where}: {100 * share:.0f} % of the image is {kind}; go on without it")
