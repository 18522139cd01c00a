from __future__ import annotations

import pytest

from cosense.data.bag.timeline import Moment, Timeline, passes_of, with_turns

S = 1_000_000_000
MS = 1_000_000

# Two passes over the stamps 0, 100, 200 ms, recorded from 10 s and from 20 s on.
STAMPS = [0, 100 * MS, 200 * MS] * 2
LOGS = [base + stamp for base, stamp in zip([10 * S] * 3 + [20 * S] * 3, STAMPS, strict=True)]
TIMELINE = Timeline(STAMPS, LOGS, list("abcxyz"))


def value(index: int | None) -> str | None:
    return None if index is None else TIMELINE.values[index]


@pytest.mark.parametrize(
    ("stamp_ms", "log_s", "tolerance_ms", "expected"),
    [
        (100, 10.1, 0, "b"),
        (100, 20.1, 0, "y"),
        (130, 10.13, 50, "b"),
        (170, 20.17, 50, "z"),
        (130, 10.13, 20, None),
        (260, 10.26, 50, None),
        # What was recorded a little late is still of its own pass, and its stamp decides.
        (100, 10.2, 150, "b"),
    ],
)
def test_nearest_of_the_same_pass(stamp_ms, log_s, tolerance_ms, expected):
    moment = Moment(stamp_ms * MS, int(log_s * S))
    assert value(TIMELINE.nearest(moment, tolerance_ms * MS)) == expected


def test_the_turn_counts_more_than_the_time_of_recording():
    """A recorder that is short of time has written the second pass down before the first of another topic."""
    moments = with_turns([Moment(100 * MS, 30 * S), Moment(7 * MS, 30 * S), Moment(100 * MS, 31 * S)])
    assert [(moment.turn, moment.turns) for moment in moments] == [(0, 2), (0, 1), (1, 2)]
    assert [value(TIMELINE.nearest(moment, 0)) for moment in moments] == ["b", None, "y"]


def test_where_a_turn_was_lost_the_time_of_recording_decides():
    lost = Timeline(STAMPS[1:], LOGS[1:], list("bcxyz"))
    first, second = with_turns([Moment(0, 10 * S), Moment(0, 20 * S)])
    # Nothing says that "x" is of the second pass but when it was recorded.
    assert lost.values[lost.nearest(second, 0)] == "x"
    assert lost.values[lost.nearest(first, 0)] == "x"


@pytest.mark.parametrize(
    ("stamp_ms", "log_s", "expected"),
    [
        (100, 10.1, "ab bc"),
        (130, 10.13, "ab c"),
        (170, 20.17, "xy z"),
        (250, 20.25, "yz "),
        (-10, 10.0, " ab"),
    ],
)
def test_neighbours_to_interpolate_between_are_of_one_pass(stamp_ms, log_s, expected):
    before, after = TIMELINE.around(Moment(stamp_ms * MS, int(log_s * S)))
    assert " ".join("".join(side) for side in (before, after)) == expected


def test_values_of_one_stamp_are_neighbours_together():
    twice = Timeline([0, 0, 100 * MS, 100 * MS], [1, 2, 3, 4], list("aAbB"))
    assert twice.around(Moment(50 * MS, 3)) == (["a", "A"], ["b", "B"])
    assert twice.around(Moment(50 * MS, 3), str.isupper) == (["A"], ["B"])


@pytest.mark.parametrize(
    ("what", "stamps_ms", "expected"),
    [
        ("in order", [0, 20, 40, 60], [0, 0, 0, 0]),
        ("one message overtaken", [0, 40, 20, 60], [0, 0, 0, 0]),
        ("the last message overtaken", [0, 20, 60, 40], [0, 0, 0, 0]),
        ("each message twice", [0, 0, 20, 20, 40, 40], [0] * 6),
        ("two publishers, one late", [0, 20, 40, 0, 60, 20, 80, 40, 100, 60], [0] * 10),
        ("a slow publisher and a late fast one", [100, 60, 80, 100, 120, 200, 140, 160, 180, 210], [0] * 10),
        ("one message without a stamp", [5000, 5020, 0, 5040, 5060], [0] * 5),
        ("one stamp an hour ahead", [0, 20, 3_600_000, 40, 80, 60, 100], [0] * 7),
        ("a loop", [0, 20, 40, 60, 0, 20, 40, 60], [0] * 4 + [1] * 4),
        ("a loop of three rounds", [0, 100, 0, 100, 0, 100], [0, 0, 1, 1, 2, 2]),
        ("a loop that was cut", [0, 1000, 2000, 3000, 0, 1000], [0] * 4 + [1] * 2),
        ("a clock that was set back", [0, 20, 40, 60, 80, 30, 50, 70, 90], [0] * 5 + [1] * 4),
        ("another recording, of another length", [7000, 7100, 0, 100, 200, 300], [0] * 2 + [1] * 4),
    ],
)
def test_a_recording_that_starts_again_is_told_from_messages_that_are_late(what, stamps_ms, expected):
    """Stamps that step back: only a real jump is another pass, not an overtaken or repeated message."""
    assert passes_of([MS * stamp for stamp in stamps_ms]).tolist() == expected, what


def test_nothing_is_near_an_empty_timeline():
    empty: Timeline[str] = Timeline([], [], [])
    assert empty.nearest(Moment(0, 0), S) is None
    assert empty.around(Moment(0, 0)) == ([], [])
