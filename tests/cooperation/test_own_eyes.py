"""What others claim is held against what the ego sees itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from cosense.cooperation.merge import MergeSettings, merge
from cosense.cooperation.own_eyes import OwnEyes, held_back
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.base import Admitted
from cosense.sensing.detections import Detections, Source
from cosense.sensing.sight_lines import SightLines
from tests.sensing.scans import CAR, WALL, scan

LEFT, RIGHT, BACK = [20.0, 12.0, *CAR[2:]], [20.0, -9.0, *CAR[2:]], [-15.0, 3.0, *CAR[2:]]
SEEN = SightLines(scan(CAR, LEFT, RIGHT, BACK, WALL))
FREE = [15.0, -4.0, *CAR[2:]]
HIDDEN = [55.0, 3.0, *CAR[2:]]
Rows = tuple[list[float], float]


def found(*rows: Rows, source: Source = Source.LATE) -> Detections:
    count = len(rows)
    return Detections(
        np.array([box for box, _ in rows]).reshape(-1, 7),
        np.array([score for _, score in rows], np.float32),
        np.zeros(count, np.int64),
        np.full(count, source, np.uint8),
    )


def own(*rows: Rows) -> Detections:
    return found(*rows, source=Source.EGO)


BOTH = own((LEFT, 0.9), (RIGHT, 0.9))


def claim(sender: str, *rows: Rows, at: tuple[float, float] = (30.0, 0.0), error_m: float = 0.0) -> Admitted:
    boxes = found(*rows)
    count = len(boxes)
    T_ego_sender = transform_from_planar(*at, 0.0, 0.0)
    return Admitted(
        sender,
        "boxes",
        True,
        T_ego_sender,
        0.0,
        (),
        LateBoxes.empty(),
        boxes,
        np.full(count, error_m),
        np.full((count, 2), error_m),
    )


def proven(sender: str, *rows: Rows, at: tuple[float, float] = (30.0, 0.0)) -> Admitted:
    """Return claims of a sender that also sees what the ego sees."""
    return claim(sender, (LEFT, 0.8), (RIGHT, 0.8), *rows, at=at)


def judged(
    ego: Detections, claims: Sequence[Admitted], lines: SightLines | None = SEEN
) -> tuple[dict[tuple[float, ...], tuple[Source, float]], list[str]]:
    """Return source and score by place of what is left of the claims of one frame, and all standings."""
    examined = OwnEyes().examined(claims, ego, lines)
    candidates = Detections.concatenate([ego, *(other.boxes for other in examined.fusible)])
    result = merge(held_back(candidates, ego, examined, lines), MergeSettings(), averages_boxes=False)
    places = [tuple(box[:2]) for box in result.boxes.round(6).tolist()]
    scores = [round(float(score), 3) for score in result.scores]
    values = zip(map(Source, result.sources), scores, strict=True)
    return dict(zip(places, values, strict=True)), [record.standing for record in examined.records]


def at(box: list[float]) -> tuple[float, ...]:
    return tuple(box[:2])


def turned(box: list[float]) -> list[float]:
    return [*box[:6], box[6] + np.pi / 2]


def fat(box: list[float]) -> list[float]:
    return [*box[:3], 1.6 * box[3], 1.6 * box[4], *box[5:]]


def test_what_stands_in_free_space_is_dropped() -> None:
    ego = own((LEFT, 0.9), (RIGHT, 0.9), (BACK, 0.9))
    result, standings = judged(ego, [proven("peer", (BACK, 0.8), (FREE, 1.0))])
    assert set(result) == {at(LEFT), at(RIGHT), at(BACK)}
    assert standings == ["proven"], "one mistake is none"


def test_where_the_ego_is_blind_one_sender_is_believed_within_limits() -> None:
    result, _ = judged(BOTH, [proven("unit", (HIDDEN, 1.0))])
    assert result[at(HIDDEN)] == (Source.UNCONFIRMED, 0.95)
    result, standings = judged(BOTH, [claim("new", (HIDDEN, 1.0))])
    assert result[at(HIDDEN)] == (Source.UNCONFIRMED, 0.4)
    assert standings == ["stranger"]


def test_capped_scores_keep_their_order_and_low_ones_stay() -> None:
    boxes = [[55.0, 8.0 * row, *CAR[2:]] for row in range(-2, 3)]
    scores = [0.1, 0.24, 0.3, 0.7, 1.0]
    result, _ = judged(own(), [claim("unit", *zip(boxes, scores, strict=True))])
    capped = [result[at(box)][1] for box in boxes]
    assert capped == pytest.approx([0.1, 0.2 + 0.04 / 4, 0.2 + 0.1 / 4, 0.2 + 0.5 / 4, 0.4], abs=1e-3)


def test_who_claims_boxes_in_free_space_is_believed_less_where_the_ego_is_blind() -> None:
    ego = own((LEFT, 0.9), (RIGHT, 0.9), (BACK, 0.9))
    result, standings = judged(ego, [proven("peer", (BACK, 0.8), (FREE, 1.0), (HIDDEN, 1.0))])
    assert standings == ["proven"]
    assert result[at(HIDDEN)] == (Source.UNCONFIRMED, pytest.approx(0.95 * 2.7 / (2.7 + 5), abs=1e-3))


def test_a_second_sender_in_another_place_confirms_and_a_second_name_in_the_same_place_does_not() -> None:
    two = [proven("one", (HIDDEN, 0.9)), claim("two", (HIDDEN, 0.8), at=(60.0, 20.0))]
    assert judged(BOTH, two)[0][at(HIDDEN)] == (Source.LATE, 0.9)
    two[1] = claim("two", (HIDDEN, 0.8), at=(31.0, 0.0))
    assert judged(BOTH, two)[0][at(HIDDEN)][0] == Source.UNCONFIRMED


def test_strangers_do_not_confirm_each_other() -> None:
    two = [claim("one", (HIDDEN, 0.9)), claim("two", (HIDDEN, 0.8), at=(60.0, 20.0))]
    assert judged(BOTH, two)[0][at(HIDDEN)][0] == Source.UNCONFIRMED


@pytest.mark.parametrize("lie", [turned, fat], ids=["turned", "fat"])
def test_a_stranger_has_no_say_where_a_proven_sender_has_a_box(lie) -> None:
    two = [proven("one", (HIDDEN, 0.3)), claim("two", (lie(HIDDEN), 1.0), at=(60.0, 20.0))]
    assert judged(BOTH, two)[0][at(HIDDEN)] == (Source.UNCONFIRMED, 0.3)


def test_where_the_ego_has_looked_and_found_nothing_little_is_left_of_a_claim() -> None:
    odds = 0.9 / 0.1 / 20
    result, standings = judged(BOTH, [proven("unit", (CAR, 0.9))])
    assert result[at(CAR)] == (Source.UNCONFIRMED, pytest.approx(odds / (1 + odds), abs=1e-3))
    assert standings == ["proven"], "the ego's detector may be wrong"


def test_a_doubtful_box_of_the_ego_confirms_and_gives_way_to_a_proven_sender_alone() -> None:
    ego = own((CAR, 0.2), (LEFT, 0.9), (RIGHT, 0.9))
    assert judged(ego, [proven("unit", (CAR, 0.9))])[0][at(CAR)] == (Source.LATE, 0.9)
    result, _ = judged(ego, [claim("new", ([CAR[0] + 0.1, *CAR[1:]], 0.9))])
    assert result[at(CAR)] == (Source.EGO, 0.2)


def test_nobody_contradicts_a_box_of_which_the_ego_is_sure() -> None:
    ego = own((CAR, 0.85), (LEFT, 0.9), (RIGHT, 0.9))
    assert judged(ego, [proven("unit", (turned(CAR), 1.0))])[0][at(CAR)] == (Source.EGO, 0.85)


def test_without_points_nothing_is_refuted() -> None:
    result, _ = judged(BOTH, [proven("unit", (CAR, 0.9), (FREE, 0.8))], lines=None)
    assert {result[at(box)][0] for box in (CAR, FREE)} == {Source.UNCONFIRMED}


@pytest.mark.parametrize("lie", [turned, fat], ids=["turned", "fat"])
@pytest.mark.parametrize("score", [0.2, 0.6])
def test_no_lie_removes_a_box_of_the_ego_however_many_tell_it(lie, score: float) -> None:
    liars = [claim(name, *((lie(box), 1.0) for box in (CAR, LEFT, RIGHT, BACK))) for name in "abcd"]
    ego = own((CAR, score), (LEFT, 0.9), (RIGHT, 0.9), (BACK, 0.9))
    examined = OwnEyes().examined(liars, ego, SEEN)
    candidates = Detections.concatenate([ego, *(other.boxes for other in examined.fusible)])
    result = merge(held_back(candidates, ego, examined, SEEN), MergeSettings(), averages_boxes=False)
    mine = result[result.sources == Source.EGO]
    np.testing.assert_array_equal(mine.boxes, Detections.concatenate([ego]).boxes)
    assert set(examined.doubts) == set("abcd")
    assert "0 like its own" in examined.doubts["a"]


@pytest.mark.parametrize(("error_m", "standing"), [(0.0, "doubted"), (0.5, "stranger")])
def test_who_is_off_by_a_metre_is_doubted_unless_it_says_so(error_m: float, standing: str) -> None:
    off = [[box[0] + 0.9, *box[1:]] for box in (CAR, LEFT, RIGHT)]
    ego = own((CAR, 0.8), (LEFT, 0.8), (RIGHT, 0.8))
    result, standings = judged(ego, [claim("peer", *((box, 1.0) for box in off), error_m=error_m)])
    assert standings == [standing]
    assert result == {at(box): (Source.EGO, 0.8) for box in (CAR, LEFT, RIGHT)}


def test_places_are_as_uncertain_as_what_both_see_shows_however_sure_the_sender_is() -> None:
    """Two boxes, of which the ego is sure to 0.9, are off across by twice what was expected."""
    x, y = -0.32 * np.sin(CAR[6]), 0.32 * np.cos(CAR[6])
    off = [[box[0] + x, box[1] + y, *box[2:]] for box in (LEFT, RIGHT)]
    claims = [claim("unit", *((box, 0.8) for box in off), (HIDDEN, 0.8))]
    (left,) = OwnEyes().examined(claims, BOTH, SEEN).fusible
    expected = 0.16 * np.sqrt((1 + 1.8 * 4) / (1 + 1.8) - 1)
    np.testing.assert_allclose(left.spreads_m[-1], [0, expected], atol=1e-6)
    np.testing.assert_allclose(left.boxes.boxes[-1], HIDDEN)
    # Exact claims stay exact, and what is said to be uncertain is not made surer.
    for error_m in (0.0, 0.3):
        claims = [claim("unit", (LEFT, 0.8), (RIGHT, 0.8), (HIDDEN, 0.8), error_m=error_m)]
        (left,) = OwnEyes().examined(claims, BOTH, SEEN).fusible
        np.testing.assert_allclose(left.spreads_m[-1], [error_m] * 2)


@pytest.mark.parametrize(("error_m", "y"), [(0.0, CAR[1] + 0.3), (0.35, CAR[1])])
def test_the_ego_says_where_an_object_is_if_another_is_vague_about_it(error_m: float, y: float) -> None:
    ego = own((CAR, 0.3), (LEFT, 0.9), (RIGHT, 0.9))
    aside = [CAR[0], CAR[1] + 0.3, *CAR[2:]]
    claims = [claim("unit", (LEFT, 0.8), (RIGHT, 0.8), (aside, 0.8), error_m=error_m)]
    (left,) = OwnEyes().examined(claims, ego, SEEN).fusible
    assert left.boxes.boxes[-1, 1] == pytest.approx(y)
    # The ego's score says how exact its box is, the other's that there is something.
    assert left.boxes.scores[-1] == pytest.approx(0.8 if not error_m else np.sqrt(0.3 * 0.8))
    # What is where the ego says is as certain as that.
    np.testing.assert_allclose(left.spreads_m[-1], left.spreads_m[-1] * (error_m == 0))


def test_a_doubted_sender_shares_no_features_and_is_proven_again_when_it_agrees() -> None:
    eyes = OwnEyes()
    lies = claim("peer", (turned(LEFT), 1.0), (turned(RIGHT), 1.0), (HIDDEN, 1.0), (FREE, 1.0))
    examined = eyes.examined([lies], BOTH, SEEN)
    assert examined.records[0].standing == "doubted"
    assert not examined.fusible[0].is_precise
    assert len(examined.fusible[0].boxes) == 1
    later = [eyes.examined([proven("peer")], BOTH, SEEN).records[0].standing for _ in range(6)]
    assert later == ["doubted", "stranger", "proven", "proven", "proven", "proven"]


def test_who_goes_on_lying_is_not_used_at_all_and_a_name_that_is_gone_is_forgotten() -> None:
    eyes = OwnEyes()
    lies = claim("liar", (turned(LEFT), 1.0), (turned(RIGHT), 1.0), (FREE, 1.0), (HIDDEN, 1.0))
    for silent, was_heard in ((2, True), (20, False), (0, True)):
        assert len(eyes.examined([lies], BOTH, SEEN).fusible) == was_heard
        again = [eyes.examined([lies], BOTH, SEEN) for _ in range(4)][-1]
        assert (again.fusible, again.findings["liar"].verdict) == ([], "refused")
        assert again.doubts["liar"].startswith("refused: log-likelihood of a lie +")
        for _ in range(silent):
            eyes.examined([claim("other")], BOTH, SEEN)


def test_nobody_and_nothing_are_examined_too() -> None:
    assert judged(own(), []) == ({}, [])
    assert judged(own((CAR, 0.9)), [claim("unit")]) == ({at(CAR): (Source.EGO, 0.9)}, ["stranger"])
