"""Lies are well-formed messages that say something else than the honest ones."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.evaluation.attacks import ATTACKS, AttackName, Liars
from cosense.messages.envelope import Message, PayloadKind, decode, encode
from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import decode_objects, encode_objects
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
    *_, last = [decode(liars.spoiled("liar", data)) for data in messages]
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
    assert Liars(attack, ["liar"], [0]).spoiled("honest", sent(10.0)) == sent(10.0)
