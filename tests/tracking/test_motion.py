from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from_planar
from cosense.sensing.objects import ObjectClass
from cosense.tracking.motion import MotionTracker
from tests.cooperation.networks import MS, NO_POINTS, detections, frame

STEP = 100 * MS


def seen(tracker: MotionTracker, pose, stamp_ns: int, places, yaws=None, labels=None) -> np.ndarray:
    """Return the velocities of objects at these places of the world, as an agent at `pose` finds them."""
    boxes = np.tile([0.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.0], (len(places), 1))
    boxes[:, :2] = np.reshape(places, (-1, 2))
    boxes[:, 6] = 0.0 if yaws is None else yaws
    found = detections(transform_boxes(invert(pose), boxes), np.full(len(places), 0.5), labels)
    return tracker.velocities(frame("unit", pose, stamp_ns, points=NO_POINTS), found)


def run(pose_at, places_at, steps=6, **options) -> np.ndarray:
    tracker = MotionTracker()
    for step in range(steps):
        result = seen(tracker, pose_at(step / 10), step * STEP, places_at(step / 10), **options)
    return result


def still(_seconds):
    return transform_from_planar(3.0, 2.0, 0.4)


def test_at_first_sight_nothing_is_known():
    assert np.isnan(run(still, lambda t: [[5.0, 0.0]], steps=1)).all()
    assert run(still, lambda t: [], steps=2).shape == (0, 2)


def test_a_constant_velocity_is_found_in_the_frame_of_an_agent_that_drives_and_turns():
    def pose(t):
        return transform_from_planar(1000 + 12 * t, -500 + 3 * t, 0.3 + 0.8 * t)

    velocity = np.array([6.0, 8.0])
    yaw = np.arctan2(8.0, 6.0)
    found = run(pose, lambda t: [[1020, -510] + velocity * t], yaws=[yaw])
    turned = 0.3 + 0.8 * 0.5
    expected = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]]) @ velocity
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.parametrize("steps", [2, 3, 10])
def test_two_sights_are_enough_and_many_change_nothing(steps):
    found = run(lambda t: np.eye(4), lambda t: [[7.0 * t, 0.0]], steps=steps)
    np.testing.assert_allclose(found, [[7.0, 0.0]], atol=1e-9)


def test_a_position_that_jumps_is_no_motion_where_there_is_odometry():
    tracker, rng = MotionTracker(), np.random.default_rng(0)
    for step in range(6):
        place = [[20.0 + 0.8 * step, 3.0, 0.0, 4.0, 2.0, 1.5, 0.0]]
        found = detections(transform_boxes(invert(still(0)), np.array(place)), np.full(1, 0.5))
        jump = transform_from_planar(*rng.normal(0, 1, 2), 0.0)
        measured = frame("unit", jump @ still(0), step * STEP, points=NO_POINTS)
        velocity = tracker.velocities(dataclasses.replace(measured, T_odom_agent=still(0)), found)
    np.testing.assert_allclose(velocity @ still(0)[:2, :2].T, [[8.0, 0.0]], atol=1e-6)


def test_what_stands_has_no_velocity_whatever_the_agent_does():
    def pose(t):
        return transform_from_planar(10 * t, 0.0, -1.5 * t)

    rng = np.random.default_rng(0)
    assert run(pose, lambda t: [rng.normal([30.0, 4.0], 0.05)]).tolist() == [[0.0, 0.0]]


def test_what_is_slower_than_the_noise_stands():
    assert run(still, lambda t: [[0.9 * t, 0.0]]).tolist() == [[0.0, 0.0]]
    found = run(still, lambda t: [[1.1 * t, 0.0]])
    assert np.linalg.norm(found) == pytest.approx(1.1)


def test_two_that_meet_and_pass_are_not_exchanged():
    places = lambda t: [[10 * t - 2.5, 0.3], [2.5 - 10 * t, -0.3]]  # noqa: E731
    found = run(lambda t: np.eye(4), places, steps=6, yaws=[0.0, np.pi])
    np.testing.assert_allclose(found, [[10, 0], [-10, 0]], atol=1e-9)


def test_the_order_of_the_boxes_does_not_matter():
    tracker = MotionTracker()
    seen(tracker, np.eye(4), 0, [[0, 0], [20, 0]])
    found = seen(tracker, np.eye(4), STEP, [[20.5, 0], [1.0, 0]])
    np.testing.assert_allclose(found, [[5, 0], [10, 0]], atol=1e-9)


def test_of_two_near_one_that_was_there_the_nearer_one_is_it():
    for order in ([0.5, 1.0], [1.0, 0.5]):
        tracker = MotionTracker()
        seen(tracker, np.eye(4), 0, [[0, 0]])
        found = seen(tracker, np.eye(4), STEP, [[x, 0] for x in order])
        np.testing.assert_allclose(found[order.index(0.5)], [5, 0], atol=1e-9)
        assert np.isnan(found[order.index(1.0)]).all()


def test_a_pedestrian_does_not_become_a_car():
    tracker = MotionTracker()
    seen(tracker, np.eye(4), 0, [[0, 0]], labels=[ObjectClass.PEDESTRIAN])
    assert np.isnan(seen(tracker, np.eye(4), STEP, [[0.2, 0]], labels=[ObjectClass.CAR])).all()


def test_a_jump_is_another_object():
    tracker = MotionTracker()
    seen(tracker, np.eye(4), 0, [[0, 0]])
    assert np.isnan(seen(tracker, np.eye(4), STEP, [[2.1, 0]])).all()


@pytest.mark.parametrize(
    ("stamp_ns", "is_known"), [(5 * STEP, True), (5 * STEP + 1, False), (0, False), (-STEP, False)]
)
def test_a_long_gap_or_a_step_back_in_time_forgets(stamp_ns, is_known):
    tracker = MotionTracker()
    seen(tracker, np.eye(4), 0, [[0, 0]])
    assert bool(np.isfinite(seen(tracker, np.eye(4), stamp_ns, [[1.0, 0]])).all()) == is_known


def test_a_vehicle_moves_along_its_axis_and_a_pedestrian_as_it_likes():
    def places(t):
        return [[3.0 * t, 4.0 * t]]

    yaw = 0.2
    axis = np.array([np.cos(yaw), np.sin(yaw)])
    vehicle = run(lambda t: np.eye(4), places, yaws=[yaw], labels=[ObjectClass.TRUCK])
    np.testing.assert_allclose(vehicle, [axis * (np.array([3.0, 4.0]) @ axis)], atol=1e-9)
    walker = run(lambda t: np.eye(4), places, yaws=[yaw], labels=[ObjectClass.PEDESTRIAN])
    np.testing.assert_allclose(walker, [[3.0, 4.0]], atol=1e-9)


def test_an_object_keeps_its_id_and_a_new_one_gets_another():
    tracker = MotionTracker()
    assert tracker.track_ids.tolist() == []
    seen(tracker, still(0), 0, [[5.0, 0.0], [20.0, 3.0]])
    assert tracker.track_ids.tolist() == [0, 1]
    seen(tracker, still(0), STEP, [[20.2, 3.0], [40.0, 0.0], [5.0, 0.0]])
    assert tracker.track_ids.tolist() == [1, 2, 0]
    seen(tracker, still(0), 20 * STEP, [[5.0, 0.0]])
    assert tracker.track_ids.tolist() == [3]
