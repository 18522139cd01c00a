"""What a camera makes of the light that reaches it: flare, blur, rain, exposure, noise, tones, compression.

The steps follow the way of the light through a camera. Of its noise, one part grows with the light and one
with the amplification ("A physics-based noise formation model", Wei et al., CVPR 2020). A camera keeps its
character over a sequence (`Optics`); exposure, shake and noise differ from image to image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.simulation.sensors.raycast import Floats
from cosense.simulation.sensors.weather import Weather

_STEPS = 4096
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
# Brighter than this is cut off before the lens spreads it, so that one pixel of sun does not fill an image.
_BRIGHTEST = 20.0
# Amplification at which a camera gives up and delivers dark images, and noise without amplification.
_MOST_GAIN = 14.0
_READ, _SHOT = 0.0025, 0.00035
# Spread light is computed on an image so many times smaller.
_COARSE = 8
# Rows that are measured at once: what fits into the cache of a processor.
_BAND = 32


@dataclass(frozen=True, eq=False)
class Optics:
    """A camera with its lens and its processing; the defaults are a perfect one.

    Attributes:
        brightness: what the mean of an image is exposed to, as a share of white.
        gamma: exponent of the tone curve is 1 / gamma.
        contrast: strength of its S shape, 0..1.
        saturation: 0 is grey, 1 the colours as they are.
        balance: (3,) gains of red, green and blue.
        vignette: share of the light that is lost in the corners.
        blur_px: standard deviation of the blur of the lens.
        shake_px: mean length of the streak that motion makes of a point.
        noise: factor of the noise of the sensor.
        flare: share of the light of what is too bright that the lens spreads around it.
        quality: of the JPEG compression, 0 for none.
        drops: (D,3) drops on the lens: column, row and radius as shares of width, height and width.
        streaks: number of raindrops or flakes that fall before the lens.
    """

    brightness: float = 0.2
    gamma: float = 1.8
    contrast: float = 0.0
    saturation: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.0
    blur_px: float = 0.0
    shake_px: float = 0.0
    noise: float = 0.0
    flare: float = 0.0
    quality: int = 0
    drops: tuple[tuple[float, float, float], ...] = ()
    streaks: int = 0


def draw_optics(weather: Weather, is_dark: bool, moves: bool, rng: np.random.Generator) -> Optics:
    """Draw a camera.

    Args:
        weather: what falls on the lens and before it.
        is_dark: whether it is night: exposures are longer.
        moves: whether the camera is on a vehicle.
        rng: source of all randomness.
    """
    falls = weather.backscatter > 0 and weather.extinction_per_m < 0.01
    red, blue = rng.normal(0, 0.05, 2)
    blur_px = abs(rng.normal(0.35, 0.25)) if rng.random() < 0.93 else rng.uniform(1.0, 2.2)
    shake = (0.9 if moves else 0.25) * (2.5 if is_dark else 1.0)
    wet = falls and weather.wet > 0 and (moves or rng.random() < 0.5)
    return Optics(
        brightness=0.2 * 2 ** rng.normal(0, 0.4) * (0.6 if is_dark else 1.0),
        gamma=rng.uniform(1.7, 2.4),
        contrast=rng.uniform(0.0, 0.6),
        saturation=rng.uniform(0.65, 1.25),
        balance=(1 + red, 1.0, 1 + blue),
        vignette=rng.uniform(0, 0.35),
        blur_px=blur_px,
        shake_px=shake * rng.exponential(),
        noise=rng.uniform(0.4, 1.6),
        flare=rng.exponential(0.03),
        quality=int(rng.integers(45, 97)),
        drops=_draw_drops(int(rng.integers(4, 40)), rng) if wet else (),
        streaks=int(4e4 * weather.backscatter) if falls else 0,
    )


def _draw_drops(count: int, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    places, radii = rng.uniform(0, 1, (count, 2)), np.minimum(rng.exponential(0.009, count) + 0.004, 0.04)
    return tuple((float(x), float(y), float(r)) for (x, y), r in zip(places, radii, strict=True))


def develop(light: Floats, optics: Optics, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the image (H,W,3) that a camera makes of the light (H,W,3) that reaches it, in linear units.

    Args:
        light: red, green and blue of the radiance.
        optics: the camera.
        rng: draws exposure, shake and noise of this image.
    """
    gain = _gain(light, optics, rng)
    image = np.minimum(light, np.float32(_BRIGHTEST / gain))
    if optics.flare > 0:
        image += _flare(image * np.float32(gain), np.float32(optics.flare / gain))
    image = _blurred(image, optics, rng)
    if optics.streaks:
        _add_streaks(image, optics.streaks, rng)
    if optics.drops:
        _add_drops(image, optics)
    image *= np.float32(gain) * np.array(optics.balance, dtype=np.float32)
    if optics.vignette > 0:
        image *= _fall_off(image.shape[0], image.shape[1], optics.vignette)
    tones = _tones(optics)
    bands = [image[start : start + _BAND] for start in range(0, len(image), _BAND)]
    return _compressed(np.concatenate([_measured(band, gain, optics, tones, rng) for band in bands]), optics)


