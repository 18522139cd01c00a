from __future__ import annotations

import pytest

from cosense.data.timeline import Timeline

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
    assert value(TIMELINE.nearest(stamp_ms * MS, int(log_s * S), tolerance_ms * MS)) == expected


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
    pair = TIMELINE.around(stamp_ms * MS, int(log_s * S), tolerance_ms * MS)
    assert pair is not None
    assert "".join(TIMELINE.values[index] for index in pair) == expected


def test_neighbours_of_two_passes_are_not_mixed():
    timeline = Timeline([0, 100 * MS], [10 * S, 20 * S], ["first", "second"])
    assert timeline.around(40 * MS, 10 * S + 40 * MS, 100 * MS) == (0, 0)
    assert timeline.around(60 * MS, 20 * S - 40 * MS, 100 * MS) == (1, 1)


def test_nothing_is_near_an_empty_timeline():
    empty: Timeline[str] = Timeline([], [], [])
    assert empty.nearest(0, 0, S) is None
    assert empty.around(0, 0, S) is None
