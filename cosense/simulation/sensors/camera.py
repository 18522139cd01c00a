"""Pinhole cameras, rendered by ray casting: one ray through the middle of each pixel.

Light comes from the sun, past what throws shadows, from the part of the sky that is open above a place, and
by night from head lamps. Paint, metal and glass mirror the sky, the more the flatter the angle (Schlick's
approximation of Fresnel's equations). Glass shows what is behind it, a wet road mirrors what stands on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix, transform_from
from cosense.simulation.scenes.materials import Material
from cosense.simulation.sensors.daylight import Light
from cosense.simulation.sensors.raycast import Floats, Hits, Looks, View
from cosense.simulation.sensors.textures import grain, paint

# Rays go on and shadows begin this far from a surface, so that they do not meet it again.
_OFF_M = 2e-3
# Share of the light that surfaces mirror when it meets them squarely, and that glass lets pass.
_MIRRORS = np.zeros(len(Material), dtype=np.float32)
_MIRRORS[[Material.GLASS, Material.PAINT, Material.METAL, Material.LAMP]] = 0.06, 0.05, 0.25, 0.06
_PASSED = np.float32(0.7)
_PANES = 3
# What soaks up or bears water on a wet day.
_SOAKED = np.zeros(len(Material), dtype=bool)
_SOAKED[[Material.ASPHALT, Material.MARKING, Material.PAVING, Material.CONCRETE, Material.STONE]] = True
# Share of the light from which what a wet road mirrors is seen.
_FLAT = 0.02
# How much more light than a white surface something throws back to the lamp from which it comes.
_BACK = np.zeros(len(Material), dtype=np.float32)
_BACK[[Material.SIGN, Material.MARKING, Material.LAMP]] = 8.0, 1.5, 2.0
# Light of head lamps on a white surface at a distance of one metre.
_HEAD_LAMP = 30.0
# How far around a place things keep the light of the sky away, and how much of it comes in behind glass.
_AROUND_M, _SHELTERED = 5.0, 0.6
# Directions all around, spread evenly (a spiral on a sphere) and in no order.
_TURN = np.arange(16) * 7 % 16
_ALL_ROUND = np.stack(
    [
        np.sqrt(1 - ((_TURN + 0.5) / 8 - 1) ** 2) * np.cos(2.39996 * _TURN),
        np.sqrt(1 - ((_TURN + 0.5) / 8 - 1) ** 2) * np.sin(2.39996 * _TURN),
        (_TURN + 0.5) / 8 - 1,
    ],
    axis=1,
).astype(np.float32)
# Rows of an image that are rendered at once: what fits into the cache of a processor; a multiple of 8.
_BAND = 64


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


def render(model: CameraModel, view: View, T_scene_agent: Matrix, light: Light) -> Floats:
    """Return the light (H,W,3) that reaches the pixels of a camera on an agent; see `develop`.

    Args:
        model: the camera.
        view: the scene.
        T_scene_agent: (4,4) pose of the agent.
        light: what lights the scene.
    """
    width, height = model.size
    lens = (T_scene_agent @ transform_from(np.eye(3), model.position))[:3, 3].astype(np.float32)
    ahead = (T_scene_agent[:3, :3] @ model.T_camera_agent[:3, :3].T)[:, 2].astype(np.float32)
    directions = rays_of(model) @ T_scene_agent[:3, :3].T.astype(np.float32)
    eye = _Eye(view, light, lens, ahead)
    image = np.empty((len(directions), 3), dtype=np.float32)
    for start in range(0, len(directions), _BAND * width):
        band = slice(start, start + _BAND * width)
        seen = directions[band]
        image[band] = eye.first(np.tile(lens, (len(seen), 1)), seen, width)
    return image.reshape(height, width, 3)


@dataclass(frozen=True, eq=False)
class _Eye:
    """What sees a scene from one place.

    Attributes:
        view: the scene.
        light: what lights it.
        lens: (3,) place of the lens in the scene, where the head lamps of a vehicle are too, a bit lower.
        ahead: (3,) direction in which it looks.
    """

    view: View
    light: Light
    lens: Floats
    ahead: Floats

    def first(self, origins: Floats, directions: Floats, width: int) -> Floats:
        """Return the colours (R,3) that the rays of whole rows of an image see."""
        hits, looks = self.view.look(origins, directions)
        return self._shown(
            origins, directions, hits, looks, self._open(origins, directions, hits, width), _PANES
        )

    def _seen(self, origins: Floats, directions: Floats, panes: int) -> Floats:
        """Return the colours (R,3) that rays see through at most `panes` sheets of glass."""
        hits, looks = self.view.look(origins, directions)
        return self._shown(
            origins, directions, hits, looks, np.full(len(hits), _SHELTERED, np.float32), panes
        )

    def _shown(
        self, origins: Floats, directions: Floats, hits: Hits, looks: Looks, is_open: Floats, panes: int
    ) -> Floats:
        """Return the colours (R,3) of what rays have hit, of which a share (R,) of the sky is open."""
        hit = np.isfinite(hits.range_m)
        colour = np.empty((len(hits), 3), dtype=np.float32)
        missed = np.flatnonzero(~hit)
        # Bands below the horizon have no sky: they are not copied.
        met = np.flatnonzero(hit) if len(missed) else slice(None)
        colour[missed] = self.light.radiance(directions[missed])
        surface, ahead, looks = hits[met], directions[met], looks[met]
        facing = -np.einsum("ij,ij->i", surface.normal, ahead)
        place = origins[met] + surface.range_m[:, None] * ahead
        shown = paint(surface.material, looks) * self._lit(surface, place, is_open[met])
        self._add_mirrored(shown, surface, looks, place, ahead, facing, panes)
        if max(self.light.lamps, self.light.head_lamps) > 0:
            self._add_lamps(shown, surface, looks, place, ahead)
        haze = np.exp(-surface.range_m / np.float32(self.light.haze_m))[:, None]
        colour[met] = shown * haze + self.light.horizon * (1 - haze)
        return colour

    def _open(self, origins: Floats, directions: Floats, hits: Hits, width: int) -> Floats:
        """Return (R,) how much of the sky is open above what is seen: nothing below a car, all on a lawn.

        One pixel in a square of four looks into one direction, and a square of sixteen of these into all.
        """
        rows = np.arange(len(hits)).reshape(-1, width)[::2, ::2]
        looking = _ALL_ROUND[np.add.outer(4 * (np.arange(len(rows)) % 4), np.arange(rows.shape[1]) % 4)]
        hit = np.isfinite(hits.range_m[rows])
        rays = rows[hit]
        towards = hits.normal[rays] * np.float32(1.02) + looking[hit]
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        place = origins[rays] + hits.range_m[rays, None] * directions[rays] + _OFF_M * hits.normal[rays]
        is_open = np.ones(rows.shape, dtype=np.float32)
        is_open[hit] = ~self.view.is_near(place, towards, _AROUND_M)
        smooth = cv2.blur(is_open, (4, 4), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(np.repeat(np.repeat(smooth, 2, axis=0), 2, axis=1).reshape(-1), np.float32)

    def _lit(self, surface: Hits, place: Floats, is_open: Floats) -> Floats:
        """Return the light (R,3) on places on surfaces."""
        light, up = self.light, surface.normal[:, 2]
        # What looks down gets the light that the ground throws back.
        share = is_open * (np.float32(0.6) + np.float32(0.4) * up)
        lit = share[:, None] * light.sky
        if light.sun.any():
            sunlit = np.maximum(surface.normal @ light.towards, 0)
            bright = np.flatnonzero(sunlit > 0)
            start = place[bright] + _OFF_M * surface.normal[bright]
            sunlit[bright[self.view.is_dark(start, light.towards)]] = 0
            lit += sunlit[:, None] * light.sun
        return np.asarray(lit)

    def _add_mirrored(
        self,
        shown: Floats,
        surface: Hits,
        looks: Looks,
        place: Floats,
        ahead: Floats,
        facing: Floats,
        panes: int,
    ) -> None:
        """Change the colours (R,3) of what mirrors, and of glass by what is behind it."""
        light = self.light
        smooth = np.flatnonzero(_MIRRORS[surface.material] > 0)
        shine = _MIRRORS[surface.material[smooth]]
        shine = (shine + (1 - shine) * (1 - facing[smooth]) ** 5)[:, None]
        above = ahead[smooth] + 2 * facing[smooth, None] * surface.normal[smooth]
        mirrored = light.radiance(above)
        glass = np.flatnonzero(surface.material[smooth] == Material.GLASS) if panes else np.zeros(0, np.int64)
        if len(glass):
            rays = smooth[glass]
            behind = self._seen(place[rays] + _OFF_M * ahead[rays], ahead[rays], panes - 1)
            shown[rays] = _PASSED * behind + (1 - _PASSED) * shown[rays]
        shown[smooth] += shine * (mirrored - shown[smooth])
        if light.wet > 0 and panes == _PANES:
            self._add_water(shown, surface, looks, place, ahead, facing)

    def _add_water(
        self, shown: Floats, surface: Hits, looks: Looks, place: Floats, ahead: Floats, facing: Floats
    ) -> None:
        """Change the colours (R,3) of level, wet surfaces: darker, and mirrors at flat angles."""
        wet = np.flatnonzero(_SOAKED[surface.material] & (surface.normal[:, 2] > 0.9))
        shown[wet] *= np.float32(1 - 0.45 * self.light.wet)
        flat = (1 - facing[wet]) ** 5
        wet, flat = wet[flat > _FLAT], flat[flat > _FLAT]
        # The film has waves.
        normal = surface.normal[wet] + np.float32(0.03) * (grain(looks.local[wet], 0.05)[:, None] - 0.5)
        above = ahead[wet] - 2 * np.einsum("ij,ij->i", ahead[wet], normal)[:, None] * normal
        above /= np.linalg.norm(above, axis=1, keepdims=True)
        seen = self._seen(place[wet] + _OFF_M * surface.normal[wet], above, 0)
        shown[wet] += np.float32(0.8 * self.light.wet) * flat[:, None] * (seen - shown[wet])

    def _add_lamps(self, shown: Floats, surface: Hits, looks: Looks, place: Floats, ahead: Floats) -> None:
        """Add the light of the head lamps beside the lens, and the lamps of those who are on the road."""
        away = place - (self.lens - np.array([0, 0, 0.7], dtype=np.float32))
        distance = np.linalg.norm(away, axis=1)
        away /= distance[:, None]
        # Dipped: a wide fan below the horizon, little above it.
        forward = away @ self.ahead
        beam = np.clip(forward, 0, 1) ** 12 * np.exp(-25 * np.maximum(away[:, 2], 0) ** 0.7)
        on = beam * np.maximum(-np.einsum("ij,ij->i", away, surface.normal), 0) / np.maximum(distance, 2) ** 2
        back = _BACK[surface.material]
        on = np.asarray(
            _HEAD_LAMP * self.light.head_lamps * (on * (1 + back) + 0.05 * beam * back), np.float32
        )
        shown += looks.colour * on[:, None]
        lamps = np.flatnonzero((surface.material == Material.LAMP) & looks.moves)
        red = looks.colour[lamps, 1] < 0.3
        glow = np.where(red, 1.2, 6.0) * np.clip(
            -np.einsum("ij,ij->i", ahead[lamps], surface.normal[lamps]), 0, 1
        )
        shown[lamps] += self.light.lamps * glow[:, None].astype(np.float32) * looks.colour[lamps]