def _measured(
    band: Floats, gain: float, optics: Optics, tones: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return what the sensor and its processing make of the light on some rows (H,W,3)."""
    if optics.noise > 0:
        # The variance of the noise is linear in the light and grows with the amplification.
        amplified = np.float32(optics.noise * np.sqrt(max(gain, 0.5)))
        sigma = amplified * np.sqrt(np.float32(_READ**2 * max(gain, 1.0)) + np.float32(_SHOT) * band)
        band = band + sigma * rng.standard_normal(band.shape, dtype=np.float32)
    if optics.saturation != 1:
        grey = (band @ _LUMINANCE)[..., None]
        band = grey + np.float32(optics.saturation) * (band - grey)
    return tones.take((np.clip(band, 0, 1) * np.float32(_STEPS - 1)).astype(np.intp))


def _gain(light: Floats, optics: Optics, rng: np.random.Generator) -> float:
    """Return what the automatic exposure multiplies the light by; it misses by a fifth of a stop."""
    metered = light[light.shape[0] // 4 :: 4, ::4] @ _LUMINANCE
    # Averaged in stops and in light, so that a bright sky counts but does not decide.
    mean = np.sqrt(float(np.exp(np.log(metered + 1e-5).mean())) * float(np.minimum(metered, 2).mean()))
    if optics.noise > 0:
        mean *= 2 ** rng.normal(0, 0.2)
    return min(optics.brightness / max(mean, 1e-4), _MOST_GAIN)


def _flare(exposed: Floats, share: np.float32) -> Floats:
    """Return the light (H,W,3) that comes from what is too bright, spread over the image."""
    height, width = exposed.shape[:2]
    small = (width // _COARSE, height // _COARSE)
    bright = cv2.resize(np.maximum(exposed - 1, 0), small, interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(bright, (0, 0), small[0] / 40) + cv2.GaussianBlur(bright, (0, 0), small[0] / 10)
    return np.asarray(share * cv2.resize(spread, (width, height)), dtype=np.float32)


def _blurred(image: Floats, optics: Optics, rng: np.random.Generator) -> Floats:
    if optics.blur_px > 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), optics.blur_px), dtype=np.float32)
    if optics.shake_px > 0:
        length, angle = optics.shake_px * rng.uniform(0.3, 1.7), rng.normal(0, 0.6)
        half = min(int(np.ceil(length / 2)), 7)
        if length > 1:
            kernel = _streak(half, length, angle)
            return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)
    return image


def _streak(half: int, length: float, angle: float) -> Floats:
    """Return a kernel (2 half + 1, 2 half + 1) that smears a point along a line."""
    kernel = np.zeros((2 * half + 1, 2 * half + 1), dtype=np.float32)
    for share in np.linspace(-0.5, 0.5, 8 * half + 1):
        x, y = half + share * length * np.cos(angle), half + share * length * np.sin(angle)
        kernel[int(np.clip(round(y), 0, 2 * half)), int(np.clip(round(x), 0, 2 * half))] += 1
    return kernel / kernel.sum()


def _add_streaks(image: Floats, count: int, rng: np.random.Generator) -> None:
    """Draw what falls before the lens, in place: short bright lines, as long as they are near."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), dtype=np.float32)
    slant = rng.normal(0, 0.25)
    near = rng.uniform(0.2, 1.0, count) ** 2
    starts = rng.uniform(0, 1, (count, 2)) * (width, height)
    for (x, y), size in zip(starts, near, strict=True):
        end = (round(x + slant * 0.06 * height * size), round(y + 0.06 * height * size))
        cv2.line(layer, (round(x), round(y)), end, float(0.06 + 0.1 * size), 1 + int(2 * size), cv2.LINE_AA)
    veil = np.asarray(cv2.GaussianBlur(layer, (0, 0), 1.2), dtype=np.float32)[..., None]
    image += veil * (np.float32(1.3) * image.mean(axis=(0, 1)) - image * np.float32(0.3))


def _add_drops(image: Floats, optics: Optics) -> None:
    """Draw drops on the lens, in place: each shows the scene upside down, small and out of focus."""
    height, width = image.shape[:2]
    tiny = cv2.resize(image, (width // 32, height // 32), interpolation=cv2.INTER_AREA)[::-1, ::-1]
    for across, down, radius in optics.drops:
        r = max(3, round(radius * width))
        x, y = round(across * width), round(down * height)
        rows = slice(max(0, y - r), min(height, y + r))
        columns = slice(max(0, x - r), min(width, x + r))
        patch = image[rows, columns]
        if not patch.size:
            continue
        v, u = np.mgrid[rows, columns].astype(np.float32)
        out = np.hypot(u - x, 0.85 * (v - y)) / r
        cover = np.clip((1 - out) * 4, 0, 0.85)[..., None]
        inside = cv2.resize(np.ascontiguousarray(tiny), (patch.shape[1], patch.shape[0]))
        patch += cover * (inside * (1.05 - 0.35 * out[..., None] ** 2) - patch)


def _fall_off(height: int, width: int, lost: float) -> Floats:
    """Return (H,W,1) the share of the light that a lens lets through towards the corners."""
    v = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    u = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2
    return (1 - np.float32(lost / 2) * (u + v))[..., None]


def _tones(optics: Optics) -> NDArray[np.uint8]:
    """Return the tones of displays, which expect roughly the square root, for light from 0 to 1."""
    value = np.linspace(0, 1, _STEPS) ** (1 / optics.gamma)
    value += optics.contrast * (value * value * (3 - 2 * value) - value)
    return np.round(255 * value).astype(np.uint8)


def _compressed(image: NDArray[np.uint8], optics: Optics) -> NDArray[np.uint8]:
    if not optics.quality:
        return image
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, optics.quality))
    return np.ascontiguousarray(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
