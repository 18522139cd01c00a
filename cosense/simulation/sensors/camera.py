"""Pinhole cameras, rendered by ray casting: one ray through the middle of each pixel.

Light comes from the sun, past what throws shadows, and evenly from the sky. Glass shows what is behind it, in
its own tint, and mirrors the sky at flat angles (Schlick's approximation of Fresnel's equations).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix, transform_from
from cosense.simulation.scenes.materials import Material
from cosense.simulation.sensors.raycast import Floats, Hits, View
from cosense.simulation.sensors.textures import paint, sky

_HAZE_M = 350.0
_AMBIENT = 0.55
# Rays go on and shadows begin this far from a surface, so that they do not meet it again.
_OFF_M = 2e-3
# Share of light that glass mirrors when it is hit squarely, and that it lets pass.
_MIRRORED, _PASSED = 0.06, 0.7
_PANES = 3
_NOISE = 0.012
# Rows of an image that are rendered at once: what fits into the cache of a processor.
_BAND = 60
# Displays expect roughly the square root of the radiance.
_STEPS = 4096
_TONES = np.round(255 * (np.arange(_STEPS) / (_STEPS - 1)) ** (1 / 1.8)).astype(np.uint8)


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


@lru_cache(maxsize=4)
def rays_of(model: CameraModel) -> Floats:
    """Return the directions (H*W,3) of the rays through all pixels in the agent frame, row by row."""
    width, height = model.size
    v, u = np.mgrid[:height, :width]
    pixels = np.stack([u, v, np.ones_like(u)], axis=2).reshape(-1, 3)
    optical = pixels @ np.linalg.inv(model.K).T
    optical /= np.linalg.norm(optical, axis=1, keepdims=True)
    return np.asarray(optical @ model.T_camera_agent[:3, :3], dtype=np.float32)


def render(
    model: CameraModel,
    view: View,
    T_scene_agent: Matrix,
    sun: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Render the image (H,W,3) of a camera on an agent.

    Args:
        model: the camera.
        view: the scene.
        T_scene_agent: (4,4) pose of the agent.
        sun: (3,) unit vector towards the sun, in the scene.
        rng: draws the noise of the pixels.
    """
    width, height = model.size
    lens = (T_scene_agent @ transform_from(np.eye(3), model.position))[:3, 3].astype(np.float32)
    directions = rays_of(model) @ T_scene_agent[:3, :3].T.astype(np.float32)
    image = np.empty((len(directions), 3), dtype=np.uint8)
    for start in range(0, len(directions), _BAND * width):
        band = slice(start, start + _BAND * width)
        ahead = directions[band]
        colour = _seen(view, np.tile(lens, (len(ahead), 1)), ahead, sun, _PANES)
        colour += np.float32(_NOISE) * rng.standard_normal(colour.shape, dtype=np.float32)
        image[band] = _TONES[(np.clip(colour, 0, 1) * np.float32(_STEPS - 1)).astype(np.int16)]
    return image.reshape(height, width, 3)


def _seen(view: View, origins: Floats, directions: Floats, sun: NDArray[np.float64], panes: int) -> Floats:
    """Return the colours (R,3) that rays see, through at most `panes` sheets of glass."""
    hits, looks = view.look(origins, directions)
    colour = sky(directions)
    met = np.flatnonzero(np.isfinite(hits.range_m))
    surface, ahead = hits[met], directions[met]
    facing = -np.einsum("ij,ij->i", surface.normal, ahead)
    place = origins[met] + surface.range_m[:, None] * ahead
    shown = paint(surface.material, looks[met]) * _light(view, surface, place, sun)[:, None]
    glass = np.flatnonzero(surface.material == Material.GLASS) if panes else np.zeros(0, dtype=np.int64)
    if len(glass):
        behind = _seen(view, place[glass] + _OFF_M * ahead[glass], ahead[glass], sun, panes - 1)
        mirrored = (_MIRRORED + (1 - _MIRRORED) * (1 - facing[glass]) ** 5)[:, None]
        above = ahead[glass] + 2 * facing[glass, None] * surface.normal[glass]
        through = _PASSED * behind + (1 - _PASSED) * shown[glass]
        shown[glass] = mirrored * sky(above) + (1 - mirrored) * through
    haze = np.exp(-surface.range_m / np.float32(_HAZE_M))[:, None]
    colour[met] = shown * haze + colour[met] * (1 - haze)
    return colour


def _light(view: View, surface: Hits, place: Floats, sun: NDArray[np.float64]) -> Floats:
    """Return how brightly places (R,3) on surfaces are lit."""
    towards = sun.astype(np.float32)
    sunlit = np.maximum(surface.normal @ towards, 0)
    bright = np.flatnonzero(sunlit > 0)
    sunlit[bright[view.is_dark(place[bright] + _OFF_M * surface.normal[bright], towards)]] = 0
    return np.float32(1.25) * (np.float32(_AMBIENT) + np.float32(1 - _AMBIENT) * sunlit)
