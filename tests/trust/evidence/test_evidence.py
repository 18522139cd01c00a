"""What speaks against a sender and for it, and what that adds up to over the frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.boxes import Boxes
from cosense.trust.evidence import copies, free_space, likeness, omissions, positions, repeats
from cosense.trust.evidence.base import Before, Finding, Seen, SequentialTest

NOTHING = Before()


def boxes(*places: tuple[float, float]) -> Boxes:
    return np.array([[x, y, -1.0, 4.5, 1.9, 1.6, 0.0] for x, y in places]).reshape(-1, 7)


def seen(claims: Boxes, senders: int = 1, number: list[int] | None = None, **changes) -> Seen:
    """Return what one frame shows: claims where the ego sees nothing, of sender 0 if nothing else is said."""
    count = len(claims)
    usual = Seen(
        senders=[f"unit{index}" for index in range(senders)],
        places=np.array([[30.0 + 20 * index, 0.0] for index in range(senders)]).reshape(-1, 2),
        contents=[(claims.tobytes() + bytes([index]), 0.0) for index in range(senders)],
        own_content=claims.tobytes(),
        boxes=claims,
        number=np.array(number if number is not None else [0] * count, dtype=np.int64),
        refuted=np.zeros(count, dtype=bool),
        own_scores=np.zeros(count),
        agrees=np.zeros(count, dtype=bool),
        strain=np.zeros((count, 2)),
        sure=boxes(),
        displaced=np.zeros(count, dtype=bool),
    )
    return replace(usual, **changes)


THREE = boxes((10, 5), (20, 5), (30, 5))
LIES = seen(THREE, refuted=np.ones(3, dtype=bool))
TRUTH = seen(THREE, own_scores=np.full(3, 0.9), agrees=np.ones(3, dtype=bool))


def test_boxes_in_free_space_speak_against_their_sender_unless_they_are_beside_a_real_one() -> None:
    assert free_space.evidence(LIES, NOTHING) == pytest.approx([2 * np.log(0.4 / 0.03)])
    assert free_space.evidence(replace(LIES, displaced=LIES.refuted), NOTHING) == pytest.approx([0.0])
    assert free_space.evidence(TRUTH, NOTHING) == pytest.approx([2.7 * np.log(0.6 / 0.97)])


def test_boxes_unlike_the_egos_count_as_far_as_the_ego_is_sure() -> None:
    unlike = seen(THREE, own_scores=np.array([0.9, 0.5, 0.0]))
    assert likeness.evidence(unlike, NOTHING) == pytest.approx([0.4 * np.log(0.5 / 0.03)])


def test_boxes_that_are_off_by_more_than_was_to_be_expected_speak_against_their_sender() -> None:
    usual = positions.evidence(replace(TRUTH, strain=np.ones((3, 2))), NOTHING)
    assert usual == pytest.approx([2.7 * (7 / 8 - np.log(8))])
    assert positions.evidence(replace(TRUTH, strain=np.full((3, 2), 100.0)), NOTHING) == pytest.approx([10.8])
    # Expected are sums of squares of two normal deviates: a chi-square of two degrees of freedom.
    drawn = np.random.default_rng(0).chisquare(1, (1000, 3, 2))
    usual = [positions.evidence(replace(TRUTH, strain=each), NOTHING)[0] for each in drawn]
    assert np.mean(np.array(usual) < 0) > 0.9


def test_what_a_sender_has_in_view_and_does_not_name_speaks_against_it() -> None:
    """The sender is at (30, 0): it names a car 10 m away and one 30 m away, and there is one in between."""
    claims, sure = boxes((40, 0), (60, 0)), boxes((50, 0))
    missed = omissions.evidence(seen(claims, sure=sure), NOTHING)
    assert missed == pytest.approx([np.log(0.9 / 0.3)])
    named = omissions.evidence(seen(np.concatenate([claims, sure]), sure=sure), NOTHING)
    assert named == pytest.approx([np.log(0.1 / 0.7)])
    # Below a mast, behind everything, or in another direction nobody has to see anything.
    for hidden in (boxes((34, 0)), boxes((65, 0)), boxes((30, 15))):
        assert omissions.evidence(seen(claims, sure=hidden), NOTHING) == pytest.approx([0.0])


def test_who_says_the_same_as_somebody_that_is_better_known_has_copied_it() -> None:
    both = seen(np.concatenate([THREE, THREE + 0.01]), 2, [0, 0, 0, 1, 1, 1])
    assert copies.are_copies(both).tolist() == [[False, True], [True, False]]
    assert copies.evidence(both, NOTHING).tolist() == [0.0, 0.0], "nobody knows which is the original"
    assert copies.evidence(both, Before(log_odds={"unit0": -3.0})).tolist() == [0.0, 3.0]
    own_eyes = seen(np.concatenate([THREE, THREE + 0.1]), 2, [0, 0, 0, 1, 1, 1])
    assert not copies.are_copies(own_eyes).any()


def test_who_says_again_what_it_has_said_before_is_found_but_for_messages_that_are_used_again() -> None:
    before = Before(contents={"unit0": [(b"other", 0.0), (LIES.contents[0][0], 0.1)]})
    assert repeats.evidence(LIES, before).tolist() == [15.0]
    older = replace(LIES, contents=[(LIES.contents[0][0], 0.1)])
    assert repeats.evidence(older, before).tolist() == [0.0], "the next message was lost"
    before.own_contents.append(LIES.own_content)
    assert repeats.evidence(LIES, before).tolist() == [0.0], "nothing was measured anew"


def verdicts(test: SequentialTest, *frames: Seen) -> list[str]:
    """Return the verdict on the only sender after each frame, the ego's own view being another in each."""
    return [
        test.update(replace(frame, contents=[(bytes([index]), 0.0)])).pop().verdict
        for index, frame in enumerate(frames)
    ]


