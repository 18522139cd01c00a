"""Stamps from the future: whose clock is wrong, and who is merely late."""

from __future__ import annotations

import pytest

from cosense.cooperation.synchroniser import Collection, Synchroniser
from tests.cooperation.synchronised import MS, message, messages_of, waiting_for


def step(c: Synchroniser, stamp_ms: int, clock_ms: int, ahead_ms: dict[str, int]) -> Collection:
    """Let everybody measure at a moment, with the error of each clock, and return what is fused of it."""
    for sender, error_ms in ahead_ms.items():
        c.add(message(sender, stamp_ms + error_ms, stamp_ms), clock_ns=clock_ms * MS)
    c.add_ego(message("ego", stamp_ms, stamp_ms), 0)
    return c.ready(100 * MS)[-1]


def test_who_measures_later_than_now_again_and_again_has_a_wrong_clock():
    """A stamp from the future, of which nobody knows at first whose clock made it."""
    c = waiting_for("a", "b", "wrong")
    # On time, 100 ms ahead as unsynchronised sensors may be, and from a clock that is wrong.
    clocks = {"a": 0, "b": 100, "wrong": 201}
    told = []
    for number in range(6):
        moment = step(c, 1000 + 100 * number, 1000 + 100 * number, clocks)
        told.append([(report.sender, report.kind, report.used_for) for report in moment.refused])
        assert moment.behind_ms == 0
    assert told == [[], []] + [[("wrong", "OBJECTS", "nothing")]] * 4
    assert moment.refused[0].reason == "its clock is 201 ms ahead, the limit is 100"
    assert {item.message.sender for item in messages_of(moment)} == {"a", "b"}
    # Nobody waits for it in vain meanwhile, and with a clock that is right it is heard again.
    assert (moment.missing, c.silent) == ([], [])
    moment = step(c, 1600, 1600, dict.fromkeys(clocks, 0))
    assert (len(messages_of(moment)), moment.refused) == (3, [])


def test_an_ego_that_reads_its_clock_late_accuses_nobody():
    """A busy machine: the message is fresh, the clock that it is held against is old."""
    c = waiting_for("a", "b")
    for number, late_ms in enumerate((296, 0, 20, 296, 0, 400, 296)):
        stamp_ms = 1000 + 100 * number
        moment = step(c, stamp_ms, stamp_ms - late_ms, {"a": 0, "b": 0})
        assert (len(messages_of(moment)), moment.refused) == (2, [])
        # Who is late is known once there is something to compare with; its own newest frame is 100 ms old.
        assert moment.behind_ms == 0
    c.add(message("a", 2300), clock_ns=1700 * MS)
    c.add_ego(message("ego", 2300), 0)
    assert c.ready(100 * MS)[-1].behind_ms == 600


def test_the_ego_s_own_frames_show_that_its_machine_has_a_wrong_clock():
    """LiDARs that are synchronised by GNSS, and a computer that is not."""
    c = waiting_for("a")
    for number in range(6):
        stamp_ms, at_ms = 10_000 + 100 * number, 100 * number
        c.add_ego(message("ego", stamp_ms, number), (at_ms + 80) * MS)
        c.add(message("a", stamp_ms, 2 * number), (5000 + at_ms) * MS, (at_ms + 85) * MS)
        # It measures just before the ego's frame of a moment before arrives.
        c.add(message("a", stamp_ms + 60, 2 * number + 1), (5000 + at_ms) * MS, (at_ms + 90) * MS)
        (moment,) = c.ready((at_ms + 90) * MS)
        assert (len(messages_of(moment)), moment.refused, moment.behind_ms) == (1, [], 0)


def test_an_ego_that_is_so_late_that_messages_are_forgotten_is_the_one_who_is_named():
    """Whoever has sent in time is neither missing nor silent because somebody else is slow."""
    c = waiting_for("a")
    for number in range(30):
        c.add(message("a", 1000 + 100 * number, number))
    for number in range(10):
        c.add_ego(message("ego", 1000 + 100 * number, number), 0)
        (moment,) = c.ready(0)
        assert (messages_of(moment), moment.missing, c.silent) == ([], [], [])
        assert moment.behind_ms == 2200 - 100 * number


def test_a_wrong_clock_does_not_make_the_ego_late():
    """One who is wrong and others who are right: far ahead, from time to time, known or made up, no clock."""
    for expected in (("a",), ("a", "wrong")):
        for errors_ms in ([2000], [10**9], [0, 10_000]):
            c = waiting_for(*expected)
            moments = [
                step(c, 1000 + 100 * n, 1000 + 100 * n, {"a": 0, "wrong": errors_ms[n % len(errors_ms)]})
                for n in range(14)
            ]
            assert [moment.behind_ms for moment in moments] == [0] * 14
            assert all("a" in {item.message.sender for item in messages_of(moment)} for moment in moments)
    c = waiting_for("a")
    for number in range(12):
        c.add(message("wrong", 10**8 + 100 * number, number))
        c.add(message("a", 1000 + 100 * number, number))
        c.add_ego(message("ego", 1000 + 100 * number, number), 0)
        (moment,) = c.ready(0)
        assert (len(messages_of(moment)), moment.behind_ms, moment.missing) == (1, 0, [])


@pytest.mark.parametrize("later_ms", [0, 40])
def test_two_senders_with_one_name_are_told_and_who_starts_anew_is_not_one_of_them(later_ms):
    """Names that were given twice, or forged: one message of the two is used, and nobody misses the other."""
    c = waiting_for("a")
    for number in range(12):
        stamp_ms = 1000 + 100 * number
        # The first has counted for longer; for its fourth moment it starts anew.
        c.add(message("a", stamp_ms, number + 300 if number < 3 else number - 3))
        if number >= 6:
            c.add(message("a", stamp_ms + later_ms, 900 + number))
        c.add_ego(message("ego", stamp_ms, number), 0)
        (moment,) = c.ready(0)
        assert (len(messages_of(moment)), moment.missing) == (1, [])
        told = [(report.sender, report.used_for, report.reason) for report in moment.refused]
        if number < 6:
            assert told == []
    reason = "two senders have this name, only one of them is used; name each agent once"
    assert told == [("a", "nothing", reason)]


def test_a_recording_that_begins_again_proves_nothing_about_a_clock():
    """What was sent before the jump is far in the future of the ego's new time."""
    c = waiting_for("a")
    for number in range(5):
        step(c, 9000 + 100 * number, 9000 + 100 * number, {"a": 0})
    for number in range(5):
        c.add_ego(message("ego", 1000 + 100 * number, 10 + number), 0)
        sent_ms = 9500 if number < 1 else 1000 + 100 * number
        c.add(message("a", sent_ms, 10_000 + number), clock_ns=(1000 + 100 * number) * MS)
        (moment,) = c.ready(100 * MS)
        assert moment.refused == []
    assert len(messages_of(moment)) == 1
