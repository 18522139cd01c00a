from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, OwnView
from cosense.cooperation.outcome import FusionResult
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from_planar, transform_from_slopes
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode, encode
from cosense.messages.objects import encode_objects
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import ObjectClass

MS = 1_000_000
T_WORLD_EGO = transform_from_planar(1000.0, 2000.0, 0.5, 2.0)
T_WORLD_UNIT = transform_from_planar(1030.0, 1990.0, -2.0, 6.0)
CAR = [10.0, 3.0, -1.0, 4.0, 2.0, 1.5, 0.3]
FAR_CAR = [40.0, -5.0, -1.0, 4.5, 1.8, 1.6, -1.2]


def detections(boxes, scores, labels=None) -> Detections:
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 7)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.asarray(labels, np.int64)
    return Detections(boxes, np.asarray(scores, np.float32), labels, np.zeros(len(boxes), np.uint8))


def message(
    sender, T_world_agent, found: Detections, stamp_ns=0, kind=PayloadKind.OBJECTS, slopes=(0.0, 0.0)
) -> bytes:
    payload = encode_objects(found, slopes)
    return encode(Message(kind, sender, 0, stamp_ns, T_world_agent, np.zeros((3, 3)), bytes(8), payload))


def from_unit(boxes_in_ego, scores, labels=None, sender="unit", stamp_ns=0) -> bytes:
    """Return what the unit sends about boxes that are given in the ego frame."""
    local = transform_boxes(invert(T_WORLD_UNIT) @ T_WORLD_EGO, boxes_in_ego)
    return message(sender, T_WORLD_UNIT, detections(local, scores, labels), stamp_ns)


def fuse_late(own: bytes, messages: list[bytes], *, own_eyes: bool = False) -> FusionResult:
    ego = Ego(None, "late", own_eyes=own_eyes)
    return ego.fuse(OwnView(decode(own)), [receive(data) for data in messages]).result


EGO = message("ego", T_WORLD_EGO, detections([CAR], [0.8]))


def test_boxes_come_back_in_the_frame_of_a_leaning_sensor():
    """Messages know levelled frames alone; the ego's own one says how its sensor lies in it."""
    slopes = (0.08, -0.06)
    leaning = message("ego", T_WORLD_EGO, detections([CAR], [0.8]), slopes=slopes)
    found = fuse_late(leaning, [from_unit([FAR_CAR], [0.6])]).detections
    level = fuse_late(EGO, [from_unit([FAR_CAR], [0.6])]).detections
    expected = transform_boxes(transform_from_slopes(*slopes), level.boxes)
    np.testing.assert_allclose(found.boxes, expected, atol=1e-9)
    # The road below the far car is higher there by what the ground rises.
    assert found.boxes[1, 2] - level.boxes[1, 2] == pytest.approx(np.dot(slopes, level.boxes[1, :2]), abs=0.1)


def test_boxes_of_others_arrive_in_the_ego_frame():
    result = fuse_late(EGO, [from_unit([FAR_CAR], [0.6])])
    np.testing.assert_allclose(result.detections.boxes, [CAR, FAR_CAR], atol=0.01)
    assert result.detections.sources.tolist() == [Source.EGO, Source.LATE]
    np.testing.assert_allclose(result.detections.scores, [0.8, 0.6], atol=1e-4)
    (report,) = result.peers
    assert (report.sender, report.used_for, report.reason) == ("unit", "boxes", "")
    assert report.bytes == 104 + 6 + 17


def test_a_box_counts_as_much_as_it_is_likely_to_be_where_it_says():
    old = from_unit([[*FAR_CAR[:3], 4.0, *FAR_CAR[4:]]], [0.6], stamp_ns=-150 * MS)
    result = fuse_late(EGO, [old])
    # Vehicles whose speed is not known move at 6 m/s as a rule, along an axis of 4 m here.
    exact = 2 * norm.cdf(4.0 * (1 - 1.4 / 1.7) / (6.0 * 0.15)) - 1
    assert result.detections.scores[1] == pytest.approx(0.6 * exact / 0.7, abs=0.6 / 0.7 / 24)


