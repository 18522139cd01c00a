"""What is wrong with the poses of a moment in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosense.sensing.measured_errors import LEFT_AFTER_CORRECTION
from cosense.training.fusion_examples import MethodRunConfig, PoseErrorKind, draw_kind, pose_error
from cosense.training.run_config import SceneConfig

SCENES = (SceneConfig(("crossing",), 1, 1),)


def config(**changes: float) -> MethodRunConfig:
    return MethodRunConfig(
        model=Path("model"), start_from="start", data=SCENES, validation=SCENES, steps=1, **changes
    )


def drawn(kind: PoseErrorKind, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return errors (count,3) and covariances (count,3,3)."""
    rng = np.random.default_rng(0)
    each = [pose_error(kind, config(pose_noise_m=0.5, pose_noise_deg=1.0), rng) for _ in range(count)]
    return np.array([error for error, _ in each]), np.array([covariance for _, covariance in each])


def test_an_exact_pose_has_no_error_and_says_so() -> None:
    errors, covariances = drawn("exact", 3)
    assert not errors.any()
    assert not covariances.any()


def test_a_noisy_pose_says_how_noisy_it_is() -> None:
    errors, covariances = drawn("noisy")
    told = np.sqrt(covariances[:, [0, 1, 2], [0, 1, 2]])
    assert (told <= [0.5, 0.5, np.deg2rad(1.0)]).all()
    np.testing.assert_allclose((errors / told).std(axis=0), 1.0, atol=0.05)


def test_nobody_knows_that_a_pose_is_off_as_measured() -> None:
    errors, covariances = drawn("dair")
    assert not covariances.any()
    off_m = np.hypot(*errors[:, :2].T)
    assert 0.7 < np.median(off_m) < 0.9
    assert np.abs(errors[:, :2]).max() <= 1.1
    left, _ = drawn("dair_corrected")
    np.testing.assert_allclose(left[:, :2], LEFT_AFTER_CORRECTION * errors[:, :2])


def test_each_kind_is_as_frequent_as_the_run_says() -> None:
    rng, run = np.random.default_rng(1), config(noisy=0.1, dair=0.2, dair_corrected=0.4)
    kinds = [draw_kind(run, rng) for _ in range(4000)]
    shares = [kinds.count(kind) / 4000 for kind in ("noisy", "dair", "dair_corrected", "exact")]
    np.testing.assert_allclose(shares, [0.1, 0.2, 0.4, 0.3], atol=0.03)
    assert draw_kind(config(noisy=0.0, dair=0.0, dair_corrected=1.0), rng) == "dair_corrected"


def test_more_wrong_poses_than_poses_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 together"):
        config(noisy=0.5, dair=0.4, dair_corrected=0.2)
