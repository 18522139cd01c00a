"""A correction is used after two registrations agree, keeps out what does not fit, and grows old."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.geometry.transforms import displaced, invert, transform_from_planar, wrap_angle
from cosense.scene_graph.correction import pose_filter
from cosense.scene_graph.correction.pose_filter import (
    PoseError,
    PoseFilter,
    Verdict,
    pose_error,
)
from cosense.scene_graph.register.pipeline import register_graphs
from tests.scene_graph.scenes import pair

SECOND_NS = 1_000_000_000
COVARIANCE = np.diag([0.04, 0.04, np.deg2rad(0.3) ** 2])


def measured(seconds, error, covariance=COVARIANCE):
    return PoseError(int(seconds * SECOND_NS), np.array(error, np.float64), covariance)


def test_one_registration_is_not_enough():
    peer = PoseFilter()
    assert peer.correction(0) is None
    assert peer.update(measured(0, [1, 2, 0.01])) is Verdict.TENTATIVE
    assert peer.correction(0) is None
    assert peer.update(measured(0.5, [1.1, 2, 0.01])) is Verdict.ACCEPTED
    np.testing.assert_allclose(peer.correction(SECOND_NS // 2).error, [1.05, 2, 0.01], atol=0.03)


def test_two_that_disagree_confirm_nothing():
    peer = PoseFilter()
    peer.update(measured(0, [0, 0, 0]))
    assert peer.update(measured(0.5, [20, 0, 0])) is Verdict.TENTATIVE
    assert peer.correction(SECOND_NS) is None
    assert peer.update(measured(1, [20, 0, 0])) is Verdict.ACCEPTED
    assert peer.correction(SECOND_NS).error[0] == pytest.approx(20)


def test_a_registration_that_does_not_fit_is_kept_out():
    peer = PoseFilter()
    for k in range(5):
        peer.update(measured(k * 0.2, [1, 0, 0]))
    before = peer.correction(SECOND_NS).error
    assert peer.update(measured(1, [8, 0, 0])) is Verdict.GATED
    assert peer.update(measured(1.2, [-8, 0, 0])) is Verdict.GATED
    assert peer.update(measured(1.4, [8, 0, 0])) is Verdict.GATED
    np.testing.assert_array_equal(peer.correction(SECOND_NS).error, before)


def test_an_estimate_that_three_in_a_row_contradict_is_given_up():
    peer = PoseFilter()
    peer.update(measured(0, [0, 0, 0]))
    peer.update(measured(0.2, [0, 0, 0]))
    verdicts = [peer.update(measured(0.4 + 0.2 * k, [5, 0, 0])) for k in range(3)]
    assert verdicts == [Verdict.GATED, Verdict.GATED, Verdict.ACCEPTED]
    assert peer.correction(SECOND_NS).error[0] == pytest.approx(5)


def test_it_averages_what_fits(monkeypatch):
    monkeypatch.setattr(pose_filter, "_DRIFT", np.array([1e-3, 1e-3, 1e-5]))
    rng = np.random.default_rng(0)
    peer = PoseFilter()
    for k in range(60):
        peer.update(measured(k * 0.1, rng.normal([1, -2, 0.02], np.sqrt(np.diag(COVARIANCE)))))
    estimate = peer.correction(6 * SECOND_NS)
    np.testing.assert_allclose(estimate.error, [1, -2, 0.02], atol=0.1)
    assert estimate.covariance[0, 0] < COVARIANCE[0, 0] / 20


def test_it_grows_old():
    peer = PoseFilter()
    peer.update(measured(0, [1, 0, 0]))
    peer.update(measured(0.1, [1, 0, 0]))
    young, old = peer.correction(SECOND_NS), peer.correction(4 * SECOND_NS)
    assert old.covariance[0, 0] > young.covariance[0, 0]
    assert peer.correction(6 * SECOND_NS) is None
    assert peer.update(measured(7, [3, 0, 0])) is Verdict.TENTATIVE


def test_a_registration_from_before_is_not_used():
    peer = PoseFilter()
    peer.update(measured(1, [1, 0, 0]))
    peer.update(measured(1.1, [1, 0, 0]))
    assert peer.update(measured(0.9, [1, 0, 0])) is Verdict.STALE


def test_errors_near_half_a_turn_are_averaged_on_the_circle():
    peer = PoseFilter()
    peer.update(measured(0, [0, 0, np.pi - 0.001]))
    assert peer.update(measured(0.1, [0, 0, -np.pi + 0.001])) is Verdict.ACCEPTED
    assert abs(wrap_angle(peer.correction(SECOND_NS).error[2] - np.pi)) < 0.01


def test_the_error_of_a_sent_pose_puts_it_right():
    a, b, T_a_b = pair(np.random.default_rng(0), 12, 3, sigma_m=0.05)
    true = b.T_world_agent.copy()
    b.T_world_agent[:] = transform_from_planar(1.5, -0.5, 0) @ true @ transform_from_planar(0, 0, 0.05)
    error = pose_error(register_graphs(a, b), a, b)
    np.testing.assert_allclose(error.error, [-1.5, 0.5, -0.05], atol=0.15)
    again = displaced(b.T_world_agent, error.error)
    np.testing.assert_allclose(invert(a.T_world_agent) @ again, T_a_b, atol=0.15)
    np.testing.assert_allclose(displaced(again, -error.error), b.T_world_agent, atol=1e-9)