def test_what_the_ego_cannot_check_is_not_confirmed_and_who_contradicts_it_is_doubted():
    result = fuse_late(EGO, [from_unit([FAR_CAR], [0.5])], own_eyes=True)
    assert result.detections.sources.tolist() == [Source.EGO, Source.UNCONFIRMED]
    assert result.peers[0].reason == ""
    blind = message("ego", T_WORLD_EGO, detections([], []))
    result = fuse_late(blind, [from_unit([FAR_CAR], [0.5])], own_eyes=True)
    assert result.detections.sources.tolist() == [Source.UNCONFIRMED]
    cars = [CAR, FAR_CAR, [CAR[0], CAR[1] + 20.0, *CAR[2:]]]
    seen = message("ego", T_WORLD_EGO, detections(cars, [0.8, 0.75, 0.7]))
    lies = [[*box[:6], box[6] + np.pi / 2] for box in cars]
    result = fuse_late(seen, [from_unit(lies, [0.9] * 3)], own_eyes=True)
    np.testing.assert_allclose(result.detections.boxes, cars, atol=0.01)
    (report,) = result.peers
    assert report.used_for == "boxes"
    assert report.reason.startswith("the ego sees otherwise: 0 boxes in free space, 2 unlike its own")
    assert report.verdict == "unknown", "one frame is no proof"


def test_who_goes_on_lying_is_refused_and_that_is_an_entry_of_its_own():
    cars = [CAR, FAR_CAR, [CAR[0], CAR[1] + 20.0, *CAR[2:]]]
    ego = Ego(None, "late")
    found = []
    for number in range(3):
        own = message("ego", T_WORLD_EGO, detections(cars, [0.9, 0.9, 0.9]), number * 100 * MS)
        lies = [[*box[:3], 1.6 * box[3], 1.6 * box[4], *box[5:]] for box in cars]
        sent = from_unit(lies, [0.9] * 3, stamp_ns=number * 100 * MS)
        found.append(ego.fuse(OwnView(decode(own)), [receive(sent)]).result)
    assert [result.peers[0].used_for for result in found] == ["boxes", "nothing", "nothing"]
    assert [len(result.misbehaviour) for result in found] == [0, 1, 0]
    (report,) = found[1].misbehaviour
    assert (report.sender, report.before, report.verdict) == ("unit", "unknown", "refused")
    assert report.evidence["likeness"] == pytest.approx(0.9 * 3 + 3)


@pytest.mark.parametrize(("score", "source"), [(0.5, Source.EGO), (0.9, Source.LATE)])
def test_one_object_seen_by_two_is_reported_once_by_who_sees_it_better(score, source):
    shifted = [CAR[0] + 0.5, CAR[1] - 0.4, *CAR[2:]]
    result = fuse_late(EGO, [from_unit([shifted], [score])])
    assert result.detections.sources.tolist() == [source]


def test_a_van_to_one_is_a_truck_to_the_other_but_a_pedestrian_beside_it_stays():
    labels = [ObjectClass.TRUCK, ObjectClass.PEDESTRIAN]
    beside = [CAR[0], CAR[1], -1.0, 0.6, 0.6, 1.7, 0.0]
    result = fuse_late(EGO, [from_unit([CAR, beside], [0.7, 0.6], labels)])
    assert result.detections.labels.tolist() == [ObjectClass.CAR, ObjectClass.PEDESTRIAN]


def test_the_ego_is_no_obstacle_to_itself_but_a_car_below_its_mast_is():
    body = [0.5, 0.1, -1.0, 4.6, 1.9, 1.6, 0.1]
    below = [0.5, 0.1, -5.0, 4.6, 1.9, 1.6, 0.1]
    result = fuse_late(EGO, [from_unit([body], [0.9])])
    assert len(result.detections) == 1
    result = fuse_late(EGO, [from_unit([below], [0.9])])
    assert len(result.detections) == 2


