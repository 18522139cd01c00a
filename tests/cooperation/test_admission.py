from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from cosense.cooperation.admission import admit, bounded, read_features
from cosense.cooperation.admission import receive as decoded
from cosense.cooperation.gate import AdmissionSettings
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.chunks import LayerSpec, Section
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.features import encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.scene_graph.correction.pose_correction import as_sent
from cosense.sensing.detections import Source
from cosense.sensing.grid import BevGrid
from cosense.sensing.objects import ObjectClass
from tests.cooperation.networks import (
    MS,
    NO_POINTS,
    detections,
    frame,
    message,
    objects_message,
    with_nan_pose,
)

SHAPE = (32, 64)
SPECS = (LayerSpec(4, 3, 4), LayerSpec(8, 2, 2, dense=True))
GRID = BevGrid((-12.8, -6.4, -12.0, 12.8, 6.4, 5.0), 1.6)
NOW = 10_000 * MS
T_WORLD_EGO = transform_from_planar(1000.0, 2000.0, 0.5, 2.0)
T_WORLD_UNIT = transform_from_planar(1012.0, 2008.0, -2.0, 6.0)
EGO = decode(objects_message(frame("ego", T_WORLD_EGO, NOW, points=NO_POINTS), detections([], [])))
CAR = [3.0, -2.0, -4.0, 4.0, 2.0, 1.5, 0.3]
OTHER_CAR = [-7.0, 4.0, -4.0, 4.5, 1.8, 1.6, -1.2]
UNKNOWN = [np.nan, np.nan]


def boxes(found=(CAR,), velocities=(UNKNOWN,)) -> LateBoxes:
    return LateBoxes(detections(list(found), np.full(len(found), 0.5)), np.array(velocities, dtype=float))


def sent(
    told: LateBoxes | None = None,
    name="unit",
    age_ms=0,
    pose=T_WORLD_UNIT,
    cells=(),
    covariance=None,
    fingerprint=b"12345678",
) -> bytes:
    agent = frame(name, pose, NOW - age_ms * MS, points=NO_POINTS)
    if covariance is not None:
        agent = dataclasses.replace(agent, pose_covariance=covariance)
    section = Section(0, np.array(cells, np.int64), np.ones((len(cells), 3), np.int8))
    payload = encode_features(-6.0, boxes() if told is None else told, [section], SPECS, 1 << 20)
    return message(agent, PayloadKind.FEATURES, payload, fingerprint)


def receive(*messages: bytes, max_senders: int = 16):
    settings = AdmissionSettings(max_senders=max_senders)
    return admit(
        [decoded(data) for data in messages],
        EGO,
        (PayloadKind.FEATURES, PayloadKind.OBJECTS),
        lambda message, age_ms: read_features(message, age_ms, EGO, as_sent, 1.0, SPECS, SHAPE, settings),
        settings,
    )


def test_boxes_arrive_in_the_ego_frame_and_features_as_they_were_sent():
    (got,), (report,) = receive(sent(cells=[5, 9]))
    T_ego_unit = invert(T_WORLD_EGO) @ T_WORLD_UNIT
    np.testing.assert_allclose(got.T_ego_sender, T_ego_unit, atol=1e-5)
    expected = transform_points(T_ego_unit, np.array([CAR[:3]]))
    np.testing.assert_allclose(got.boxes.boxes[:, :3], expected, atol=0.03)
    assert got.boxes.sources.tolist() == [Source.LATE]
    assert got.reliability.tolist() == [1.0]
    assert got.layers[0].cells.tolist() == [5, 9]
    assert len(got.layers[1].cells) == 0
    assert (got.sender, got.use, got.is_precise, got.age_s) == ("unit", "features", True, 0.0)
    assert (report.sender, report.used_for, report.reason, report.age_ms) == ("unit", "features", "", 0.0)
    assert report.bytes == len(sent(cells=[5, 9]))


@pytest.mark.parametrize("age_ms", [0, 120, 400, -60])
def test_boxes_are_moved_to_where_they_are_by_now(age_ms):
    told = boxes([CAR, OTHER_CAR], [[6.0, -2.5], UNKNOWN])
    (got,), _ = receive(sent(told, age_ms=age_ms))
    moved = np.array([CAR[:3], OTHER_CAR[:3]])
    moved[0, :2] += np.array([6.0, -2.5]) * age_ms / 1e3
    expected = transform_points(got.T_ego_sender, moved)
    np.testing.assert_allclose(got.boxes.boxes[:, :3], expected, atol=0.03)
    # What was sent stays as it was.
    np.testing.assert_allclose(got.sent.detections.boxes[:, 0], [3.0, -7.0], atol=0.01)


