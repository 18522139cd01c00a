"""Delays and position errors follow what was measured on DAIR-V2X-C (see the module)."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.simulation.sensors.imperfections import cloud_delay_ns, image_delay_ns, position_offset_m

DRAWS = 4000


def test_cloud_delays() -> None:
    rng = np.random.default_rng(0)
    delays = np.array([cloud_delay_ns(rng) for _ in range(DRAWS)])
    assert np.all(delays % 1000 == 0)
    ms = delays / 1e6
    assert ms.std() == pytest.approx(17.5, abs=0.7)
    assert abs(ms.mean()) < 1.0
    assert np.median(np.abs(ms)) == pytest.approx(15.2, abs=0.8)
    assert np.percentile(np.abs(ms), 95) == pytest.approx(28.6, abs=0.5)
    assert np.abs(ms).max() <= 30.0


def test_image_delays() -> None:
    rng = np.random.default_rng(0)
    vehicle = np.array([image_delay_ns(rng, "vehicle") for _ in range(DRAWS)]) / 1e6
    np.testing.assert_allclose(np.percentile(vehicle, [5, 50, 95]), [73, 100, 128], atol=2)
    unit = np.array([image_delay_ns(rng, "infrastructure") for _ in range(DRAWS)]) / 1e6
    assert abs(unit.mean()) < 1.0
    assert unit.std() == pytest.approx(14.0, abs=1.0)


def test_position_offsets() -> None:
    rng = np.random.default_rng(0)
    norms = np.linalg.norm([position_offset_m(rng) for _ in range(DRAWS)], axis=1)
    assert np.mean(norms == 0) == pytest.approx(0.33, abs=0.03)
    assert norms.max() <= 1.56
    assert norms.mean() == pytest.approx(0.615, abs=0.04)
    assert np.median(norms) == pytest.approx(0.71, abs=0.06)
    assert np.percentile(norms, 90) == pytest.approx(1.23, abs=0.06)
