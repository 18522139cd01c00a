from __future__ import annotations

import pytest

from cosense.data.bag.timeline import Moment, Timeline, with_turns

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
    ("stamp_ms", "log_s", "tolerance_ms", "expected"),
    [
        (100, 10.1, 100, "bb"),
        (130, 10.13, 100, "bc"),
        (170, 20.17, 100, "yz"),
        (130, 10.13, 50, "bb"),
        (250, 20.25, 100, "zz"),
    ],
)
def test_neighbours_to_interpolate_between(stamp_ms, log_s, tolerance_ms, expected):
    pair = TIMELINE.around(Moment(stamp_ms * MS, int(log_s * S)), tolerance_ms * MS)
    assert pair is not None
    assert "".join(TIMELINE.values[index] for index in pair) == expected


def test_neighbours_of_two_passes_are_not_mixed():
    timeline = Timeline([0, 100 * MS], [10 * S, 20 * S], ["first", "second"])
    assert timeline.around(Moment(40 * MS, 10 * S + 40 * MS), 100 * MS) == (0, 0)
    assert timeline.around(Moment(60 * MS, 20 * S - 40 * MS), 100 * MS) == (1, 1)


def test_nothing_is_near_an_empty_timeline():
    empty: Timeline[str] = Timeline([], [], [])
    assert empty.nearest(Moment(0, 0), S) is None
    assert empty.around(Moment(0, 0), S) is None
