"""Delays and position errors follow what was measured on DAIR-V2X-C (see the module)."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.sensing.measured_errors import (
    PositionErrors,
    cloud_delay_ns,
    image_delay_ns,
)

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


def test_position_errors_of_a_sequence_are_a_bias_and_a_slow_walk() -> None:
    """Kind: a fresh Gaussian in each frame, which a filter would average away."""
    rng = np.random.default_rng(0)
    values = np.zeros((300, 60, 2))
    for sequence in values:
        errors = PositionErrors(rng)
        for row in range(len(sequence)):
            sequence[row] = errors.error_m
            errors.step()
    norms = np.linalg.norm(values, axis=2)
    assert 0.7 < np.median(norms) < 0.9
    assert np.percentile(norms, 95) == pytest.approx(1.28, abs=0.05)
    assert norms.max() == pytest.approx(1.56, abs=0.005)
    assert np.abs(values).max() == 1.1
    assert 0.1 < (np.abs(values) == 1.1).any(axis=2).mean() < 0.25
    bias = np.linalg.norm(values.mean(axis=1), axis=1)
    assert np.median(bias) == pytest.approx(0.53, abs=0.06)
    np.testing.assert_allclose(np.median(values.std(axis=1), axis=0), [0.40, 0.27], atol=0.03)
    steps = np.linalg.norm(np.diff(values, axis=1), axis=2)
    # Values at the limit may stay there though the walk goes on.
    assert np.mean(steps == 0) == pytest.approx(0.39, abs=0.03)
    assert np.median(steps[steps > 0]) == pytest.approx(0.23, abs=0.03)
    assert np.percentile(steps[steps > 0], 95) == pytest.approx(0.82, abs=0.08)
