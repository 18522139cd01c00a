"""What lights a scene for cameras: sun and sky from noon to night, in clear air, rain or fog, and lamps.

A white surface that faces the sun of a clear noon has the radiance 1. The sun of a clear day gives four times
as much light as the sky, less when it is low or veiled, and none under clouds. Fog hides things in the
distance by its extinction (Koschmieder).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.simulation.chance import draw
from cosense.simulation.sensors.raycast import Floats
from cosense.simulation.sensors.weather import Weather

_CLEAR, _VEILED, _OVERCAST, _LOW_SUN, _DUSK, _NIGHT = range(6)
# How often each is drawn, in fair weather and in any other.
_FAIR = {_CLEAR: 0.42, _VEILED: 0.2, _OVERCAST: 0.16, _LOW_SUN: 0.1, _DUSK: 0.05, _NIGHT: 0.07}
_FOUL = {_OVERCAST: 0.75, _DUSK: 0.1, _NIGHT: 0.15}
_CLEAR_AIR_M = (250.0, 900.0)
# The disc of the sun, with the ring around it that is too bright for any sensor, and the glow around that.
_DISC_COS, _DISC = 0.9996, 30.0
_GLOW_POWER = 60
# What is below the horizon throws back so much of the light.
_GROUND = np.float32(0.18)
_Colour = tuple[float, float, float]
# Light of the sun and of the sky, radiance of horizon and zenith, and mean share of clouds.
_SKIES: dict[int, tuple[_Colour, _Colour, _Colour, _Colour, float]] = {
    _CLEAR: ((0.84, 0.81, 0.74), (0.17, 0.19, 0.23), (0.62, 0.68, 0.76), (0.16, 0.27, 0.48), 0.2),
    _VEILED: ((0.45, 0.44, 0.42), (0.33, 0.35, 0.38), (0.75, 0.78, 0.80), (0.45, 0.52, 0.62), 0.6),
    _OVERCAST: ((0.0, 0.0, 0.0), (0.48, 0.50, 0.53), (0.55, 0.57, 0.60), (0.72, 0.74, 0.78), 0.5),
    _LOW_SUN: ((0.62, 0.44, 0.25), (0.14, 0.14, 0.17), (0.62, 0.52, 0.40), (0.16, 0.24, 0.40), 0.2),
    _DUSK: ((0.0, 0.0, 0.0), (0.050, 0.055, 0.075), (0.16, 0.12, 0.10), (0.04, 0.06, 0.12), 0.3),
    _NIGHT: ((0.0, 0.0, 0.0), (0.002, 0.002, 0.003), (0.012, 0.010, 0.009), (0.002, 0.002, 0.004), 0.2),
}
# Directions along which clouds are wavy, in waves per unit of distance at the height of the clouds.
_WAVES = np.array([[1.3, 0.4], [-0.7, 1.9], [2.9, -1.6], [4.1, 3.3]], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """The light of a scene.

    Attributes:
        towards: (3,) unit vector towards the sun.
        sun: (3,) red, green and blue that the sun adds to a white surface that faces it.
        sky: (3,) likewise the sky, on level ground without anything around.
        horizon, zenith: (3,) radiances of the sky; `cloud` that of its clouds.
        cover: share of the sky under clouds, 0..1.
        haze_m: distance at which the air leaves 1/e of the contrast.
        wet: how much of a film of water lies on the roads, 0..1.
        lamps: how bright the lamps of vehicles on the road are, 0 by day.
        head_lamps: likewise those of the vehicle that carries the camera, 0 on a mast.
    """

    towards: Floats
    sun: Floats
    sky: Floats
    horizon: Floats
    zenith: Floats
    cloud: Floats
    cover: float = 0.0
    haze_m: float = 350.0
    wet: float = 0.0
    lamps: float = 0.0
    head_lamps: float = 0.0

    def radiance(self, directions: Floats) -> Floats:
        """Return what one sees of the sky, and of the ground far away, in directions (N,3)."""
        up = directions[:, 2]
        height = np.sqrt(np.clip(up, 0, 1))[:, None]
        seen = self.horizon + (self.zenith - self.horizon) * height
        if self.cover > 0:
            seen += (self.cloud - seen) * self._clouds(directions)[:, None]
        if self.sun.any():
            near = directions @ self.towards
            seen += (np.clip(near, 0, 1) ** _GLOW_POWER)[:, None] * self.sun
            seen[(near > _DISC_COS) & (up > 0)] += _DISC * self.sun
        below = np.flatnonzero(up < 0)
        ground = _GROUND * (self.sky + self.sun * max(float(self.towards[2]), 0.0))
        share = np.clip(-4 * up[below], 0, 1)[:, None]
        seen[below] += (ground - seen[below]) * share
        return np.asarray(seen, dtype=np.float32)

    def _clouds(self, directions: Floats) -> Floats:
        """Return (N,) how much of a cloud is in each direction, fewer of them towards the horizon."""
        up = np.clip(directions[:, 2], 0, 1)
        place = directions[:, :2] / (up + np.float32(0.12))[:, None]
        # Shifted by the place of the sun, which is another one in each scene.
        waves = np.sin(place @ _WAVES.T + 7 * self.towards[0])
        amount = 0.5 + 0.2 * (waves[:, 0] + waves[:, 1]) + 0.1 * (waves[:, 2] + waves[:, 3])
        edge = np.float32(1 - self.cover)
        return np.asarray(np.clip((amount - edge) * 4 + self.cover, 0, 1), dtype=np.float32)


def draw_light(weather: Weather, rng: np.random.Generator) -> Light:
    """Draw the time of day and the state of the sky for the weather of a scene."""
    clear = weather.backscatter == 0
    kind = draw(_FAIR if clear else _FOUL, rng)
    height = rng.uniform(0.06, 0.3) if kind == _LOW_SUN else rng.uniform(0.4, 1.15)
    azimuth = rng.uniform(-np.pi, np.pi)
    towards = _floats(np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height))
    tint = rng.uniform(0.93, 1.07, 3)
    haze_m = float(rng.uniform(*_CLEAR_AIR_M))
    if weather.extinction_per_m > 0:
        haze_m = min(haze_m, 1 / weather.extinction_per_m)
    sun, sky, horizon, zenith, cover = _SKIES[kind]
    dim = rng.uniform(0.7, 1.3)
    lamps = {_NIGHT: 1.0, _DUSK: 0.5}.get(kind, 0.0)
    # Streets are lit by night, well or badly.
    street = rng.uniform(0.004, 0.05) if kind == _NIGHT else 0.0
    grey = np.full(3, float(np.mean(horizon)))
    return Light(
        towards=towards,
        sun=_floats(*np.multiply(sun, tint)),
        sky=_floats(*(np.multiply(sky, dim) * tint + street * np.array([1.0, 0.8, 0.55]))),
        horizon=_floats(*np.multiply(horizon, dim)),
        zenith=_floats(*np.multiply(zenith, dim)),
        cloud=_floats(*(grey * rng.uniform(0.9, 1.2))),
        cover=float(np.clip(rng.normal(cover, 0.15), 0, 1)),
        haze_m=haze_m,
        wet=weather.wet,
        lamps=lamps,
        head_lamps=lamps,
    )


def _floats(*numbers: float) -> Floats:
    return np.array(numbers, dtype=np.float32)