def test_half_a_velocity_is_none():
    (got,), _ = receive(sent(boxes([CAR], [[8.0, np.nan]]), age_ms=400))
    still = transform_points(got.T_ego_sender, np.array([CAR[:3]]))
    np.testing.assert_allclose(got.boxes.boxes[:, :3], still, atol=0.03)
    assert not got.cell_shifts(np.arange(8 * 16), GRID).any()


def test_only_cells_at_moving_boxes_move():
    told = boxes([CAR, OTHER_CAR], [[6.0, -2.5], [0.0, 0.0]])
    (got,), _ = receive(sent(told, age_ms=100))
    cells = np.arange(8 * 16)
    shifts = got.cell_shifts(cells, GRID)
    assert shifts.shape == (128, 2)
    offset = GRID.centres().reshape(-1, 2) - CAR[:2]
    along = offset @ (np.cos(0.3), np.sin(0.3))
    across = offset @ (-np.sin(0.3), np.cos(0.3))
    near = (np.abs(along) <= 2.0 + 0.8) & (np.abs(across) <= 1.0 + 0.8)
    assert 4 <= near.sum() <= 12
    np.testing.assert_allclose(shifts[near], np.tile([0.6, -0.25], (near.sum(), 1)), atol=1e-9)
    assert not shifts[~near].any()
    # In whichever order the cells are asked for.
    some = np.flatnonzero(near)[::-1]
    np.testing.assert_array_equal(got.cell_shifts(some, GRID), shifts[some])
    assert got.cell_shifts(cells[:0], GRID).shape == (0, 2)


def test_what_was_measured_just_now_has_not_moved():
    (got,), _ = receive(sent(boxes([CAR], [[6.0, -2.5]])))
    assert not got.cell_shifts(np.arange(128), GRID).any()


def test_the_egos_own_body_is_left_out_also_of_the_reliabilities():
    # The ego as the unit sees it, and a car beside it.
    T_unit_ego = invert(T_WORLD_UNIT) @ T_WORLD_EGO
    body = [*transform_points(T_unit_ego, np.array([[0.2, 0.1, -1.0]]))[0], 4.6, 1.9, 1.6, 2.5]
    (got,), _ = receive(sent(boxes([body, CAR], [UNKNOWN] * 2)))
    assert len(got.boxes) == len(got.reliability) == 1
    np.testing.assert_allclose(
        got.boxes.boxes[0, :3], transform_points(got.T_ego_sender, np.array([CAR[:3]]))[0], atol=0.03
    )
    assert len(got.sent) == 2


def test_objects_of_another_stack_give_boxes():
    agent = frame("rsu", T_WORLD_UNIT, NOW, points=NO_POINTS)
    for fingerprint in (b"12345678", b"other!!!"):
        (got,), (report,) = receive(objects_message(agent, detections([CAR], [0.7]), fingerprint))
        assert (got.use, got.is_precise, got.layers) == ("boxes", True, ())
        np.testing.assert_allclose(got.boxes.scores, [0.7], atol=1e-4)
        assert (report.used_for, report.reason) == ("boxes", "carries no features")


def test_features_of_another_model_are_not_even_read():
    (got,), (report,) = receive(sent(cells=[5], fingerprint=b"other!!!"))
    assert (got.use, got.is_precise, got.layers, len(got.boxes)) == ("boxes", True, (), 1)
    assert report.used_for == "boxes"
    assert "features are of model" in report.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"age_ms": 200}, "features are 200 ms old, the limit is 150"),
        ({"covariance": np.eye(3) * 0.5}, "poses are uncertain by 15.02 m"),
        (
            {"covariance": np.diag([1.0, 1.0, 0.0])},
            "poses are uncertain by 1.00 m, the limit for features is 0.2",
        ),
    ],
)
def test_what_is_old_or_uncertain_is_less_or_nothing(changes, reason):
    got, (report,) = receive(sent(cells=[5], **changes))
    assert reason in report.reason
    if report.used_for == "nothing":
        assert got == []
    else:
        assert (got[0].use, got[0].is_precise, got[0].layers) == ("boxes", False, ())
        assert got[0].reliability[0] <= 1.0


