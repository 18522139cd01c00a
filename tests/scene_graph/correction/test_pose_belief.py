"""A claim is believed once it is confirmed; until then an error is as the field has them, or as was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import displaced
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.correction.pose_belief import FIELD, PoseBelief
from cosense.scene_graph.correction.pose_filter import PoseError
from cosense.scene_graph.correction.shift_evidence import AXIS_M, TURNS_RAD, shift_evidence
from tests.scene_graph.scenes import graph_of

STEP_NS = 100_000_000
EXACT = np.zeros((3, 3))
REGISTRATION = np.diag([0.08, 0.08, np.deg2rad(0.2)]) ** 2
POLE, CORNER = NodeClass.POLE, NodeClass.CORNER


def learned(*errors, claim=EXACT) -> PoseBelief:
    """Return what is believed after a registration a frame."""
    belief = PoseBelief()
    for step, error in enumerate(errors):
        belief.learn_pose(PoseError(step * STEP_NS, np.array(error), REGISTRATION), claim, matches=9)
    return belief


def graphs(classes, places, error=(0.0, 0.0, 0.0)):
    """Return what two agents at one place have of things (N,2), the second one with an error of its pose."""
    positions = np.column_stack([places, np.zeros(len(places))])
    a, b = (graph_of(classes, positions, agent_id=name, sigma_m=0.1) for name in "ab")
    return a, replace(b, T_world_agent=displaced(np.eye(4), [-part for part in error]))


def most_likely(evidence):
    turn, x, y = np.unravel_index(evidence.log_likelihood.argmax(), evidence.log_likelihood.shape)
    return AXIS_M[x], AXIS_M[y], TURNS_RAD[turn]


def test_who_was_never_confirmed_is_off_as_poses_are_in_the_field():
    error = PoseBelief().error(0, EXACT)
    np.testing.assert_allclose(error.error, 0, atol=1e-9)
    sigmas = np.sqrt(np.diag(error.covariance))
    assert (sigmas > 0.7 * FIELD).all()
    assert (sigmas < FIELD).all()


def test_a_claim_that_holds_is_believed_after_some_frames_and_alone():
    assert learned(*[(0.03, -0.02, 0.0)] * 2).error(STEP_NS, EXACT).covariance.any()
    confirmed = learned(*[(0.03, -0.02, 0.0)] * 12)
    error = confirmed.error(20 * STEP_NS, EXACT)
    assert not error.error.any()
    assert not error.covariance.any()


def test_one_frame_that_contradicts_a_confirmed_sender_makes_it_doubtful_and_the_second_one_moves_it():
    good, off = [(0.0, 0.0, 0.0)] * 12, (0.6, 0.4, 0.0)
    assert not learned(*good).doubt(12 * STEP_NS).any()
    assert learned(*good, off).doubt(12 * STEP_NS)[0, 0] > 0.1
    moved = learned(*good, off, off).error(13 * STEP_NS, EXACT)
    np.testing.assert_allclose(moved.error, off, atol=0.1)


def test_without_evidence_a_known_error_becomes_that_of_the_field_again():
    belief = learned(*[(0.8, 0.0, 0.0)] * 3)
    soon, later, last = (belief.error(steps * STEP_NS, EXACT) for steps in (3, 8, 100))
    assert soon.error[0] > later.error[0] > 0.2
    assert soon.covariance[0, 0] < later.covariance[0, 0]
    np.testing.assert_allclose(last.error, 0, atol=0.05)
    np.testing.assert_allclose(
        np.diag(last.covariance), np.diag(PoseBelief().error(0, EXACT).covariance), rtol=0.1
    )


def test_errors_that_are_announced_and_drawn_anew_do_not_last():
    claim = np.diag([0.3, 0.3, np.deg2rad(0.3)]) ** 2
    rng = np.random.default_rng(0)
    belief = learned(*rng.normal(0, [0.3, 0.3, 0.005], (12, 3)), claim=claim)
    assert np.linalg.norm(belief.error(12 * STEP_NS, claim).error[:2]) < 0.1


def test_a_stamp_that_stands_still_says_nothing_new():
    belief = learned((0.5, 0.0, 0.0))
    before = belief.error(STEP_NS, EXACT)
    belief.learn_pose(PoseError(0, np.array([-0.5, 0.0, 0.0]), REGISTRATION), EXACT, matches=9)
    np.testing.assert_array_equal(before.error, belief.error(STEP_NS, EXACT).error)


def test_three_things_tell_shift_and_turn():
    error = (0.6, -0.8, np.deg2rad(1.0))
    found = shift_evidence(*graphs([POLE, POLE, CORNER], [[20, 3], [-15, 12], [4, -25]], error))
    np.testing.assert_allclose(most_likely(found), error, atol=1e-6)
    assert found.support.max() == pytest.approx(3, abs=0.1)


def test_a_single_thing_proves_more_than_one_of_a_row():
    alone = shift_evidence(*graphs([POLE], [[10, 0]], (0.6, 0.0, 0.0)))
    row = shift_evidence(*graphs([POLE] * 6, [[10 + 2 * k, 0] for k in range(6)], (0.6, 0.0, 0.0)))
    contrast = [np.ptp(one.log_likelihood) / one.support.max() for one in (alone, row)]
    assert contrast[0] > contrast[1] + 0.3


def test_things_of_different_kinds_and_empty_graphs_say_nothing():
    a, b = graphs([POLE, CORNER], [[10, 0], [0, 10]])
    corners = replace(b, classes=np.array([CORNER, POLE]))
    nothing = graph_of([], np.zeros((0, 3)))
    for own, other in ((a, corners), (a, nothing), (nothing, b)):
        assert not shift_evidence(own, other).log_likelihood.any()