def test_who_lies_is_refused_in_the_second_frame_and_has_to_be_right_for_a_while_to_be_heard_again() -> None:
    test = SequentialTest()
    assert verdicts(test, LIES, LIES, LIES) == ["unknown", "refused", "refused"]
    later = verdicts(test, *[TRUTH] * 10)
    assert later.index("unknown") <= 4
    assert later[-1] == "trusted"


def test_who_was_honest_for_long_is_refused_within_four_frames_of_lies() -> None:
    test = SequentialTest()
    assert verdicts(test, *[TRUTH] * 30)[-1] == "trusted"
    assert "refused" in verdicts(test, *[LIES] * 4)


def test_nobody_is_refused_for_where_it_stands_or_for_one_false_alarm_in_each_frame() -> None:
    displaced = replace(TRUTH, strain=np.full((3, 2), 100.0))
    assert verdicts(SequentialTest(), *[displaced] * 20) == ["unknown", *["doubted"] * 19]
    one = replace(TRUTH, refuted=np.array([True, False, False]), own_scores=np.array([0, 0.9, 0.9]))
    alarm = [one, TRUTH, TRUTH] * 5
    assert "refused" not in verdicts(SequentialTest(), *alarm)


def test_what_nobody_else_can_see_speaks_neither_for_nor_against_anybody() -> None:
    test = SequentialTest()
    assert test.update(seen(THREE)) == [Finding("unknown", 0.0, dict.fromkeys(test.names, 0.0))]
    assert test.update(seen(boxes(), 0)) == []


def test_the_reason_names_what_speaks_against_a_sender_and_by_how_much() -> None:
    test = SequentialTest()
    test.update(LIES)
    (found,) = test.update(replace(LIES, contents=[(b"new", 0.0)]))
    assert found.log_odds == pytest.approx(0.9 * 3 + 3)
    assert found.reason == "refused: log-likelihood of a lie +5.7 (free space +5.7)"
    assert Finding("trusted", -3.0).reason == ""
