from __future__ import annotations

import pytest

from cosense.trust.identity.replay import ReplayWindow, clock_objection

S = 1_000_000_000


def after(*messages: tuple[int, int]) -> ReplayWindow:
    window = ReplayWindow()
    for message in messages:
        assert not window.objection(*message), message
        window.add(*message)
    return window


REGULAR = tuple((number, number * S // 10) for number in range(300))


@pytest.mark.parametrize(
    ("before", "message", "reason"),
    [
        ((), (5, 9), ""),
        (((5, 50),), (6, 60), ""),
        (((5, 50), (7, 70)), (6, 60), ""),
        (((5, 50),), (5, 50), "number 5 with this stamp came before: it is replayed"),
        (((5, 50), (6, 60)), (5, 50), "number 5 with this stamp came before: it is replayed"),
        (((5, 50),), (5, 60), "number 5 came before with another stamp"),
        (((5, 50), (6, 60)), (5, 40), "number 5 came before with another stamp"),
        # Started anew: also what was sent before counts once.
        (((5, 50),), (0, 60), ""),
        (((5, 50), (0, 60)), (5, 50), "number 5 with this stamp came before: it is replayed"),
        # Another recording.
        (((5, 50),), (6, 0), ""),
        (REGULAR, (300, 0), ""),
        (REGULAR, (20, 2 * S), "number 20 is long over, the last one was 299: it is replayed"),
    ],
)
def test_a_message_counts_once(before, message, reason):
    assert after(*before).objection(*message) == reason


def test_what_is_remembered_is_bounded():
    window = after(*((number, number) for number in range(2000)))
    assert len(window._seen) == 256


@pytest.mark.parametrize(
    ("stamp_ns", "clock_ns", "window_ns", "reason"),
    [
        (100 * S, 101 * S, 2 * S, ""),
        (100 * S, 98 * S, 2 * S, ""),
        (
            100 * S,
            103 * S,
            2 * S,
            "its stamp is 3000 ms behind the clock, the limit is 2000: it is replayed, or a clock is wrong",
        ),
        (
            160 * S,
            100 * S,
            2 * S,
            "its stamp is 60000 ms ahead of the clock, the limit is 2000: a clock is wrong",
        ),
        (160 * S, 0, 2 * S, ""),
        (160 * S, 100 * S, 0, ""),
    ],
)
def test_a_stamp_is_near_the_clock(stamp_ns, clock_ns, window_ns, reason):
    assert clock_objection(stamp_ns, clock_ns, window_ns) == reason
