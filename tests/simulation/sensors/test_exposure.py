"""Each step from light to image does what it is named for, and a perfect camera changes nothing but tones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.simulation.sensors.exposure import Optics, develop, draw_optics
from cosense.simulation.sensors.weather import CLEAR, Weather

PLAIN = Optics()
RAIN = Weather("light rain", 0.001, 0.003, 6.0, wet=0.7)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def scene(bright: float = 0.2) -> np.ndarray:
    """Return the light of a lawn below and a brighter sky, with a white mark in the middle."""
    light = np.full((96, 160, 3), bright, np.float32)
    light[:30] *= 2
    light[50, 80] = 1.0
    return light


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0])
def test_exposure_makes_up_for_the_light_of_the_day(factor: float) -> None:
    base, other = (develop(light, PLAIN, rng()) for light in (scene(), factor * scene()))
    assert abs(base.astype(int) - other).max() <= 2
    # A fifth of white, in the tones of a display.
    assert develop(np.full((40, 40, 3), 0.4, np.float32), PLAIN, rng())[0, 0, 0] == pytest.approx(
        255 * 0.2 ** (1 / 1.8), abs=1
    )


def test_a_dark_night_stays_dark_and_is_noisy() -> None:
    night, day = (develop(scene(bright), replace(PLAIN, noise=1.0), rng())[60:] for bright in (0.002, 0.2))
    assert night.mean() < 0.6 * day.mean()
    assert night.std() > 3 * day.std()


def test_blur_and_shake_spread_a_point_and_keep_its_light() -> None:
    for optics in (replace(PLAIN, blur_px=1.5), replace(PLAIN, shake_px=6.0)):
        sharp, soft = (develop(scene(), one, rng()).astype(int)[45:56, 70:91, 0] for one in (PLAIN, optics))
        assert sharp.max() - soft.max() > 30
        assert (soft > soft.min() + 2).sum() > (sharp > sharp.min() + 2).sum()


def test_a_vignette_darkens_corners_only() -> None:
    light = np.full((40, 60, 3), 0.3, np.float32)
    image = develop(light, replace(PLAIN, vignette=0.3), rng()).astype(int)
    assert image[20, 30, 0] == pytest.approx(develop(light, PLAIN, rng())[20, 30, 0], abs=1)
    assert image[0, 0, 0] < image[20, 30, 0] - 15


def test_drops_show_the_sky_below_and_streaks_are_brighter_than_the_road() -> None:
    light = scene()
    light[:30], light[30:] = 1.0, 0.05
    plain, wet, rain = (
        develop(light, optics, rng()).astype(int)
        for optics in (PLAIN, replace(PLAIN, drops=((0.5, 0.5, 0.06),)), replace(PLAIN, streaks=40))
    )
    # The lower half of a drop in the lower part of the image is as bright as the sky.
    assert (wet - plain)[52:55, 78:82].mean() > 40
    assert abs(wet - plain)[:, :60].max() <= 1
    assert (rain - plain)[40:].max() > 20


def test_flare_spreads_what_is_too_bright_and_compression_leaves_the_picture() -> None:
    light = np.full((96, 160, 3), 0.1, np.float32)
    light[40:48, 76:84] = 20.0
    optics = replace(PLAIN, brightness=0.05)
    plain, flare = (develop(light, one, rng()).astype(int) for one in (optics, replace(optics, flare=0.1)))
    assert (flare - plain)[56, 80].mean() > 5
    rough = develop(scene(), replace(PLAIN, quality=50), rng()).astype(int)
    assert 0 < abs(rough - develop(scene(), PLAIN, rng())).mean() < 3


def test_grey_and_balance_change_colours() -> None:
    light = scene() * np.array([1.0, 0.5, 0.25], np.float32)
    image = develop(light, replace(PLAIN, saturation=0.0), rng())
    assert np.ptp(image, axis=2).max() <= 1
    warm = develop(scene(), replace(PLAIN, balance=(1.2, 1.0, 0.8)), rng())[70, 20]
    assert warm[0] > warm[1] + 10 > warm[2] + 20


def test_cameras_differ_and_only_rain_wets_them() -> None:
    fair, rain = (
        [draw_optics(weather, False, True, np.random.default_rng(seed)) for seed in range(40)]
        for weather in (CLEAR, RAIN)
    )
    assert all(not camera.drops and not camera.streaks for camera in fair)
    assert all(camera.drops and camera.streaks for camera in rain)
    assert np.std([camera.gamma for camera in fair]) > 0.1
    assert np.std([camera.brightness for camera in fair]) > 0.03
