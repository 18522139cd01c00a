"""Closed forms are exact, the robust fit survives mostly wrong matches, the covariance is the real one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from_planar, transform_points, yaw_of
from cosense.scene_graph.register.planar_pose import (
    Matched,
    common_covariance,
    distances,
    gnc_tls,
    planar_fit,
    refine,
)


@given(st.integers(0, 10**6), st.floats(-np.pi, np.pi), st.integers(2, 20))
def test_the_planar_fit_is_exact(seed, yaw, count):
    rng = np.random.default_rng(seed)
    T = transform_from_planar(*rng.uniform(-100, 100, 2), yaw, rng.normal())
    p = rng.uniform(-50, 50, (count, 3))
    np.testing.assert_allclose(
        planar_fit(p, transform_points(T, p), rng.uniform(0.1, 5, count)), T, atol=1e-9
    )


def test_a_match_without_weight_has_no_say():
    rng = np.random.default_rng(0)
    p = rng.uniform(-50, 50, (8, 3))
    T = transform_from_planar(3, -2, 0.4, 1.0)
    q = transform_points(T, p)
    q[0] += 100
    np.testing.assert_allclose(planar_fit(p, q, np.array([0.0, *np.ones(7)])), T, atol=1e-9)


def test_a_rotation_is_never_a_reflection():
    p = np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 3], [1, 1, 1]])
    T = planar_fit(p, p * [1, -1, 1], np.ones(4))
    assert np.linalg.det(T[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(8))
def test_six_of_ten_matches_may_be_wrong(seed):
    rng = np.random.default_rng(seed)
    p = rng.uniform(-30, 30, (50, 3)) * [1, 1, 0.2]
    T = transform_from_planar(10, 5, 2.5, 0.5)
    q = transform_points(T, p) + rng.normal(0, 0.05, (50, 3))
    wrong = rng.permutation(50)[:30]
    q[wrong, :2] = rng.uniform(-40, 40, (30, 2))
    fitted, share = gnc_tls(p, q, np.ones(50), np.full(50, 0.5))
    right = np.delete(np.arange(50), wrong)
    assert np.abs(distances(fitted, p[right], q[right])).max() < 0.4
    assert share[right].min() > 0.9
    assert share[wrong].sum() < 1


def test_matches_that_all_agree_all_count():
    p = np.random.default_rng(0).uniform(-30, 30, (6, 3))
    T, share = gnc_tls(p, p, np.ones(6), np.full(6, 0.5))
    np.testing.assert_allclose(T, np.eye(4), atol=1e-12)
    assert (share == 1).all()


def matched(p, q, sigma_m, turns=None, turn_sigma_rad=0.1):
    turns = np.full(len(p), np.nan) if turns is None else turns
    return Matched(p, q, np.full(len(p), sigma_m**-2.0), turns, turn_sigma_rad)


def test_the_covariance_is_that_of_the_errors():
    rng = np.random.default_rng(0)
    p = rng.uniform(5, 40, (12, 3))
    T = transform_from_planar(3, 4, 1.0)
    found, covariances = [], []
    for _ in range(400):
        q = transform_points(T, p) + rng.normal(0, 0.2, p.shape)
        fitted, covariance = refine(T, matched(p, q, 0.2))
        found.append([fitted[0, 3], fitted[1, 3], yaw_of(fitted)])
        covariances.append(covariance)
    real, said = np.cov(np.transpose(found)), np.mean(covariances, axis=0)
    # Errors may also be common to several matches, which these are not: so it is larger.
    assert (np.diag(said) > np.diag(real)).all()
    assert (np.diag(said) < 3 * np.diag(real)).all()


def test_matches_worse_than_they_should_be_make_the_pose_uncertain():
    rng = np.random.default_rng(1)
    p = rng.uniform(-40, 40, (30, 3))
    q = p + rng.normal(0, 1.0, p.shape)
    assert (
        refine(np.eye(4), matched(p, q, 0.2))[1][0, 0] > 10 * refine(np.eye(4), matched(p, p, 0.2))[1][0, 0]
    )


def test_headings_tell_the_yaw_up_to_half_a_turn():
    rng = np.random.default_rng(2)
    p = rng.uniform(-3, 3, (5, 3))
    T = transform_from_planar(0, 0, 0.3)
    q = transform_points(T, p) + rng.normal(0, 0.3, p.shape)
    turns = 0.3 + np.pi * rng.integers(-1, 2, 5)
    without, wide = refine(T, matched(p, q, 0.3))
    fitted, narrow = refine(T, matched(p, q, 0.3, turns, 0.02))
    assert abs(yaw_of(fitted) - 0.3) < abs(yaw_of(without) - 0.3)
    assert narrow[2, 2] < 0.1 * wide[2, 2]


def test_a_heading_that_is_off_by_a_right_angle_is_ignored():
    p = np.random.default_rng(2).uniform(-30, 30, (5, 3))
    fitted, _ = refine(np.eye(4), matched(p, p, 0.3, np.array([0, 0, 0, 0, np.pi / 2]), 0.05))
    np.testing.assert_allclose(fitted, np.eye(4), atol=1e-9)


def test_errors_that_matches_beside_each_other_share_are_not_averaged_away():
    """Ten matches of each quarter are off together: the covariance is that of few matches, not of forty."""
    rng = np.random.default_rng(0)
    squares = []
    for _ in range(100):
        p = rng.uniform(-40, 40, (40, 3))
        shifts = rng.normal(0, 0.2, (2, 2, 3))
        q = p + shifts[(p[:, 0] > 0).astype(int), (p[:, 1] > 0).astype(int)] + rng.normal(0, 0.03, p.shape)
        fitted, covariance = refine(np.eye(4), matched(p, q, 0.2))
        off = np.array([fitted[0, 3], fitted[1, 3], yaw_of(fitted)])
        squares.append(off @ np.linalg.solve(covariance, off))
    assert 0.3 < np.mean(squares) / 3 < 5


def test_what_all_matches_have_in_common_moves_a_far_agent_more():
    """An error of the yaw about matches 30 m ahead of b moves b across by 30 m times the angle."""
    near, far = common_covariance(np.zeros(2), 0.1, 0.01), common_covariance(np.array([30.0, 0]), 0.1, 0.01)
    np.testing.assert_allclose(near, np.diag([0.01, 0.01, 1e-4]))
    np.testing.assert_allclose(far, [[0.01, 0, 0], [0, 0.1, -0.003], [0, -0.003, 1e-4]])