def test_a_second_message_of_a_sender_is_not_used_but_a_good_one_after_a_broken_one_is():
    got, reports = receive(sent(), sent(cells=[5]), sent(name="ego"))
    assert len(got) == 1
    assert [report.used_for for report in reports] == ["features", "nothing", "nothing"]
    # One reason for each cause.
    assert "has sent another message" in reports[1].reason
    assert "the ego" not in reports[1].reason
    assert "is the ego itself" in reports[2].reason
    assert "another message" not in reports[2].reason
    agent = frame("unit", T_WORLD_UNIT, NOW, points=NO_POINTS)
    got, reports = receive(message(agent, PayloadKind.FEATURES, b"\x01"), sent())
    assert [report.used_for for report in reports] == ["nothing", "features"]
    assert reports[0].reason == "features have 1 byte, expected at least 4"


def test_a_flood_of_senders_is_cut():
    flood = [sent(name=f"unit{index}") for index in range(20)]
    got, reports = receive(*flood)
    assert [other.sender for other in got] == sorted(f"unit{index}" for index in range(16))
    assert [report.used_for for report in reports] == ["features"] * 16 + ["nothing"] * 4
    assert reports[-1].reason == "more than 16 senders"
    assert len(receive(*flood, max_senders=3)[0]) == 3


@pytest.mark.parametrize(
    ("data", "sender", "reason"),
    [
        (b"", "unknown", "message has 0 bytes"),
        (b"garbage" * 40, "unknown", "magic is"),
        (sent()[:-1], "unknown", "CRC"),
        (with_nan_pose(sent()), "unknown", "translation .* is not finite"),
        (
            message(frame("unit", T_WORLD_UNIT, NOW), PayloadKind.POINTS, b""),
            "unit",
            "carries POINTS, this fusion uses FEATURES and OBJECTS",
        ),
        (
            message(frame("unit", T_WORLD_UNIT, NOW), PayloadKind.DEMAND, b""),
            "unit",
            "carries DEMAND, this fusion uses",
        ),
        (sent(age_ms=-101), "unit", "101 ms ahead, the limit is 100"),
        (sent(age_ms=1001), "unit", "1001 ms old, the limit is 1000"),
        (sent(age_ms=-(1 << 42)), "unit", "ms ahead"),
    ],
)
def test_what_cannot_be_used_is_one_report(data, sender, reason):
    got, (report,) = receive(data)
    assert got == []
    assert (report.sender, report.used_for, report.bytes) == (sender, "nothing", len(data))
    assert re.search(reason, report.reason)


def test_a_cell_outside_of_the_grid_of_our_own_model_is_a_fault():
    got, (report,) = receive(sent(cells=[128]))
    assert got == []
    assert "has a cell at 128, the layer has 128" in report.reason


def test_boxes_that_nothing_can_be_are_left_out_and_counted():
    lorry, giant = [8.0, 0.0, -1.0, 18.0, 2.6, 4.0, 0.0], [20.0, 0.0, -1.0, 20.0, 6.0, 1.5, 0.0]
    told = boxes([CAR, lorry, giant], [UNKNOWN] * 3)
    (got,), (report,) = receive(sent(told))
    assert len(got.boxes) == 2
    assert (report.used_for, report.reason) == ("features", "1 box of impossible size or speed left out")
    runner = dataclasses.replace(told.detections[:1], labels=np.array([int(ObjectClass.PEDESTRIAN)]))
    person = dataclasses.replace(runner, boxes=np.array([[3.0, 4.0, -1.0, 0.6, 0.6, 1.7, 0.0]]))
    (got,), _ = receive(sent(LateBoxes(person, np.array([[20.0, 0.0]]))))
    assert len(got.boxes) == 0


def test_of_a_flood_of_boxes_the_best_are_used():
    places = np.column_stack([np.linspace(5, 200, 400), np.full(400, 30.0)])
    found = [[x, y, *CAR[2:]] for x, y in places]
    flood = dataclasses.replace(
        detections(found, np.linspace(0.1, 0.9, 400)), sources=np.zeros(400, np.uint8)
    )
    told = LateBoxes(flood, np.full((400, 2), np.nan))
    got, reports = receive(*(sent(told, name=f"{number}") for number in range(5)))
    assert [len(other.boxes) for other in got] == [256] * 5
    assert reports[0].reason == "144 boxes beyond the best 256 left out"
    assert got[0].boxes.scores.min() > 0.35
    assert sum(len(other.boxes) for other in bounded(got)) <= 1024
    assert bounded(got[:2]) == got[:2]
