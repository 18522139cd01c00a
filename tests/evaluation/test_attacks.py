"""Lies are well-formed messages that say something else than the honest ones."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.evaluation.attacks import ATTACKS, AttackName, Liars
from cosense.evaluation.consensus import Consensus
from cosense.messages.envelope import Message, PayloadKind, decode, encode
from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import decode_objects, encode_objects
from cosense.methods.base import Admitted
from cosense.sensing.detections import Detections

CAR = [10.0, 2.0, -1.0, 4.0, 2.0, 1.5, 0.2]


def sent(x_m: float, kind: PayloadKind = PayloadKind.OBJECTS) -> bytes:
    box = np.array([[x_m, *CAR[1:]]])
    cars = Detections(box, np.full(1, 0.5, np.float32), np.zeros(1, np.int64), np.zeros(1, np.uint8))
    if kind == PayloadKind.OBJECTS:
        payload = encode_objects(cars, (0.01, 0.0))
    else:
        payload = encode_features(-2.0, LateBoxes(cars, np.array([[3.0, 0.0]])), [], [], 1000)
    return encode(Message(kind, "liar", 7, 0, np.eye(4), np.zeros((3, 3)), bytes(8), payload))


def lie(attack: AttackName, *messages: bytes) -> Detections:
    """Return what the last of the messages says when it is a lie."""
    liars = Liars(attack, ["liar"], [0])
    *_, last = [decode(liars.spoiled("liar", data)[0]) for data in messages]
    if last.kind == PayloadKind.OBJECTS:
        return decode_objects(last.payload)
    return decode_features(last.payload).boxes.detections


@pytest.mark.parametrize("kind", [PayloadKind.OBJECTS, PayloadKind.FEATURES])
@pytest.mark.parametrize(
    ("attack", "change"),
    [
        ("turned", [0, 0, 0, 0, 0, 0, np.pi / 2]),
        ("fat", [0, 0, 0, 2.4, 1.2, 0, 0]),
        ("shift", [1, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_boxes_are_changed_and_claim_to_be_certain(kind, attack: AttackName, change: list[float]) -> None:
    found = lie(attack, sent(CAR[0], kind))
    np.testing.assert_allclose(found.boxes, [np.add(CAR, change)], atol=0.08)
    assert found.scores.tolist() == [1.0]


@pytest.mark.parametrize("kind", [PayloadKind.OBJECTS, PayloadKind.FEATURES])
def test_ghosts_come_with_the_honest_boxes_and_stand_still(kind) -> None:
    before, after = (lie("ghosts", *[sent(CAR[0], kind)] * count) for count in (1, 3))
    assert len(before) == 21
    assert before.scores.min() == 1.0
    np.testing.assert_array_equal(before.boxes, after.boxes)


def test_a_replayed_message_says_what_the_first_one_said() -> None:
    assert lie("replay", sent(10.0), sent(12.0)).boxes[0, 0] == pytest.approx(10.0)


@pytest.mark.parametrize("attack", ATTACKS)
def test_who_is_honest_sends_what_it_would_have_sent(attack: AttackName) -> None:
    assert Liars(attack, ["liar"], [0]).spoiled("honest", sent(10.0)) == [sent(10.0)]


def test_who_pretends_to_be_elsewhere_is_sure_of_it() -> None:
    (data,) = Liars("pose", ["liar"], [0]).spoiled("liar", sent(10.0))
    message = decode(data)
    np.testing.assert_allclose(message.T_world_agent[:2, 3], [2.0, 0.0])
    assert np.rad2deg(np.arctan2(*message.T_world_agent[1::-1, 0])) == pytest.approx(2.0)
    assert np.sqrt(message.pose_covariance[0, 0]) == pytest.approx(0.01)


@pytest.mark.parametrize("kind", [PayloadKind.OBJECTS, PayloadKind.FEATURES])
def test_made_up_names_say_the_same_of_the_world_from_elsewhere(kind) -> None:
    liars = Liars("sybil", ["liar"], [0])
    own, *others = [decode(data) for data in liars.spoiled("liar", sent(10.0, kind))]
    assert [message.sender for message in others] == ["liar-0", "liar-1", "liar-2"]
    seen = [
        (message.T_world_agent @ np.append(box[:3], 1))[:2]
        for message in (own, *others)
        for box in (
            decode_objects(message.payload)
            if kind == PayloadKind.OBJECTS
            else decode_features(message.payload).boxes.detections
        ).boxes
    ]
    assert len(seen) == 4 * 21
    for place in seen[:21]:
        assert np.count_nonzero(np.linalg.norm(np.array(seen) - place, axis=1) < 0.1) >= 4
    assert len(liars.ghosts("liar")) == 20
    assert len(liars.ghosts("honest")) == 0


def test_a_flood_is_of_messages_that_can_be_read() -> None:
    own, *others = Liars("flood", ["liar"], [0]).spoiled("liar", sent(10.0))
    assert decode(own).sender == "liar"
    assert len(others) == 16
    assert {len(decode_objects(decode(data).payload)) for data in others} == {250}


def test_who_takes_the_name_of_another_speaks_as_that_one_and_who_omits_names_the_farthest_three() -> None:
    liars = Liars("spoof", ["liar"], [0], ["honest", "other"])
    assert decode(liars.spoiled("liar", sent(10.0))[0]).sender == "honest"
    assert (liars.is_honest("honest"), liars.is_honest("liar"), liars.names) == (True, False, ["liar"])
    assert len(lie("removal", sent(10.0))) == 1


def test_votes_of_agents_are_counted_and_draws_that_agree_with_the_ego_are_fused() -> None:
    ego = decode_objects(decode(sent(10.0)).payload)
    truth, lies = claims("truth", 10.0, 30.0), claims("lies", *range(50, 250, 10))
    (kept, refused) = Consensus("majority", 0)([truth, lies], ego)
    assert kept.boxes.boxes[:, 0].round(1).tolist() == [10.0]
    assert len(refused.boxes) == 0
    assert Consensus("robosac", 0)([truth], ego) == [truth]
    assert Consensus("robosac", 0)([lies], ego) == []
    assert Consensus("robosac", 0)([], ego) == []


def claims(sender: str, *x_m: float) -> Admitted:
    boxes = np.array([[x, *CAR[1:]] for x in x_m])
    count = len(boxes)
    found = Detections(boxes, np.ones(count, np.float32), np.zeros(count, np.int64), np.ones(count, np.uint8))
    none = np.zeros(count), np.zeros((count, 2))
    return Admitted(sender, "boxes", True, np.eye(4), 0.0, (), LateBoxes.empty(), found, *none)
