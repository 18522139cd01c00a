"""The light of a scene fits the weather, and the sky is bright where it should be."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.sensors.daylight import draw_light
from cosense.simulation.sensors.weather import CLEAR, Weather

FOG = Weather("fog", 3 / 80, 0.05, 5.0, wet=0.3)
SEEDS = range(200)


def drawn(weather: Weather) -> list:
    return [draw_light(weather, np.random.default_rng(seed)) for seed in SEEDS]


def test_fair_weather_has_sun_on_most_days_and_some_nights() -> None:
    lights = drawn(CLEAR)
    sunny = [light for light in lights if light.sun.any()]
    assert 0.6 < len(sunny) / len(lights) < 0.85
    assert 0.05 < np.mean([light.lamps > 0 for light in lights]) < 0.25
    np.testing.assert_allclose([np.linalg.norm(light.towards) for light in lights], 1, rtol=1e-6)
    assert min(light.haze_m for light in lights) > 200


def test_rain_and_fog_have_clouds_and_lights_are_wet_and_hazy() -> None:
    for light in drawn(FOG):
        assert not light.sun.any()
        assert light.haze_m == pytest.approx(80 / 3)
        assert light.wet == pytest.approx(0.3)


def test_the_disc_of_the_sun_is_brighter_than_everything_and_the_ground_is_dark() -> None:
    light = next(light for light in drawn(CLEAR) if light.sun.any())
    away = -light.towards * np.array([1, 1, -1], np.float32)
    sun, sky, ground = light.radiance(np.array([light.towards, away, [0, 0, -1]], np.float32)).mean(axis=1)
    assert sun > 10 * sky > 0
    assert ground < 0.5 * sky


def test_a_night_without_street_lamps_is_a_hundredth_of_a_day() -> None:
    lights = drawn(CLEAR)
    night = min(lights, key=lambda light: light.sky.mean())
    day = max(lights, key=lambda light: light.sky.mean())
    assert night.sky.mean() < 0.03 * day.sky.mean()
    assert night.lamps == night.head_lamps == 1