def test_the_roof_that_the_ego_sees_of_itself_is_no_obstacle():
    roof = [0.3, 0.0, -0.8, 4.6, 1.9, 1.6, 0.0]
    seen = detections([roof, CAR], [0.9, 0.8])
    result = fuse_late(message("ego", T_WORLD_EGO, seen), [])
    np.testing.assert_allclose(result.detections.boxes, [CAR], atol=0.006)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (from_unit([FAR_CAR], [0.9], stamp_ns=-151 * MS), "151 ms old, the limit is 150"),
        (from_unit([FAR_CAR], [0.9], stamp_ns=101 * MS), "101 ms ahead, the limit is 100"),
        (from_unit([FAR_CAR], [0.9], sender="ego"), "the ego itself"),
        (message("unit", T_WORLD_UNIT, Detections.empty(), kind=PayloadKind.POINTS), "carries POINTS"),
        (from_unit([FAR_CAR], [0.9])[:-1], "CRC"),
        (b"", "0 bytes"),
    ],
)
def test_what_cannot_be_used_is_reported_and_changes_nothing(data, reason):
    result = fuse_late(EGO, [data, from_unit([FAR_CAR], [0.6], sender="other")])
    assert result.detections.sources.tolist() == [Source.EGO, Source.LATE]
    assert result.detections.scores[1] == pytest.approx(0.6, abs=1e-4)
    assert [report.used_for for report in result.peers] == ["nothing", "boxes"]
    assert reason in result.peers[0].reason
    assert result.peers[0].bytes == len(data)
    # What cannot be read has no kind.
    is_broken = "CRC" in reason or "0 bytes" in reason
    carried = "" if is_broken else "POINTS" if "POINTS" in reason else "OBJECTS"
    assert [report.kind for report in result.peers] == [carried, "OBJECTS"]


def test_ages_at_the_limit_are_used():
    old, ahead = (
        from_unit([FAR_CAR], [0.6], stamp_ns=-150 * MS),
        from_unit([CAR], [0.6], sender="b", stamp_ns=100 * MS),
    )
    assert [report.used_for for report in fuse_late(EGO, [old, ahead]).peers] == ["boxes"] * 2


def test_a_second_message_of_a_sender_is_not_used_but_a_good_one_after_a_broken_one_is():
    good, other = from_unit([FAR_CAR], [0.6]), from_unit([[20.0, *FAR_CAR[1:]]], [0.6])
    reports = fuse_late(EGO, [good, other]).peers
    assert [report.used_for for report in reports] == ["boxes", "nothing"]
    assert "another message" in reports[1].reason
    broken = encode(
        Message(PayloadKind.OBJECTS, "unit", 0, 0, T_WORLD_UNIT, np.zeros((3, 3)), bytes(8), b"\x01")
    )
    assert [report.used_for for report in fuse_late(EGO, [broken, good]).peers] == [
        "nothing",
        "boxes",
    ]


def test_a_flood_of_senders_is_cut():
    flood = [from_unit([FAR_CAR], [0.6], sender=f"unit{i}") for i in range(20)]
    reports = fuse_late(EGO, flood).peers
    assert [report.used_for for report in reports] == ["boxes"] * 16 + ["nothing"] * 4
    assert reports[-1].reason == "more than 16 senders"


def test_a_broken_message_of_the_ego_itself_is_an_error():
    with pytest.raises(MessageError, match="CRC"):
        fuse_late(EGO[:-4] + b"\x00" * 4, [])
    points = message("ego", T_WORLD_EGO, Detections.empty(), kind=PayloadKind.POINTS)
    with pytest.raises(MessageError, match="carries POINTS, expected OBJECTS"):
        fuse_late(points, [])


@given(st.lists(st.binary(max_size=200), max_size=5), st.data())
def test_bytes_of_others_never_raise(garbage, data):
    mutated = bytearray(from_unit([FAR_CAR], [0.6]))
    mutated[data.draw(st.integers(0, len(mutated) - 1))] ^= data.draw(st.integers(1, 255))
    messages = [*garbage, bytes(mutated)]
    result = fuse_late(EGO, messages)
    assert len(result.detections) == 1
    assert [report.used_for for report in result.peers] == ["nothing"] * len(messages)


@given(st.permutations(range(4)))
def test_the_order_of_the_messages_does_not_matter(order):
    boxes = [[10.0 + 8 * i, 12.0, -1.0, 4.0, 2.0, 1.5, 0.1 * i] for i in range(4)]
    messages = [from_unit(boxes[: i + 1], [0.5 - 0.1 * i] * (i + 1), sender=f"u{i}") for i in range(4)]
    expected = fuse_late(EGO, messages).detections
    actual = fuse_late(EGO, [messages[i] for i in order]).detections
    np.testing.assert_allclose(actual.boxes, expected.boxes, atol=0.011)
    np.testing.assert_array_equal(actual.scores, expected.scores)
